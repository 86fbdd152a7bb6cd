"""A cluster in memory for tests of what decides: it is observed as hosts are, and steps change it as they would.

It knows of etcd what the plans hang on: a member without its guard does not start, a guard becomes data with the IDs of
the bootstrap, and nobody answers a linearizable read without a quorum of members that run. A member runs the release of
the image that its manifest had when it was started; the leader raises the cluster's version when all run a later minor,
and lowers it where it is told to go down (server/etcdserver/version/monitor.go of 3.6).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nornir_etcd.apiserver import ApiServer, client_files, wanted_flags
from nornir_etcd.cluster import Cluster, Member, load_clusters, quorum
from nornir_etcd.layout import CA, CERTIFICATE, CERTIFICATE_MODE, KEY, KEY_MODE, layout
from nornir_etcd.manifest import image_of, render
from nornir_etcd.observation import (
    Alarm,
    ApiServerState,
    ClockOffset,
    ClusterObservation,
    Container,
    DataDirectory,
    EndpointObservation,
    FileState,
    HashKv,
    HostObservation,
    Kubelet,
    Listener,
    Manifests,
    Maybe,
    MemberInfo,
    MemberList,
    MemberStatus,
    Metrics,
    Probes,
    Quantile,
    Surroundings,
    Unknown,
    Volume,
)
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.leaf import LeafRequest, apiserver_request, issue
from nornir_etcd.pki.trust import CLUSTER, Trust
from nornir_etcd.plan.certs import AS_DUE, Renewal, controller_request, leaf_request
from nornir_etcd.plan.identity import bootstrap_ids, hexadecimal
from nornir_etcd.plan.manifest import release
from nornir_etcd.plan.planner import Desired, Difference, plan
from nornir_etcd.plan.rotation import UNSAID, Rotation
from nornir_etcd.plan.step import AUTHORITY_ACTIONS
from nornir_etcd.settings import HostVariables
from nornir_etcd.signers.local import Pair, StoreContent
from nornir_etcd.versions import DOWNGRADES, Version

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from nornir_etcd.plan.step import Plan, Step

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
TEMPLATE = (Path(__file__).parents[2] / "templates" / "etcd.yaml.j2").read_text(encoding="utf-8")

ABSENT, EMPTY, GUARD = DataDirectory("absent"), DataDirectory("empty"), DataDirectory("guard", content=("member",))
SILENT = Unknown("the port refuses connections")
HASH = HashKv(0x5EED, 7, 3)
DEPLOY: frozenset[Difference] = frozenset({"certificates", "manifests"})
UPGRADE: frozenset[Difference] = frozenset({"manifests", "version"})
OF_THE_CLUSTER = ("save-snapshot", "enable-downgrade")
"""Steps that change no host: any member that answers will do, whatever is selected."""


@cache
def make_cluster(size: int = 3, **data: Any) -> Cluster:
    """Return master-1 to master-SIZE at 192.0.2.11 and up, with group variables."""
    hosts = [
        HostVariables(f"master-{number}", f"192.0.2.{10 + number}", (("group etcd", data),))
        for number in range(1, size + 1)
    ]
    (cluster,), _ = load_clusters(hosts)
    return cluster


@cache
def manifests(size: int = 3, **data: Any) -> dict[str, str]:
    """Return the manifests that such a cluster wants, by host."""
    cluster = make_cluster(size, **data)
    return {
        member.name: render(member, cluster, template=TEMPLATE, trusted=authority().pem) for member in cluster.members
    }


@cache
def authority() -> Authority:
    """Return the CA of all clusters here."""
    return make_authority("example CA", now=NOW - timedelta(days=730))


@cache
def more_authorities() -> tuple[Authority, ...]:
    """Return CAs of etcd's own, for rotations: each was made just now."""
    return tuple(make_authority(f"etcd CA {number}", now=NOW) for number in range(3))


def pair(by: Authority, request: LeafRequest, now: datetime = NOW) -> Pair:
    """Return a real certificate and key."""
    leaf = issue(by, request, now=now)
    return Pair(leaf.certificate_pem, leaf.key_pem)


