"""Takes observations: hosts over SSH, members over gRPC. Each is a Nornir task, usable alone."""

from __future__ import annotations

import logging
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from nornir.core.task import Result

from nornir_etcd.connections import https, tls
from nornir_etcd.connections.etcd import CONNECTION_NAME, Etcd
from nornir_etcd.examine import examine, unexamined
from nornir_etcd.exceptions import EtcdTlsError, NornirEtcdError, RemoteError
from nornir_etcd.layout import layout
from nornir_etcd.observation import (
    CLOCK_LIMIT,
    ClockOffset,
    ClusterObservation,
    EndpointObservation,
    HostObservation,
    Maybe,
    Unknown,
)
from nornir_etcd.remote.exec import run_script
from nornir_etcd.remote.tunnel import open_tunnel, opened_tunnel
from nornir_etcd.runtimes import runtime
from nornir_etcd.signers.local import CertificateStore
from nornir_etcd.surroundings.answer import clock_offset
from nornir_etcd.survey import READ_CLOCK, parse_survey, survey_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Any

    from etcd3 import MultiEndpointEtcd3Client
    from nornir.core import Nornir
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host
    from nornir.core.task import AggregatedResult, Task

    from nornir_etcd.cluster import Cluster, Member
    from nornir_etcd.remote.tunnel import Tunnel

T = TypeVar("T")

SURVEY_DEADLINE = 30.0
"""Seconds for the one command that reads a host. It takes well under one on a host that is not in trouble, and crictl
gives a runtime that does not answer 2 s by itself. All hosts of a cluster wait for the one that hangs."""
CLOCK_READINGS = 8
CLOCK_PAUSE = 0.15
"""How often, and how many seconds apart, a clock is read again that is not yet known closely enough: a busy machine
answers late, and busybox's date tells whole seconds, so that readings at other parts of a second tell more."""
NO_SSH = Unknown("not asked, as was wanted (--no-ssh)")
NO_PEER_PORT = Unknown("not looked at, since endpoints alone are known")
CONNECT_SHARE = 2 / 3
"""Part of `etcd_timeout` for one connection attempt of gRPC's."""
LOOK_SHARE = 0.5
"""Part of `etcd_timeout` for the look that decides `etcd_via: auto`: of 3 s enough for a packet that was lost and is
sent again after 1 s (RFC 6298)."""


def observe_host(task: Task, cluster: Cluster, *, surroundings: bool = False) -> Result:
    """Read the host over SSH, in one round trip.

    Args:
        task: Nornir's.
        cluster: the host's cluster, as `nornir_etcd.clusters_in` gives it.
        surroundings: read what preflight wants to know as well.

    Returns:
        A `HostObservation`; where the host cannot be asked, one whose `error` says why.
    """
    member = cluster.member(task.host.name)
    paths, used = layout(member.settings), runtime(member.settings.container_runtime)
    token = secrets.token_hex(8)
    peers = [other.address for other in cluster.members if other != member] if surroundings else None
    script = survey_script(paths, used, token, peers=peers)
    try:
        done = run_script(
            task.host, task.nornir.config, script, deadline=SURVEY_DEADLINE, check=False, purpose="look at the host"
        )
    except NornirEtcdError as error:  # RemoteError, or InventoryError of an option of the connection
        seen = HostObservation(host=member.name, error=Unknown(str(error)))
    else:
        answered = time.time()
        asked = (answered - done.seconds, answered)
        seen = parse_survey(member.name, done.stdout, token, paths, used, peers=peers, asked=asked)
        if not isinstance(seen.surroundings, Unknown) and isinstance(seen.surroundings.offset, ClockOffset):
            offset = _read_closely(task, seen.surroundings.offset)
            seen = replace(seen, surroundings=replace(seen.surroundings, offset=offset))
    return Result(task.host, result=seen, severity_level=logging.DEBUG)


