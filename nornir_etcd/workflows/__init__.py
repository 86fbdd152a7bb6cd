"""The runbooks: one walk (observe, plan, apply, verify, report), and the differences that each may act on."""

from nornir_etcd.workflows.runbooks import certs, deploy, verify

__all__ = ["certs", "deploy", "verify"]
