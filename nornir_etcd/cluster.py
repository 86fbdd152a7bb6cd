"""A cluster: the hosts that share a deploy_name, their URLs, and quorum arithmetic. Pure: no I/O."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings.addresses import initial_cluster_entries, is_loopback
from nornir_etcd.settings.load import check_hosts, load_settings
from nornir_etcd.settings.problems import Problem, named, problem_lines, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nornir_etcd.settings import HostVariables, Settings
    from nornir_etcd.settings.load import HostSettings

CLIENT_PORT = 2379
PEER_PORT = 2380
METRICS_PORT = 2381

MAX_MEMBERS = 7
"""More members cost write latency and win nothing (https://etcd.io/docs/v3.5/faq/, "What is maximum cluster size")."""

EQUAL = (
    "etcd_preset",
    "etcd_version",
    "etcd_initial_cluster",
    "etcd_initial_cluster_token",
    "etcd_quota_backend_bytes",
    "etcd_heartbeat_interval",
    "etcd_election_timeout",
    "etcd_health_timeout",
    "etcd_key_type",
    "etcd_ca",
    "etcd_ca_days",
    "etcd_cert_days",
    "etcd_renew_days",
    "generate_certs_dir",
    "cert_signer",
    "cfssl_version",
    "cfssl_dir",
    "etcd_ca_passphrase_env",
    "etcd_ca_passphrase_file",
    "etcd_snapshot_dir",
    "etcd_snapshot_keep",
    "etcd_snapshot_timeout",
)
"""Variables of the cluster as a whole: equal on all its members (heartbeat and election: https://etcd.io/docs/v3.5/tuning/)."""

_FOLLOWS = {"cfssl_dir": "generate_certs_dir"}
"""Of these, what differs by default where another one does: that one alone is told."""

_OWN_FOLDERS = ("generate_certs_dir", "etcd_snapshot_dir")
"""Folders of the controller that no two clusters share."""


def quorum(voters: int) -> int:
    """Return how many of `voters` must agree: floor(n/2)+1 (https://etcd.io/docs/v3.5/faq/)."""
    return voters // 2 + 1


def url_host(address: str) -> str:
    """Return an address as it stands in a URL: an IPv6 address in brackets, anything else unchanged."""
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address  # noqa: PLR2004 - IPv6
    except ValueError:
        return address


@dataclass(frozen=True)
class Member:
    """One member as the inventory wants it."""

    name: str
    address: str
    settings: Settings = field(repr=False)  # Nornir logs the arguments of every task
    client_port: int = CLIENT_PORT  # another than 2379 where endpoints alone are known
    peer_port: int | None = PEER_PORT  # None: not known, since endpoints alone are

    @property
    def client_url(self) -> str:
        """The client URL that the member advertises; of an endpoint, the one that it is asked at."""
        return f"https://{url_host(self.address)}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """The peer URL that the member advertises: what identifies it in the member list."""
        return f"https://{url_host(self.address)}:{PEER_PORT}"


@dataclass(frozen=True)
class Cluster:
    """The members that share a deploy_name, in inventory order.

    Attributes:
        name: its deploy_name.
        members: as the inventory wants them.
        declared: an inventory says what is wanted; False where endpoints alone are known, so that names, peer URLs,
            versions and files are not to be compared with anything.
        ca: PEM of the CA by which the controller trusts the members, where it has one.
        leaving: hosts that shall be members no more (etcd_member: absent).
    """

    name: str
    members: tuple[Member, ...]
    declared: bool = True
    ca: bytes | None = field(default=None, repr=False)
    leaving: tuple[Member, ...] = ()

    @property
    def hosts(self) -> tuple[Member, ...]:
        """The members that are wanted, and the hosts that shall be members no more."""
        return (*self.members, *self.leaving)

    @property
    def managed(self) -> bool:
        """Whether this program writes the files of its members: another tool's are read and never written."""
        return self.declared and all(member.settings.etcd_preset == "cfssl" for member in self.members)

    @property
    def initial_cluster(self) -> str:
        """The value of --initial-cluster: as the user set it, else derived from the members."""
        return self.members[0].settings.etcd_initial_cluster or ",".join(
            f"{member.name}={member.peer_url}" for member in self.members
        )

    @property
    def token(self) -> str:
        """The value of --initial-cluster-token, the same on all members."""
        return self.members[0].settings.etcd_initial_cluster_token

    @property
    def quorum(self) -> int:
        """How many members must be healthy."""
        return quorum(len(self.members))

    def member(self, name: str) -> Member:
        """Return the member, or the leaving host, of that name.

        Raises:
            KeyError: where the cluster has none.
        """
        for member in self.hosts:
            if member.name == name:
                return member
        raise KeyError(name)


def load_clusters(
    hosts: Sequence[HostVariables], overrides: Mapping[str, str] | None = None
) -> tuple[tuple[Cluster, ...], tuple[str, ...]]:
    """Return the clusters that hosts of an inventory make up, in inventory order, and warnings.

    Args:
        hosts: every host that is to be a member, with its variables; never a filtered part of a cluster.
        overrides: values of --set, above every layer of every host.

    Raises:
        InventoryError: with every fault of hosts and clusters, one line each.
    """
    checked, problems = check_hosts(hosts, overrides or {})
    problems += _shared_addresses(checked)
    warnings = [warning for host in checked.values() for warning in host.warnings]
    warnings += _names_alike(checked)
    if not hosts:
        problems.append(Problem("inventory", "", "wanted at least one host in the group etcd, found none"))
    clusters = _grouped(checked)
    problems += (_nobody_stays(cluster) for cluster in clusters if not cluster.members)
    for cluster in (one for one in clusters if one.members):
        faults, advice = _check_cluster(cluster, checked)
        problems += faults
        warnings += advice
    problems += _shared_folders(clusters, checked)
    if problems:
        raise InventoryError(*problem_lines(problems))
    return clusters, problem_lines(warnings)


def endpoint_cluster(
    endpoints: Sequence[tuple[HostVariables, int]], ca: bytes, overrides: Mapping[str, str] | None = None
) -> tuple[Cluster, tuple[str, ...]]:
    """Return the cluster that endpoints alone tell of, and warnings. Nothing is wanted of it but thresholds.

    Args:
        endpoints: each as a host whose hostname is the address, and its port. Two may have one address: what they are
            told apart by is both.
        ca: PEM of the CA that they are trusted by.
        overrides: values of --set, above every layer of every host.

    Raises:
        InventoryError: with every fault of the variables, one line each.
    """
    settings, warnings = load_settings([host for host, _ in endpoints], overrides)
    members = []
    for host, port in endpoints:
        own = settings[host.name]
        name = f"{url_host(own.etcd_address)}:{port}"
        members.append(Member(name, own.etcd_address, own, client_port=port, peer_port=None))
    return Cluster(members[0].settings.deploy_name, tuple(members), declared=False, ca=ca), warnings


def _grouped(checked: Mapping[str, HostSettings]) -> tuple[Cluster, ...]:
    members: dict[str, list[Member]] = {}
    for name, host in checked.items():
        if "deploy_name" not in host.faulty:
            member = Member(name, host.settings.etcd_address, host.settings)
            members.setdefault(host.settings.deploy_name, []).append(member)
    return tuple(
        Cluster(
            name,
            tuple(member for member in found if member.settings.etcd_member == "present"),
            leaving=tuple(member for member in found if member.settings.etcd_member == "absent"),
        )
        for name, found in members.items()
    )


def _nobody_stays(cluster: Cluster) -> Problem:
    text = "wanted at least one member that stays, found absent on all; a whole cluster is not taken away by this"
    return Problem(f"cluster {cluster.name}", "etcd_member", text)


def _shared_addresses(checked: Mapping[str, HostSettings]) -> Iterable[Problem]:
    hosts: dict[str, list[str]] = defaultdict(list)
    for name, host in checked.items():
        if "etcd_address" not in host.faulty:
            hosts[host.settings.etcd_address].append(name)
    for address, names in hosts.items():
        if len(names) > 1:
            text = f"wanted an address of its own, found {address!r} also on {_listed(names[:-1])}"
            yield Problem(names[-1], "etcd_address", text)


def _names_alike(checked: Mapping[str, HostSettings]) -> Iterable[Problem]:
    names: dict[str, list[str]] = defaultdict(list)
    for name in checked:
        names[str(name).lower()].append(name)
    for alike in names.values():
        if len(alike) > 1:
            yield Problem(alike[-1], "name", f"differs from {_listed(alike[:-1])} in case alone")


def _shared_folders(clusters: Sequence[Cluster], checked: Mapping[str, HostSettings]) -> Iterable[Problem]:
    for key in _OWN_FOLDERS:
        owners: dict[str, str] = {}
        for cluster in clusters:
            for member in cluster.members:
                folder = getattr(member.settings, key)
                if key in checked[member.name].faulty or owners.setdefault(folder, cluster.name) == cluster.name:
                    continue
                text = f"wanted a folder of its own, found {folder!r} also in cluster {owners[folder]}"
                yield Problem(f"cluster {cluster.name}", key, text)


def _check_cluster(cluster: Cluster, checked: Mapping[str, HostSettings]) -> tuple[list[Problem], list[Problem]]:
    """Return the problems and warnings of one cluster."""
    subject = f"cluster {cluster.name}"
    count = len(cluster.members)
    problems = [*_unequal(cluster, checked), *_unreachable(cluster, checked)]
    warnings = []
    if count > MAX_MEMBERS:
        problems.append(Problem(subject, "", f"wanted at most {MAX_MEMBERS} members, found {count}; use 3 or 5"))
    elif count % 2 == 0:
        text = f"{count} members bear no more failures than {count - 1}; use an odd number (1, 3, 5 or 7)"
        warnings.append(Problem(subject, "", text))
    # A host whose deploy_name is faulty may be a member of this cluster.
    relied_on = {"deploy_name", "etcd_initial_cluster", "etcd_address"}
    if all(host.faulty.isdisjoint(relied_on) for host in checked.values()):
        problems += _disagreements(cluster)
    return problems, warnings


def _unequal(cluster: Cluster, checked: Mapping[str, HostSettings]) -> Iterable[Problem]:
    unequal: set[str] = set()
    for key in EQUAL:
        hosts: dict[object, list[str]] = defaultdict(list)
        for member in cluster.members:
            if key not in checked[member.name].faulty:
                hosts[getattr(member.settings, key)].append(member.name)
        if len(hosts) > 1 and _FOLLOWS.get(key) not in unequal:
            unequal.add(key)
            found = ", ".join(f"{shown(value)} on {_listed(names)}" for value, names in hosts.items())
            text = f"wanted the same on all members, found {found}; set it once, in their group"
            yield Problem(f"cluster {cluster.name}", key, text)


def _unreachable(cluster: Cluster, checked: Mapping[str, HostSettings]) -> Iterable[Problem]:
    """Refuse loopback where there are other members to reach."""
    for member in cluster.members if len(cluster.members) > 1 else ():
        if is_loopback(member.address) and "etcd_address" not in checked[member.name].faulty:
            text = f"wanted an address that the other members reach, found {member.address!r}; set etcd_address"
            yield Problem(member.name, "etcd_address", text, checked[member.name].sources["etcd_address"])


def _disagreements(cluster: Cluster) -> Iterable[Problem]:
    """Compare an etcd_initial_cluster that the user has set with the inventory, as sets of name and peer URL."""
    wanted = {(member.name, member.peer_url) for member in cluster.members}
    for value in dict.fromkeys(member.settings.etcd_initial_cluster for member in cluster.members):
        if value is None:
            continue
        found = set(initial_cluster_entries(value))
        told = []
        for name in dict.fromkeys(name for name, _ in sorted(wanted | found)):
            here = _listed(sorted(url for member, url in wanted if member == name))
            there = _listed(sorted(url for member, url in found if member == name))
            if not there:
                told.append(f"{name}={here} is missing")
            elif not here:
                told.append(f"{named(name)} is not in the inventory's cluster")
            elif here != there:
                told.append(f"{name} has {there} instead of {here}")
        if told:
            text = f"wanted the members of the inventory, found that {'; '.join(told)}; correct it or leave it out"
            yield Problem(f"cluster {cluster.name}", "etcd_initial_cluster", text)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(named(name) for name in names)
