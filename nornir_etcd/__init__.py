"""Deploy, verify and operate etcd with Nornir."""
