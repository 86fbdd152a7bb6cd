etcd_cert_days: 90
