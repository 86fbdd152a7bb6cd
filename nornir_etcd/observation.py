"""What an observation is: the state of hosts and etcd as it was read. Pure: no I/O.

A value that could not be read is an `Unknown` with its reason, never a guess. `observe.py` takes
observations; `plan` and `checks` decide on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar, Union

if TYPE_CHECKING:
    from nornir_etcd.apiserver import ApiServer

T = TypeVar("T")


@dataclass(frozen=True)
class Unknown:
    """A value that could not be read, and why."""

    reason: str


Maybe = Union[T, Unknown]  # noqa: UP007 - a generic alias with a TypeVar needs Union on Python 3.10

NOT_READ = Unknown("not read")

CLOCK_LIMIT = 1.0
"""Seconds that a host's clock may be from the controller's and the other members': etcd itself warns of more between
peers (maxClockDifference, "prober found high clock drift",
https://github.com/etcd-io/etcd/blob/v3.5.16/server/etcdserver/api/rafthttp/probing_status.go), and a certificate is not
valid on a host whose clock is behind that of its issuer."""


@dataclass(frozen=True)
class MemberInfo:
    """One entry of etcd's member list."""

    id: int
    name: str  # empty: the member was added and never started
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool

    @property
    def started(self) -> bool:
        """Whether the member has ever published itself (etcd leaves the name empty until then)."""
        return bool(self.name)


@dataclass(frozen=True)
class MemberList:
    """The answer to MemberList."""

    cluster_id: int
    answered_by: int  # ID of the member that answered
    members: tuple[MemberInfo, ...]


@dataclass(frozen=True)
class MemberStatus:
    """The answer of one endpoint to Status."""

    cluster_id: int
    member_id: int
    version: str
    db_size: int  # bytes
    db_size_in_use: int  # bytes
    leader: int  # 0: the member knows no leader
    raft_term: int
    raft_index: int
    raft_applied_index: int
    is_learner: bool
    errors: tuple[str, ...]
    revision: int = 0  # of the store, as the response's header tells it
    storage_version: str = ""  # 3.6 and later
    db_size_quota: int = 0  # bytes; 3.6 and later
    downgrade: str = ""  # what etcd was told to go down to; 3.6 and later


@dataclass(frozen=True)
class HashKv:
    """The answer to HashKV: a hash of all keys up to one revision. Comparable only at equal revisions."""

    hash: int
    revision: int  # up to which it was computed
    compact_revision: int


@dataclass(frozen=True)
class Quantile:
    """The 99th percentile of a histogram of /metrics."""

    seconds: float
    samples: int
    window: float  # seconds between two scrapes; 0: since the member started


@dataclass(frozen=True)
class Metrics:
    """What checks want to know of a member's /metrics."""

    wal_fsync: Maybe[Quantile] = NOT_READ  # etcd_disk_wal_fsync_duration_seconds
    backend_commit: Maybe[Quantile] = NOT_READ  # etcd_disk_backend_commit_duration_seconds
    leader_changes: Maybe[int] = NOT_READ  # etcd_server_leader_changes_seen_total, since start
    peer_round_trip: Maybe[dict[str, Quantile]] = NOT_READ  # by member ID (hexadecimal) of the other end
    started_at: Maybe[float] = NOT_READ  # process_start_time_seconds, since the epoch
    quota: Maybe[int] = NOT_READ  # etcd_server_quota_backend_bytes; negative: there is none


@dataclass(frozen=True)
class Probes:
    """What the member says to the probes that a kubelet sends it: HTTP status by path (/livez, /readyz, /health).

    A status of 0: the path was asked, and nothing came in time.
    """

    answers: dict[str, int]


@dataclass(frozen=True)
class Alarm:
    """An alarm that a member has raised."""

    member_id: int
    kind: str  # NOSPACE, CORRUPT, or the number where etcd has a kind this program does not know


@dataclass(frozen=True)
class EndpointObservation:
    """What one member answered to the controller."""

    client_port: Maybe[bool] = NOT_READ  # a TCP connection to the client port succeeds
    peer_port: Maybe[bool] = NOT_READ
    served_client: Maybe[bytes] = NOT_READ  # PEM of the certificate served on the client port
    served_peer: Maybe[bytes] = NOT_READ
    status: Maybe[MemberStatus] = NOT_READ
    members: Maybe[MemberList] = NOT_READ
    alarms: Maybe[tuple[Alarm, ...]] = NOT_READ
    read_seconds: Maybe[float] = NOT_READ  # latency of a linearizable read
    # Read in a deep look alone.
    hash: Maybe[HashKv] = NOT_READ
    metrics: Maybe[Metrics] = NOT_READ
    probes: Maybe[Probes] = NOT_READ
    cluster_version: Maybe[str] = NOT_READ  # etcdcluster of /version
    auth: Maybe[bool] = NOT_READ  # authentication by user and role is on
    blind: Unknown | None = None  # why the controller cannot ask it: the member may serve others all the same
    via: Literal["direct", "ssh"] = "direct"  # ssh: as the host itself sees it, through its SSH session


@dataclass(frozen=True)
class FileState:
    """One path on a host."""

    kind: Literal["absent", "file", "directory", "link", "other"]
    mode: int = 0
    owner: str = ""  # uid:gid
    size: int = 0
    sha256: str = ""  # of a file's content, a link followed
    target: str = ""  # of a link
    mtime: float = 0.0  # seconds since the epoch, host's clock


@dataclass(frozen=True)
class Container:
    """A container of etcd, or of an API server, as the runtime describes it."""

    id: str
    state: str  # the runtime's own word: CONTAINER_RUNNING, CONTAINER_EXITED ...
    pod: str
    attempt: int  # restart count
    image_id: str
    created_ns: int  # nanoseconds since the epoch
    image: str = ""  # the tag it was started from, where the runtime tells

    @property
    def running(self) -> bool:
        """Whether the runtime says that it runs now."""
        return self.state == "CONTAINER_RUNNING"


@dataclass(frozen=True)
class ApiServerState:
    """A kube-apiserver on the host."""

    manifest: Maybe[ApiServer | None]  # None: it runs, and no manifest of it lies where one is looked for
    containers: Maybe[tuple[Container, ...]]  # newest first

    @property
    def container(self) -> Container | None:
        """The newest container, or None where there is none or it is unknown."""
        return self.containers[0] if not isinstance(self.containers, Unknown) and self.containers else None


@dataclass(frozen=True)
class DataDirectory:
    """The data directory of a member, identified by its WAL metadata record (facts: a file name proves nothing)."""

    state: Literal["absent", "empty", "guard", "member", "other"]  # guard: an empty `member` directory and nothing else
    node_id: int = 0
    cluster_id: int = 0
    content: tuple[str, ...] = ()  # names found in it, for the report


@dataclass(frozen=True)
class ClockOffset:
    """The host's clock minus the controller's, in seconds: it lies between these bounds (a round trip takes time)."""

    low: float
    high: float

    @property
    def least(self) -> float:
        """How many seconds the clocks are apart at least."""
        return max(self.low, -self.high, 0.0)

    @property
    def most(self) -> float:
        """How many seconds the clocks are apart at most."""
        return max(-self.low, self.high)

    def narrowed(self, later: ClockOffset) -> ClockOffset:
        """Return what both readings leave; the later one where the clock was set in between."""
        low, high = max(self.low, later.low), min(self.high, later.high)
        return ClockOffset(low, high) if low <= high else later


@dataclass(frozen=True)
class Kubelet:
    """A kubelet that runs on the host, and where it takes static Pods from."""

    pid: int
    verdict: Literal["same", "other", "unset", "unreadable"]  # same: the folder that the manifest is written to
    source: str  # of the path: a configuration file or a flag
    path: str  # of the folder; empty where it is not known
    runtime: str = ""  # its endpoint, such as unix:///run/containerd/containerd.sock; empty where it is not told


@dataclass(frozen=True)
class Manifests:
    """What else lies in the folder of static Pods. The kubelet takes every file there for a Pod, whatever its name."""

    files: tuple[str, ...]
    etcd: tuple[str, ...]  # those of them with a Pod or container named etcd


@dataclass(frozen=True)
class Listener:
    """A socket that listens on one of etcd's ports."""

    port: int
    address: str
    pid: int = 0  # 0: its owner is not known
    process: str = ""
    cgroup: str = ""  # of the process: names its container


@dataclass(frozen=True)
class Volume:
    """The file system of a folder, or of the nearest folder above it that is there."""

    folder: str  # which that is
    free: int  # bytes
    writable: bool
    mount: str  # where it is mounted


@dataclass(frozen=True)
class Surroundings:
    """What a host offers etcd: read before something is done there, by the same round trip as the rest."""

    offset: Maybe[ClockOffset] = NOT_READ
    missing_tools: Maybe[tuple[str, ...]] = NOT_READ
    runtime: Maybe[str | None] = NOT_READ  # its own name; None: not asked, since an etcd runs
    sockets: Maybe[tuple[str, ...]] = NOT_READ  # of container runtimes
    digests: Maybe[dict[str, frozenset[str]]] = NOT_READ  # tag -> its image's ID and the digests that registries gave
    kubelets: Maybe[tuple[Kubelet, ...]] = NOT_READ
    manifests: Maybe[Manifests] = NOT_READ
    listeners: Maybe[tuple[Listener, ...]] = NOT_READ
    volumes: Maybe[dict[str, Volume]] = NOT_READ  # by folder
    peers: dict[str, Maybe[Literal["open", "refused", "silent"]]] = field(default_factory=dict)  # by address


@dataclass(frozen=True)
class HostObservation:
    """What one host said over SSH, in one round trip."""

    host: str
    error: Unknown | None = None  # set where the host could not be asked at all
    uid: int = -1
    hostname: str = ""
    clock: float = 0.0  # seconds since the epoch, host's clock
    files: dict[str, FileState] = field(default_factory=dict, repr=False)
    texts: dict[str, str] = field(default_factory=dict, repr=False)  # content of files that hold no secret, by path
    containers: Maybe[tuple[Container, ...]] = NOT_READ  # newest first
    images: Maybe[dict[str, str]] = NOT_READ  # tag -> image id
    data: Maybe[DataDirectory] = NOT_READ
    apiserver: Maybe[ApiServerState | None] = NOT_READ  # None: the host runs none
    surroundings: Maybe[Surroundings] = NOT_READ  # read where something may be done on the host

    @property
    def container(self) -> Container | None:
        """The newest etcd container, or None where there is none or it is unknown."""
        return self.containers[0] if not isinstance(self.containers, Unknown) and self.containers else None


@dataclass(frozen=True)
class ClusterObservation:
    """One cluster at one moment."""

    taken_at: float  # seconds since the epoch, controller's clock
    hosts: dict[str, HostObservation]
    endpoints: dict[str, EndpointObservation]  # by host name
    # Live members that the inventory does not have, by ID; asked where membership is what it is about.
    strangers: dict[int, EndpointObservation] = field(default_factory=dict)
    # The log of an etcd that does not run though it has data, by host name; asked where damaged data are to be found.
    last_words: dict[str, Maybe[tuple[str, ...]]] = field(default_factory=dict, repr=False)
