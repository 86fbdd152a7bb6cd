"""Deploy, verify and operate etcd with Nornir.

from nornir import InitNornir
from nornir_etcd import deploy

report = deploy(InitNornir(config_file="config.yaml"))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nornir_etcd.exceptions import InventoryError, NornirEtcdError
    from nornir_etcd.report.model import Report
    from nornir_etcd.workflows import (
        certs,
        certs_renew,
        certs_rotate_ca,
        certs_status,
        clusters_in,
        deploy,
        members_apply,
        members_plan,
        members_status,
        upgrade,
        verify,
    )
    from nornir_etcd.workflows.inventory import WholeInventory

__all__ = [
    "InventoryError",
    "NornirEtcdError",
    "Report",
    "WholeInventory",
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

_HOMES = {
    "InventoryError": "nornir_etcd.exceptions",
    "NornirEtcdError": "nornir_etcd.exceptions",
    "Report": "nornir_etcd.report.model",
    "WholeInventory": "nornir_etcd.workflows.inventory",
    "certs": "nornir_etcd.workflows",
    "certs_renew": "nornir_etcd.workflows",
    "certs_rotate_ca": "nornir_etcd.workflows",
    "certs_status": "nornir_etcd.workflows",
    "clusters_in": "nornir_etcd.workflows",
    "deploy": "nornir_etcd.workflows",
    "members_apply": "nornir_etcd.workflows",
    "members_plan": "nornir_etcd.workflows",
    "members_status": "nornir_etcd.workflows",
    "upgrade": "nornir_etcd.workflows",
    "verify": "nornir_etcd.workflows",
}


if not TYPE_CHECKING:  # a type checker sees the names above, and no others

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for: the pure half of the package must not load the other one."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