def empty_store() -> StoreContent:
    """Return the controller's folder before the first run."""
    return StoreContent(Path("certs/example"), Pair(), {}, Pair())


@cache
def full_store(size: int = 3, **data: Any) -> StoreContent:
    """Return the controller's folder with everything in it that such a cluster wants."""
    cluster = make_cluster(size, **data)
    ca = Pair(authority().pem, b"its key is not looked at")
    leaves = {member.name: pair(authority(), leaf_request(member)) for member in cluster.members}
    return StoreContent(Path("certs/example"), ca, leaves, pair(authority(), controller_request(cluster)))


@dataclass
class Node:
    """One host and the member on it."""

    member: Member
    data: Maybe[DataDirectory] = ABSENT
    manifest: str | None = None
    manifest_age: float = 86400.0  # seconds
    late: float = 0.0  # seconds that the container is younger than the manifest; below 0: the kubelet has not acted yet
    trusts: bytes | None = None  # the CAs that the running member has read at its start
    placed: tuple[Pair, bytes] | None = None  # certificate and key, CA: what {ca_dir}/etcd holds
    ca: bytes | None = None  # {ca_dir}/ca.pem
    images: Maybe[frozenset[str]] = frozenset()
    error: Unknown | None = None
    up: bool = False  # the process runs, with or without a quorum
    published: bool = False  # its entry in the member list has client URLs
    restarts: int = 0
    version: str = "3.5.16"
    image: str = ""  # of the container; empty: the one that the inventory wants
    former: str | None = None  # the manifest that an upgrade has replaced
    former_age: float = 86400.0  # seconds
    files: dict[str, FileState] = field(default_factory=dict)  # instead of what follows from the above
    hash: Maybe[HashKv] = HASH
    apiserver: Maybe[ApiServerState | None] = None

    @property
    def name(self) -> str:
        """The host's name."""
        return self.member.name

    def bootstrapped(self, cluster: Cluster) -> DataDirectory:
        """Return the data that a bootstrap leaves on this host."""
        cluster_id, members = bootstrap_ids(cluster)
        return DataDirectory("member", members[self.name], cluster_id, ("member",))

    def observed_files(self) -> dict[str, FileState]:
        """Return the state of every observed path."""
        paths = layout(self.member.settings)
        states = {path: FileState("absent") for path in paths.observed}
        if self.placed:
            (leaf, ca) = self.placed
            contents = ((CERTIFICATE, leaf.certificate), (KEY, leaf.key), (CA, ca))
            states[paths.etcd] = FileState("directory", mode=0o700, owner="0:0")
            states[f"{paths.etcd}/..data"] = FileState("link", mode=0o755, owner="0:0", target="..20261122")
            for name, content in contents:
                mode = KEY_MODE if name == KEY else CERTIFICATE_MODE
                path = f"{paths.etcd}/{name}"
                states[path] = FileState("link", mode, "0:0", sha256=digest(content), target=f"..data/{name}")
                if path in paths.modes and f"{paths.ca_dir}/{name}" in paths.links:
                    states[f"{paths.ca_dir}/{name}"] = replace(
                        states[path], target=paths.links[f"{paths.ca_dir}/{name}"]
                    )
        if self.ca is not None:
            states[paths.ca] = FileState("file", 0o644, "0:0", sha256=digest(self.ca))
        if self.manifest is not None:
            states[paths.manifests] = FileState("directory", 0o700, "0:0")
            states[paths.manifest] = FileState("file", 0o600, "0:0", mtime=NOW.timestamp() - self.manifest_age)
        if self.former is not None:
            states[paths.former] = FileState("file", 0o600, "0:0", mtime=NOW.timestamp() - self.former_age)
        if not isinstance(self.data, Unknown) and self.data.state != "absent":
            states[paths.data] = FileState("directory", 0o700, "0:0")
        return states | self.files

    def observed_texts(self) -> dict[str, str]:
        """Return the content of every file that is read."""
        paths = layout(self.member.settings)
        certificate = self.placed[0].certificate if self.placed else None
        found = {
            paths.ca: self.ca,
            f"{paths.etcd}/{CERTIFICATE}": certificate,
            next(iter(paths.links), ""): certificate,
            f"{paths.etcd}/{CA}": self.placed[1] if self.placed else None,
            paths.manifest: self.manifest.encode() if self.manifest is not None else None,
            paths.former: self.former.encode() if self.former is not None else None,
        }
        return {path: content.decode() for path, content in found.items() if content is not None}

    def place_for_apiserver(self, pair: Pair) -> None:
        """Put the client certificate of the API server on the host."""
        for path, content, mode in client_files(layout(self.member.settings), pair):
            self.files[path] = FileState("file", mode, "0:0", sha256=digest(content))

    def restart_apiserver(self, trusted: bytes | None) -> None:
        """Point the API server at our files."""
        assert isinstance(self.apiserver, ApiServerState)
        assert isinstance(self.apiserver.manifest, ApiServer)
        flags = wanted_flags(layout(self.member.settings))
        changed = {name.replace("-", "_"): path for name, path in flags.items()} | {"trusted_ca": digest(trusted)}
        self.apiserver = replace(self.apiserver, manifest=replace(self.apiserver.manifest, **changed))

    @property
    def container_age(self) -> float:
        """How many seconds ago the container was made."""
        return self.manifest_age - self.late

    def containers(self) -> tuple[Container, ...]:
        """Return the container that runs, or the one that does not."""
        if self.manifest is None and not self.up:  # else the kubelet is about to stop it
            return ()
        state = "CONTAINER_RUNNING" if self.up else "CONTAINER_EXITED"
        image = f"sha256:{self.image or self.member.settings.etcd_image}"
        made = NOW.timestamp() - self.container_age
        return (Container(f"{self.name}-{self.restarts}", state, f"etcd-{self.name}", 0, image, int(made * 1e9)),)

    def surroundings(self, peers: Mapping[str, Literal["open", "refused", "silent"]]) -> Surroundings:
        """Return what a host offers on which nothing is wrong; `peers` by address."""
        paths = layout(self.member.settings)
        etcd = tuple(
            Listener(port, address, 7, "etcd", f"0::/kubepods/{one.id}")
            for port, address in ((2379, "127.0.0.1"), (2379, self.member.address), (2380, self.member.address))
            for one in self.containers()
            if self.up
        )
        images = self.images
        return Surroundings(
            offset=ClockOffset(-0.1, 0.1),
            missing_tools=(),
            runtime=None if self.up else "containerd",
            sockets=("/run/containerd/containerd.sock",),
            digests=images if isinstance(images, Unknown) else {one: frozenset({f"sha256:{one}"}) for one in images},
            kubelets=(Kubelet(1, "same", "/var/lib/kubelet/config.yaml", paths.manifests),),
            manifests=Manifests((), ()),
            listeners=etcd,
            volumes={path: Volume(path, 50 * 1024**3, writable=True, mount="/") for path in paths.volumes},
            peers={address: state for address, state in peers.items() if address != self.member.address},
        )


