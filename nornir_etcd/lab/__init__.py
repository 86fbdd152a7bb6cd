"""Hosts on this machine to run the program on: network namespaces, sshd, containerd, static Pods, a registry."""

from nornir_etcd.lab.error import LabError
from nornir_etcd.lab.lab import Lab, Node

__all__ = ["Lab", "LabError", "Node"]
