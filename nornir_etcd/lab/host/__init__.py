"""What runs inside a lab host: its init, a gateway to containerd's CRI, and stand-ins for crictl and the kubelet."""