def _read_closely(task: Task, offset: ClockOffset) -> ClockOffset:
    """Read the clock again until it is known whether it is off. Most are known from the first look."""
    for _ in range(CLOCK_READINGS):
        if offset.most <= CLOCK_LIMIT or offset.least > CLOCK_LIMIT:
            break
        time.sleep(CLOCK_PAUSE)
        try:
            done = run_script(
                task.host,
                task.nornir.config,
                READ_CLOCK,
                deadline=SURVEY_DEADLINE,
                check=False,
                purpose="read the clock",
            )
        except RemoteError:
            break
        said, answered = done.stdout.decode(errors="replace"), time.time()
        again = clock_offset(said, said, (answered - done.seconds, answered))
        offset = offset if isinstance(again, Unknown) else offset.narrowed(again)
    return offset


def observe_endpoint(task: Task, cluster: Cluster, *, tunnel: bool = True, deep: bool = False) -> Result:
    """Ask the member itself: its ports, the certificates it serves, its status, member list, alarms and health.

    By which road is said by `etcd_via`: from the controller, through the host's SSH session, or (auto) through that
    session where one of the ports gives the controller no answer. A port that refuses is an answer. A tunnel that was
    opened once is used until the host's connections are closed.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        tunnel: a tunnel may be opened where there is none yet.
        deep: ask all that `examine` does as well. But no hash: it is compared at one revision of all members, which
            `observe` knows.

    Returns:
        An `EndpointObservation`.
    """
    host, config, member = task.host, task.nornir.config, cluster.member(task.host.name)
    through = opened_tunnel(host)
    seen = _silent(Unknown("waits for SSH"))
    if through is None and member.settings.etcd_via != "ssh":
        seen = _look(host, config, member, None)
    if through is None and tunnel and _wants_tunnel(member, seen):
        through = _reroute(host, config)
    if through is not None:
        seen = _look(host, config, member, through)
    if deep:
        seen = _examine(host, config, member, seen, None)
    return Result(task.host, result=seen, severity_level=logging.DEBUG)


def observe_deeper(
    task: Task, cluster: Cluster, *, endpoints: Mapping[str, EndpointObservation], revision: int | None
) -> Result:
    """Ask a member that was observed for what `examine` does: what takes longer, or is wanted seldom.

    It is asked by the road that it was observed by.

    Args:
        task: Nornir's.
        cluster: the host's cluster.
        endpoints: what was observed, by host name.
        revision: up to which keys are hashed, one that all members have; None where there is none.

    Returns:
        An `EndpointObservation`: the one given, and more.
    """
    host = task.host
    seen = _examine(host, task.nornir.config, cluster.member(host.name), endpoints[host.name], revision)
    return Result(host, result=seen, severity_level=logging.DEBUG)


def _examine(
    host: Host, config: Config, member: Member, seen: EndpointObservation, revision: int | None
) -> EndpointObservation:
    through = opened_tunnel(host)
    return examine(
        seen,
        member,
        client=lambda: _client(host, config, member, through),
        https=lambda: _https(host, member, through),
        revision=revision,
    )


def _https(host: Host, member: Member, through: Tunnel | None) -> AbstractContextManager[https.Session]:
    extras = _extras(host, member)
    return https.session(
        member.address,
        int(extras.get("port", member.client_port)),
        {name: str(extras[name]) for name in ("cacert", "cert", "key") if extras.get(name)},
        timeout=float(member.settings.etcd_timeout),
        server_name=str(extras.get("server_name") or ""),
        dial=through.dial if through else tls.dial,
    )


def _wants_tunnel(member: Member, seen: EndpointObservation) -> bool:
    """Whether a look by another road may tell more."""
    unanswered = isinstance(seen.client_port, Unknown) or isinstance(seen.peer_port, Unknown)
    return unanswered and member.settings.etcd_via != "direct"


def _reroute(host: Host, config: Config) -> Tunnel:
    """Return the host's tunnel; RPCs go through it from now on."""
    if CONNECTION_NAME in host.connections:
        host.close_connection(CONNECTION_NAME)
    return open_tunnel(host, config)


