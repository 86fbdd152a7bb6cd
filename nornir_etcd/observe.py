"""Takes observations: hosts over SSH, members over gRPC. Each is a Nornir task, usable alone."""

from __future__ import annotations

import logging
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from nornir.core.task import Result

from nornir_etcd.cluster import CLIENT_PORT, PEER_PORT
from nornir_etcd.connections import tls
from nornir_etcd.connections.etcd import CONNECTION_NAME
from nornir_etcd.exceptions import EtcdTlsError, NornirEtcdError, RemoteError
from nornir_etcd.layout import layout
from nornir_etcd.observation import ClusterObservation, EndpointObservation, HostObservation, Maybe, Unknown
from nornir_etcd.remote.exec import run_script
from nornir_etcd.runtimes import runtime
from nornir_etcd.signers.local import CertificateStore
from nornir_etcd.survey import parse_survey, survey_script

if TYPE_CHECKING:
    from collections.abc import Callable

    from etcd3 import MultiEndpointEtcd3Client
    from nornir.core import Nornir
    from nornir.core.configuration import Config
    from nornir.core.inventory import Host
    from nornir.core.task import AggregatedResult, Task

    from nornir_etcd.cluster import Cluster, Member

T = TypeVar("T")

SURVEY_DEADLINE = 60.0
"""Seconds for the one command that reads a host; it takes well under one on a host that is not in trouble."""
PORT_TIMEOUT = 3.0
RPC_TIMEOUT = 3.0
"""Seconds for one RPC. Three elections of etcd's default (1 s) fit in."""


def observe_host(task: Task, cluster: Cluster) -> Result:
    """Read the host over SSH, in one round trip.

    Args:
        task: Nornir's.
        cluster: the host's cluster, as `nornir_etcd.clusters_in` gives it.

    Returns:
        A `HostObservation`; where the host cannot be asked, one whose `error` says why.
    """
    member = cluster.member(task.host.name)
    paths, used = layout(member.settings), runtime(member.settings.container_runtime)
    token = secrets.token_hex(8)
    script = survey_script(paths, used, token)
    try:
        done = run_script(
            task.host, task.nornir.config, script, deadline=SURVEY_DEADLINE, check=False, purpose="look at the host"
        )
    except RemoteError as error:
        seen = HostObservation(host=member.name, error=Unknown(str(error)))
    else:
        seen = parse_survey(member.name, done.stdout, token, paths, used)
    return Result(task.host, result=seen, severity_level=logging.DEBUG)


def observe_endpoint(task: Task, cluster: Cluster) -> Result:
    """Ask the member itself: its ports, the certificates it serves, its status, member list, alarms and health.

    Args:
        task: Nornir's.
        cluster: the host's cluster.

    Returns:
        An `EndpointObservation`.
    """
    member = cluster.member(task.host.name)
    client_port, served_client = _port(member.address, CLIENT_PORT)
    peer_port, served_peer = _port(member.address, PEER_PORT)
    asked = ask(task.host, task.nornir.config, member) if client_port is True else _silent(served_client)
    if isinstance(client_port, Unknown):
        asked = replace(asked, blind=client_port)
    seen = replace(
        asked, client_port=client_port, peer_port=peer_port, served_client=served_client, served_peer=served_peer
    )
    return Result(task.host, result=seen, severity_level=logging.DEBUG)


def _port(address: str, port: int) -> tuple[Maybe[bool], Maybe[bytes]]:
    """Return whether a port is open, and the certificate served there."""
    is_open = _maybe(lambda: tls.port_open(address, port, timeout=PORT_TIMEOUT))
    if isinstance(is_open, Unknown):
        return is_open, is_open
    if not is_open:
        return False, Unknown(f"port {port} refuses connections")
    return True, _maybe(lambda: tls.served_certificate(address, port, timeout=PORT_TIMEOUT))


