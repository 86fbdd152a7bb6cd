"""The CA that a cluster of the inventory is trusted by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from nornir.core.inventory import ConnectionOptions, Defaults, Group, Groups, Host, Hosts, ParentGroups

from nornir_etcd.workflows.inventory import WholeInventory, clusters_in

if TYPE_CHECKING:
    from pathlib import Path


def trusted(folder: Path, extras: dict[str, Any] | None = None) -> bytes | None:
    """Return the CA of a cluster of one, whose certificates are kept in a folder."""
    options = {"etcd": ConnectionOptions(extras=extras)} if extras is not None else {}
    group = Group("etcd", data={"generate_certs_dir": str(folder)}, connection_options=options)
    host = Host("m1", hostname="192.0.2.11", groups=ParentGroups([group]), defaults=Defaults())
    (cluster,), _ = clusters_in(WholeInventory(Hosts({"m1": host}), Groups({"etcd": group}), Defaults()))
    assert cluster.declared
    assert cluster.managed
    return cluster.ca


@pytest.mark.parametrize("name", ["ca.pem", "ca.crt"])
def test_it_is_that_of_the_controllers_folder(tmp_path: Path, name: str) -> None:
    assert trusted(tmp_path) is None
    (tmp_path / name).write_bytes(b"one")
    assert trusted(tmp_path) == b"one"


def test_it_is_that_of_the_connection_where_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"one")
    (tmp_path / "named.pem").write_bytes(b"two")
    assert trusted(tmp_path, {"cacert": str(tmp_path / "named.pem")}) == b"two"
    assert trusted(tmp_path, {"port": 2379}) == b"one"


@pytest.mark.parametrize("named", ["nowhere.pem", "", 3])
def test_what_is_wrong_with_it_is_told_by_who_connects(tmp_path: Path, named: object) -> None:
    (tmp_path / "ca.pem").write_bytes(b"one")
    found = str(tmp_path / named) if named == "nowhere.pem" else named
    assert trusted(tmp_path, {"cacert": found}) is None
