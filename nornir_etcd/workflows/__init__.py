"""The runbooks: one walk (observe, plan, apply, verify, report), and the differences that each may act on."""

from nornir_etcd.workflows.inventory import clusters_in
from nornir_etcd.workflows.runbooks import (
    certs,
    certs_renew,
    certs_rotate_ca,
    certs_status,
    deploy,
    members_apply,
    members_plan,
    members_status,
    upgrade,
    verify,
)

__all__ = [
    "certs",
    "certs_renew",
    "certs_rotate_ca",
    "certs_status",
    "clusters_in",
    "deploy",
    "members_apply",
    "members_plan",
    "members_status",
    "upgrade",
    "verify",
]