def etcd_client(host: Host, config: Config, member: Member) -> MultiEndpointEtcd3Client:
    """Return the host's etcd connection, opened with the controller's client certificate where it is not open yet.

    Certificate files that the inventory names under connection_options.etcd.extras are taken before our own.

    Raises:
        PkiError: the controller has no client certificate.
        InventoryError: an option is wrong.
    """
    if CONNECTION_NAME not in host.connections:
        chosen = host.get_connection_parameters(CONNECTION_NAME)
        store = CertificateStore(Path(member.settings.generate_certs_dir))
        extras = chosen.extras if chosen.extras and "cacert" in chosen.extras else store.client_files()
        host.open_connection(
            CONNECTION_NAME, config, hostname=member.address, extras=extras, default_to_host_attributes=False
        )
    return host.connections[CONNECTION_NAME].connection


def ask(host: Host, config: Config, member: Member) -> EndpointObservation:
    """Return what the member answers over gRPC: the latency of a read, status, member list and alarms."""
    from nornir_etcd.connections import rpc  # noqa: PLC0415 - gRPC costs 0.1 s of CPU, and many a run needs none

    try:
        client = etcd_client(host, config, member)
    except NornirEtcdError as error:
        why = Unknown(str(error))
        return replace(_silent(why), blind=why)
    # The read first: where it fails for want of a quorum, the other linearizable calls would wait as long for nothing.
    seconds: Maybe[float]
    blind: Unknown | None = None
    try:
        seconds = rpc.linearizable_read(client, timeout=RPC_TIMEOUT)
    except NornirEtcdError as error:
        seconds = Unknown(str(error))
        blind = seconds if isinstance(error, EtcdTlsError) else None
    status = _maybe(lambda: rpc.status(client, timeout=RPC_TIMEOUT))
    if isinstance(seconds, Unknown):
        return EndpointObservation(read_seconds=seconds, status=status, members=seconds, alarms=seconds, blind=blind)
    return EndpointObservation(
        read_seconds=seconds,
        status=status,
        members=_maybe(lambda: rpc.member_list(client, linearizable=True, timeout=RPC_TIMEOUT)),
        alarms=_maybe(lambda: rpc.alarms(client, timeout=RPC_TIMEOUT)),
    )


def observe(nr: Nornir, cluster: Cluster) -> ClusterObservation:
    """Observe a whole cluster: hosts and endpoints side by side.

    Args:
        nr: Nornir with exactly the hosts of the cluster.
        cluster: the cluster.
    """
    nr.data.reset_failed_hosts()
    with ThreadPoolExecutor(max_workers=2) as pool:
        hosts = pool.submit(nr.run, task=observe_host, severity_level=logging.DEBUG, cluster=cluster)
        endpoints = pool.submit(nr.run, task=observe_endpoint, severity_level=logging.DEBUG, cluster=cluster)
    return ClusterObservation(
        taken_at=time.time(),
        hosts=_collect(hosts.result(), lambda name, why: HostObservation(host=name, error=why)),
        endpoints=_collect(
            endpoints.result(), lambda _, why: EndpointObservation(client_port=why, peer_port=why, blind=why)
        ),
    )


def _collect(results: AggregatedResult, otherwise: Callable[[str, Unknown], T]) -> dict[str, T]:
    """Return the result of each host; a task that raised leaves an observation that says so."""
    return {
        name: otherwise(name, Unknown(f"{name}: {multi[0].exception}")) if multi[0].failed else multi[0].result
        for name, multi in results.items()
    }


def _silent(why: Maybe[object]) -> EndpointObservation:
    unknown = why if isinstance(why, Unknown) else Unknown("not asked")
    return EndpointObservation(read_seconds=unknown, status=unknown, members=unknown, alarms=unknown)


def _maybe(call: Callable[[], T]) -> Maybe[T]:
    try:
        return call()
    except NornirEtcdError as error:
        return Unknown(str(error))