def digest(content: bytes | None) -> str:
    """Return the SHA-256 of a file's content."""
    return hashlib.sha256(content or b"").hexdigest()


class World:
    """The hosts of one cluster, the controller's folder, and what is wanted."""

    def __init__(self, size: int = 3, store: StoreContent | None = None, **data: Any) -> None:
        self.cluster = make_cluster(size, **data)
        self.store = store or empty_store()
        self.nodes = {
            member.name: Node(member, version=str(release(member.settings.etcd_version)))
            for member in self.cluster.members
        }
        self.wanted = dict(manifests(size, **data))
        self.entries: dict[str, MemberInfo] = {}  # of the live list: in place of what the inventory has, by name
        self.unlisted: frozenset[str] = frozenset()  # not in the live list
        self.more: tuple[MemberInfo, ...] = ()  # in the live list besides
        self.alarms: Maybe[tuple[Alarm, ...]] = ()
        self.leads = "master-2"  # where it runs
        self.seen: ClusterObservation | None = None  # what the controller sees, in place of what is there
        self.done: list[Step] = []
        self.speaks = self.least  # the minor whose protocol the members speak
        self.downgrade: Version | None = None  # what etcd was told to go down to
        self.auth: Maybe[bool] = False
        self.snapshots: tuple[datetime, ...] = ()  # that the controller holds
        self.broken: set[tuple[str, str]] = set()  # hosts on which an image does not come up

    def __getitem__(self, number: int) -> Node:
        return self.nodes[f"master-{number}"]

    @property
    def names(self) -> frozenset[str]:
        """The names of all hosts."""
        return frozenset(self.nodes)

    @property
    def voters(self) -> int:
        """How many members vote."""
        return sum(not info.is_learner for info in self.live_list())

    @property
    def running(self) -> frozenset[str]:
        """The hosts whose member runs."""
        return frozenset(node.name for node in self.nodes.values() if node.up)

    @property
    def has_quorum(self) -> bool:
        """Whether those who run are a quorum."""
        return len(self.running) >= quorum(self.voters)

    @property
    def leader(self) -> str:
        """The host of the leader; empty without a quorum."""
        if not self.has_quorum:
            return ""
        return self.leads if self.leads in self.running else min(self.running)

    @property
    def least(self) -> tuple[int, int]:
        """The least minor that a member runs, or ran when it last did."""
        return min(version.line for node in self.nodes.values() if (version := release(node.version)))

    def want(self, **data: Any) -> None:
        """Change the inventory: what is wanted of the same hosts from now on."""
        size = len(self.nodes)
        self.cluster, self.wanted = make_cluster(size, **data), dict(manifests(size, **data))
        for node in self.nodes.values():
            node.image = node.image or node.member.settings.etcd_image
            node.member = self.cluster.member(node.name)

    def entry(self, node: Node) -> MemberInfo:
        """Return the member's entry in the member list."""
        _, ids = bootstrap_ids(self.cluster)
        urls = (node.member.client_url,) if node.published else ()
        info = MemberInfo(ids[node.name], node.name, (node.member.peer_url,), urls, is_learner=False)
        return self.entries.get(node.name, info)

    def live_list(self) -> tuple[MemberInfo, ...]:
        """Return the member list, as etcd would answer with a quorum."""
        listed = (self.entry(node) for node in self.nodes.values() if node.name not in self.unlisted)
        return (*listed, *self.more)

    def observe(self) -> ClusterObservation:
        """Return what the controller sees."""
        hosts = {name: self._host(node) for name, node in self.nodes.items()}
        endpoints = {name: self._endpoint(node) for name, node in self.nodes.items()}
        return ClusterObservation(NOW.timestamp(), hosts, endpoints)

    def plan(
        self,
        scope: Collection[str] | None = None,
        *,
        allowed: frozenset[Difference] = DEPLOY,
        accept_downtime: bool = False,
        renewal: Renewal = AS_DUE,
        rotation: Rotation = UNSAID,
    ) -> Plan:
        """Return the plan, held to what holds for every plan."""
        scoped = self.names if scope is None else frozenset(scope)
        desired = Desired(
            self.cluster, self.wanted, scoped, allowed, NOW, accept_downtime, renewal, rotation, self.snapshots
        )
        planned = plan(desired, self.seen or self.observe(), self.store)
        assert not (planned.refusals and planned.steps)
        assert all("\n" not in reason for reason in planned.refusals)
        assert all(wave for wave in planned.waves)
        assert len({step.id for step in planned.steps}) == len(planned.steps)
        assert {step.host for step in planned.steps if step.action not in OF_THE_CLUSTER} <= scoped | {""}
        assert len(set(planned.refusals)) == len(planned.refusals)
        assert len(set(planned.notes)) == len(planned.notes)
        return planned

    def refusals(self, scope: Collection[str] | None = None, *, accept_downtime: bool = False) -> str:
        """Return why a deploy is refused, as lines; there must be a reason, and no step."""
        planned = self.plan(scope, accept_downtime=accept_downtime)
        assert planned.refusals
        return "\n".join(planned.refusals)

    def carry_out(self, planned: Plan, *, waves: int | None = None) -> None:
        """Change the world as the first waves of a plan would."""
        for wave in planned.waves[:waves]:
            for step in wave:
                self.carry_out_step(step)
            for step in wave:
                if step.action in STARTING:
                    assert self.nodes[step.host].up, step
                    assert self.has_quorum, f"{step.id}: nobody answers a linearizable read"
                    self.nodes[step.host].published = True

    def carry_out_step(self, step: Step) -> None:
        """Change the world as one step would; starting members are not waited for."""
        self.done.append(step)
        if step.action in AUTHORITY_ACTIONS:
            self._change_ca(step)
        elif step.action == "issue-client":
            self.store = replace(self.store, client=pair(self.signer, controller_request(self.cluster)))
        elif step.action == "issue-apiserver":
            leaf = pair(self.signer, apiserver_request())
            self.store = replace(self.store, apiservers=self.store.apiservers | {step.host: leaf})
        elif step.action == "issue-certificate":
            leaf = pair(self.signer, leaf_request(self.nodes[step.host].member))
            self.store = replace(self.store, leaves=self.store.leaves | {step.host: leaf})
        elif step.action == "save-snapshot":
            assert self.has_quorum
            self.snapshots += (NOW,)
        elif step.action == "enable-downgrade":
            self._enable_downgrade(self.nodes[step.host])
        else:
            self._on_host(self.nodes[step.host], step)

    @property
    def signer(self) -> Authority:
        """The CA that signs."""
        return next(one for one in (authority(), *more_authorities()) if one.pem == self.store.ca.certificate)

    def _change_ca(self, step: Step) -> None:
        """Change the controller's folder as the step would, and so the manifests that are wanted."""
        store = self.store
        trust, known = store.trust, {**store.others, store.trust.signer: store.ca}
        if step.action in {"make-etcd-ca", "add-ca"}:
            name = f"etcd-{len(known)}"
            known[name] = Pair(more_authorities()[len(known) - 1].pem, b"key")
            trust = Trust(name, (name,)) if step.action == "make-etcd-ca" else trust.adding(name)
        elif step.action == "make-ca":
            known[CLUSTER] = Pair(authority().pem, b"key")
        else:
            trust = trust.switched() if step.action == "switch-signer" else trust.retired()
        ca = known.pop(trust.signer)
        self.store = replace(store, trust=trust, ca=ca, others=known)
        self.wanted = {
            member.name: render(member, self.cluster, template=TEMPLATE, trusted=self.store.trusted)
            for member in self.cluster.members
        }

    def settle(self, *, seconds: float = 30.0) -> None:
        """Let time pass, in which kubelets act on the manifests that lie on their hosts."""
        for node in self.nodes.values():
            self.pass_by(node, seconds)
            if node.manifest is not None and (not node.up or node.late < 0):
                node.late = 0.0
                self.start(node)

    @staticmethod
    def pass_by(node: Node, seconds: float) -> None:
        """Let time pass on a host."""
        node.manifest_age += seconds
        node.former_age += seconds

    def write(self, node: Node) -> None:
        """Write the wanted manifest as an upgrade does, and be ended: the kubelet has yet to act on it."""
        self.keep_former(node)
        node.manifest, node.manifest_age, node.late = self.wanted[node.name], 0.0, -5.0

    def crash(self, node: Node) -> None:
        """Let the kubelet act on the manifest that was written, with a container that does not answer yet, or ever."""
        assert node.manifest is not None
        node.image, node.late, node.up, node.restarts = image_of(node.manifest), 0.0, False, node.restarts + 1

    def _enable_downgrade(self, node: Node) -> None:
        """Let etcd go down a minor, as its server would: once, by one minor, and with a quorum."""
        assert self.has_quorum
        assert node.up
        assert self.downgrade is None, "etcd refuses a second one"
        wanted = release(node.member.settings.etcd_version)
        assert wanted is not None
        assert self.speaks == (wanted.major, wanted.minor + 1)
        assert self.least in DOWNGRADES
        self.downgrade, self.speaks = Version(*wanted.line, 0), wanted.line

    def _agree(self) -> None:
        """Let the leader raise the cluster's version, or end a downgrade, when all members are there."""
        if len(self.running) < len(self.nodes):
            return
        lines = {version.line for node in self.nodes.values() if (version := release(node.version))}
        if self.downgrade is not None and lines == {self.downgrade.line}:
            self.downgrade = None
        if self.downgrade is None:
            self.speaks = max(self.speaks, min(lines))

    def _on_host(self, node: Node, step: Step) -> None:
        if step.action == "pull-image":
            assert not isinstance(node.images, Unknown)
            node.images |= {node.member.settings.etcd_image}
        elif step.action in {"place-apiserver-files", "replace-apiserver"}:
            self._on_apiserver(node, step)
        elif step.action == "move-leader":
            if self.leader == node.name:
                self.leads = min(self.running - {node.name})
        elif step.action in {"place-files", "prepare-member"}:
            assert self.store.trusted is not None
            node.placed = (self.store.leaves[node.name], self.store.trusted)
            if node.member.settings.etcd_ca == "cluster":
                node.ca = node.ca or self.store.trusted
            if step.action == "prepare-member":
                assert node.data in {ABSENT, EMPTY}, "only an absent or empty directory is prepared"
                node.data = GUARD
        else:
            self._restart(node, step)

    def _restart(self, node: Node, step: Step) -> None:
        if step.action in {"start-member", "replace-manifest", "upgrade-member", "roll-back-member"}:
            assert step.diff
            if step.action == "upgrade-member":
                self.keep_former(node)
            node.manifest = node.former if step.action == "roll-back-member" else self.wanted[node.name]
            node.manifest_age, node.late = 0.0, 0.0
            node.restarts += 1
        elif step.action in {"await-restart", "finish-upgrade"}:
            node.late, node.restarts = 0.0, node.restarts + 1
        self.start(node)

    def keep_former(self, node: Node) -> None:
        """Keep the manifest that an upgrade replaces; one with the image that is wanted is none to go back to."""
        assert node.manifest is not None
        if image_of(node.manifest) != image_of(self.wanted[node.name]):
            node.former = node.manifest
        node.former_age = 0.0

    def _on_apiserver(self, node: Node, step: Step) -> None:
        if step.action == "replace-apiserver":
            node.restart_apiserver(self.store.trusted)
        else:
            node.place_for_apiserver(self.store.apiservers[node.name])

    def start(self, node: Node) -> None:
        """Start the member as a kubelet would: only where the guard, or the data behind it, is there."""
        assert node.manifest is not None
        assert not isinstance(node.data, Unknown)
        assert node.data.state in {"guard", "member"}, f"{node.name}: the kubelet does not start it"
        assert node.placed is not None
        assert node.images
        assert image_of(node.manifest) in node.images, "the kubelet would have to pull it"
        if node.data.state == "guard":
            node.data = node.bootstrapped(self.cluster)
        node.trusts = node.placed[1]
        node.image = image_of(node.manifest)
        node.up = (node.name, node.image) not in self.broken
        if node.up:
            self._run(node)

    def _run(self, node: Node) -> None:
        """Let a member run the release of its image, beside the others."""
        version = release(node.image.rpartition(":")[2])
        assert version is not None
        assert version.line >= self.speaks, f"{node.name}: {version} does not start on what the cluster speaks"
        node.version = str(version)
        lines = {found.line for name in self.running if (found := release(self.nodes[name].version))}
        assert max(lines) <= (min(lines)[0], min(lines)[1] + 1), f"{lines} side by side"
        self._agree()

    def _host(self, node: Node) -> HostObservation:
        if node.error is not None:
            return HostObservation(node.name, error=node.error)
        images = node.images
        return HostObservation(
            host=node.name,
            uid=0,
            hostname=node.name,
            clock=NOW.timestamp(),
            files=node.observed_files(),
            texts=node.observed_texts(),
            containers=images if isinstance(images, Unknown) else node.containers(),
            images=images if isinstance(images, Unknown) else {image: f"sha256:{image}" for image in images},
            data=node.data,
            apiserver=node.apiserver,
            surroundings=node.surroundings(
                {
                    one.member.address: "open" if one.up else "silent" if one.error else "refused"
                    for one in self.nodes.values()
                }
            ),
        )

    def _endpoint(self, node: Node) -> EndpointObservation:
        if not node.up:
            refused = EndpointObservation(False, False, SILENT, SILENT, SILENT, SILENT, SILENT, SILENT)
            unreachable = replace(refused, client_port=SILENT, peer_port=SILENT)
            return unreachable if node.error else refused
        cluster_id, _ = bootstrap_ids(self.cluster)
        node_id = self.entry(node).id
        leader = self.entry(self.nodes[self.leader]).id if self.leader else 0
        status = MemberStatus(cluster_id, node_id, node.version, 20480, 16384, leader, 2, 9, 9, False, (), revision=7)
        version = release(node.version)
        if version is not None and version.line >= DOWNGRADES[0]:
            spoken = "{}.{}.0".format(*self.speaks)
            status = replace(status, storage_version=spoken, downgrade=str(self.downgrade or ""))
        served = (node.placed[0].certificate if node.placed else None) or SILENT
        no_quorum = Unknown("context deadline exceeded")
        return EndpointObservation(
            client_port=True,
            peer_port=True,
            served_client=served,
            served_peer=served,
            status=status,
            members=MemberList(cluster_id, node_id, self.live_list()) if self.has_quorum else no_quorum,
            alarms=self.alarms if self.has_quorum else no_quorum,
            read_seconds=0.004 if self.has_quorum else no_quorum,
            hash=node.hash,
            metrics=self._metrics(node),
            cluster_version="{}.{}.0".format(*self.speaks) if self.has_quorum else no_quorum,
            auth=self.auth if self.has_quorum else no_quorum,
            probes=Probes({"/livez": 200} | dict.fromkeys(("/readyz", "/health"), 200 if self.has_quorum else 503)),
        )

    def _metrics(self, node: Node) -> Metrics:
        """Return what a member says that has run for ten days on a good disk, and has known all others since."""
        others = (self.entry(other) for other in self.nodes.values() if other is not node)
        return Metrics(
            wal_fsync=Quantile(0.0031, 100_000, 0),
            backend_commit=Quantile(0.0078, 90_000, 0),
            leader_changes=3,
            peer_round_trip={hexadecimal(info.id): Quantile(0.0016, 20_000, 0) for info in others},
            started_at=NOW.timestamp() - 10 * 86400,
            quota=node.member.settings.etcd_quota_backend_bytes,
        )


STARTING = (
    "start-member",
    "await-member",
    "await-restart",
    "replace-manifest",
    "upgrade-member",
    "finish-upgrade",
    "roll-back-member",
)
"""Steps that end when their member answers."""


def deployed(size: int = 3, **data: Any) -> World:
    """Return a healthy cluster on which nothing differs."""
    world = World(size, full_store(size, **data), **data)
    bring_up(world)
    return world


def bring_up(world: World) -> None:
    """Let every host have what it wants, and its member run."""
    for node in world.nodes.values():
        assert world.store.ca.certificate is not None
        node.placed = (world.store.leaves[node.name], world.store.ca.certificate)
        node.ca = world.store.ca.certificate
        node.images = frozenset({node.member.settings.etcd_image})
        node.manifest = world.wanted[node.name]
        node.data = node.bootstrapped(world.cluster)
        node.up = node.published = True
        node.trusts = world.store.ca.certificate


def differ(node: Node) -> None:
    """Leave another manifest on the host than the one wanted."""
    assert node.manifest is not None
    node.manifest = node.manifest.replace("--snapshot-count=10000", "--snapshot-count=5000")