def _look(host: Host, config: Config, member: Member, through: Tunnel | None) -> EndpointObservation:
    """Look at both ports of a member and ask it, by one road."""
    dial = through.dial if through else tls.dial
    quick = through is None and member.settings.etcd_via == "auto"
    patience = float(member.settings.etcd_timeout)
    look = patience * LOOK_SHARE if quick else patience
    client_port, served_client = _port(member, member.client_port, look, dial)
    peer_port: Maybe[bool]
    served_peer: Maybe[bytes]
    if member.peer_port is None:
        peer_port = served_peer = NO_PEER_PORT
    elif quick and isinstance(client_port, Unknown):
        peer_port = served_peer = Unknown(f"not looked at, since port {member.client_port} does not answer")
    else:
        peer_port, served_peer = _port(member, member.peer_port, look, dial)
    asked = ask(host, config, member, through) if client_port is True else _silent(served_client)
    if isinstance(client_port, Unknown):
        asked = replace(asked, blind=client_port)
    return replace(
        asked,
        client_port=client_port,
        peer_port=peer_port,
        served_client=served_client,
        served_peer=served_peer,
        via="ssh" if through else "direct",
    )


def observe_member(host: Host, config: Config, member: Member) -> EndpointObservation:
    """Look at the ports of a member and ask it, straight from the controller.

    Args:
        host: whose connection options are taken; it need not be in the inventory.
        config: Nornir's configuration.
        member: where it is.
    """
    return _look(host, config, member, None)


def _port(member: Member, port: int, look: float, dial: tls.Dial) -> tuple[Maybe[bool], Maybe[bytes]]:
    """Return whether a port is open, for which it has `look` seconds, and the certificate served there."""
    address, patience = member.address, float(member.settings.etcd_timeout)
    is_open = _maybe(lambda: tls.port_open(address, port, timeout=look, dial=dial))
    if isinstance(is_open, Unknown):
        return is_open, is_open
    if not is_open:
        return False, Unknown(f"port {port} refuses connections")
    return True, _maybe(lambda: tls.served_certificate(address, port, timeout=patience, dial=dial))


def served(host: Host, member: Member) -> dict[int, Maybe[bytes]]:
    """Return what each port of a member serves now, by the road of the last look at it.

    Args:
        host: the member's host.
        member: the member.

    Returns:
        The certificate in PEM by port; unknown where the port does not answer.
    """
    through = opened_tunnel(host)
    dial, patience = through.dial if through else tls.dial, float(member.settings.etcd_timeout)
    ports = [port for port in (member.client_port, member.peer_port) if port is not None]
    return {port: _port(member, port, patience, dial)[1] for port in ports}


def etcd_client(host: Host, config: Config, member: Member) -> MultiEndpointEtcd3Client:
    """Return the host's etcd connection, opened with the controller's client certificate where it is not open yet.

    Certificate files that the inventory names under connection_options.etcd.extras are taken before our own. The road
    is that of the last look at the member, or is looked for now.

    Raises:
        PkiError: the controller has no client certificate.
        InventoryError: an option is wrong.
        RemoteError: the tunnel that is wanted cannot be made.
    """
    through, via = opened_tunnel(host), member.settings.etcd_via
    undecided = through is None and CONNECTION_NAME not in host.connections
    if undecided and (via == "ssh" or (via == "auto" and _is_cut_off(member))):
        through = _reroute(host, config)
    return _client(host, config, member, through)


def _is_cut_off(member: Member) -> bool:
    """Whether the client port gives the controller no answer."""
    look = member.settings.etcd_timeout * LOOK_SHARE
    return isinstance(_maybe(lambda: tls.port_open(member.address, member.client_port, timeout=look)), Unknown)


def _client(host: Host, config: Config, member: Member, through: Tunnel | None) -> MultiEndpointEtcd3Client:
    if CONNECTION_NAME not in host.connections:
        extras = _dialled(host, member, through)
        host.open_connection(
            CONNECTION_NAME, config, hostname=member.address, extras=extras, default_to_host_attributes=False
        )
    return host.connections[CONNECTION_NAME].connection


@contextmanager
def separate_client(host: Host, config: Config, member: Member) -> Iterator[MultiEndpointEtcd3Client]:
    """Yield an etcd connection beside the host's own, with the files of now, and close it: for another thread.

    The road is that of the last look at the member; where there was none, straight unless `etcd_via` is `ssh`.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        member: the host's member.

    Raises:
        PkiError: the controller has no client certificate.
        InventoryError: an option is wrong.
        RemoteError: the tunnel that is wanted cannot be made.
    """
    through = opened_tunnel(host) or (open_tunnel(host, config) if member.settings.etcd_via == "ssh" else None)
    plugin = Etcd()
    plugin.open(member.address, None, None, None, None, _dialled(host, member, through), config)
    try:
        yield plugin.connection
    finally:
        plugin.close()


def _dialled(host: Host, member: Member, through: Tunnel | None) -> dict[str, Any]:
    """Return the options of a connection to a member, by one road."""
    # Less than the question itself may take: the error then says what was wrong with the connection.
    extras = {"connect_timeout": member.settings.etcd_timeout * CONNECT_SHARE, **_extras(host, member)}
    if through is not None and "target" not in extras:
        target = through.listen(member.address, int(extras.get("port", member.client_port)))
        extras = {"server_name": member.address, **extras, "target": target}
    return extras


def _extras(host: Host, member: Member) -> Mapping[str, Any]:
    """Return the certificate files to use, and what else the inventory says of the connection.

    Raises:
        PkiError: the controller has no client certificate.
    """
    chosen = host.get_connection_parameters(CONNECTION_NAME).extras
    if chosen and "cacert" in chosen:
        return chosen
    return CertificateStore(Path(member.settings.generate_certs_dir)).client_files()


def ask(host: Host, config: Config, member: Member, through: Tunnel | None) -> EndpointObservation:
    """Return what the member answers over gRPC: the latency of a read, status, member list and alarms."""
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    try:
        client = _client(host, config, member, through)
    except NornirEtcdError as error:
        why = Unknown(str(error))
        return replace(_silent(why), blind=why)
    patience = float(member.settings.etcd_timeout)
    # The status first, since it needs no quorum: what it takes to connect is then no part of the read's latency. Then
    # the read: where it fails for want of a quorum, the other linearizable calls would wait as long for nothing.
    status = _maybe(lambda: rpc.status(client, timeout=patience))
    seconds: Maybe[float]
    blind: Unknown | None = None
    try:
        seconds = rpc.linearizable_read(client, timeout=patience)
    except NornirEtcdError as error:
        trouble = through.trouble() if through else None
        seconds = Unknown(str(trouble or error))
        blind = seconds if isinstance(trouble or error, (EtcdTlsError, RemoteError)) else None
    if isinstance(seconds, Unknown):
        return EndpointObservation(read_seconds=seconds, status=status, members=seconds, alarms=seconds, blind=blind)
    return EndpointObservation(
        read_seconds=seconds,
        status=status,
        members=_maybe(lambda: rpc.member_list(client, linearizable=True, timeout=patience)),
        alarms=_maybe(lambda: rpc.alarms(client, timeout=patience)),
    )


def observe(
    nr: Nornir, cluster: Cluster, *, surroundings: bool = False, ssh: bool = True, deep: bool = False
) -> ClusterObservation:
    """Observe a whole cluster: hosts and endpoints side by side.

    Args:
        nr: Nornir with exactly the hosts of the cluster.
        cluster: the cluster.
        surroundings: read what preflight wants to know of the hosts as well.
        ssh: ask the hosts; without it they are unknown, and the members are asked directly or not at all.
        deep: ask the members that answer for more as well: the hash of their keys at one revision, /metrics, the
            probes, the cluster's version, and whether authentication is on. No SSH round trip more.
    """
    nr.data.reset_failed_hosts()
    with ThreadPoolExecutor(max_workers=2) as pool:
        hosts = pool.submit(_observe_hosts, nr, cluster, surroundings=surroundings, ssh=ssh)
        endpoints = pool.submit(_everywhere, nr, observe_endpoint, cluster=cluster, tunnel=False)
    seen, asked = hosts.result(), _collect_endpoints(endpoints.result())
    asked |= _ask_through_ssh(nr, cluster, seen, asked) if ssh else {}
    if deep:
        asked = _ask_deeper(nr, cluster, asked)
    return ClusterObservation(taken_at=time.time(), hosts=seen, endpoints=asked)


def _everywhere(nr: Nornir, task: Callable[..., Result], **arguments: Any) -> AggregatedResult:
    """Run a task on every host, those included on which another task, that runs beside or ran before, has failed."""
    return nr.run(task=task, on_failed=True, severity_level=logging.DEBUG, **arguments)


def _observe_hosts(nr: Nornir, cluster: Cluster, *, surroundings: bool, ssh: bool) -> dict[str, HostObservation]:
    if not ssh:
        return {name: HostObservation(host=name, error=NO_SSH) for name in nr.inventory.hosts}
    results = _everywhere(nr, observe_host, cluster=cluster, surroundings=surroundings)
    return _collect(results, lambda name, why: HostObservation(host=name, error=why))


def _ask_through_ssh(
    nr: Nornir, cluster: Cluster, hosts: Mapping[str, HostObservation], endpoints: Mapping[str, EndpointObservation]
) -> dict[str, EndpointObservation]:
    """Ask the members again that want a tunnel, once the hosts have shown which of them has an SSH session for it.

    So nobody waits twice for a host that does not answer, and a session that broke meanwhile is there again.
    """
    waiting = {name for name, seen in endpoints.items() if _wants_tunnel(cluster.member(name), seen)}
    found = {
        name: replace(_silent(error), client_port=error, peer_port=error, blind=error, via="ssh")
        for name in waiting
        if cluster.member(name).settings.etcd_via == "ssh" and (error := hosts[name].error) is not None
    }
    chosen = nr.filter(filter_func=lambda host: host.name in waiting and hosts[host.name].error is None)
    for host in chosen.inventory.hosts.values():
        _reroute(host, nr.config)
    if chosen.inventory.hosts:
        found |= _collect_endpoints(_everywhere(chosen, observe_endpoint, cluster=cluster))
    return found


def _ask_deeper(
    nr: Nornir, cluster: Cluster, endpoints: Mapping[str, EndpointObservation]
) -> dict[str, EndpointObservation]:
    """Ask every member for more, side by side; hashes at the newest revision that all have who answered."""
    told = {status.revision for one in endpoints.values() if not isinstance(status := one.status, Unknown)}
    revision = min(told - {0}, default=None)
    results = _everywhere(nr, observe_deeper, cluster=cluster, endpoints=endpoints, revision=revision)
    return {
        name: unexamined(endpoints[name], Unknown(f"{name}: {multi[0].exception}"))
        if multi[0].failed
        else multi[0].result
        for name, multi in results.items()
    }


def _collect_endpoints(results: AggregatedResult) -> dict[str, EndpointObservation]:
    return _collect(results, lambda _, why: EndpointObservation(client_port=why, peer_port=why, blind=why))


def _collect(results: AggregatedResult, otherwise: Callable[[str, Unknown], T]) -> dict[str, T]:
    """Return the result of each host; a task that raised leaves an observation that says so."""
    return {
        name: otherwise(name, Unknown(f"{name}: {multi[0].exception}")) if multi[0].failed else multi[0].result
        for name, multi in results.items()
    }


def _silent(why: Maybe[object]) -> EndpointObservation:
    unknown = why if isinstance(why, Unknown) else Unknown("not asked")
    return EndpointObservation(
        served_client=unknown,
        served_peer=unknown,
        read_seconds=unknown,
        status=unknown,
        members=unknown,
        alarms=unknown,
    )


def _maybe(call: Callable[[], T]) -> Maybe[T]:
    try:
        return call()
    except NornirEtcdError as error:
        return Unknown(str(error))
