"""Nornir for verify without an inventory: endpoints, and the certificates to ask them with, are all that is known."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, TypeVar

from nornir.core import Nornir
from nornir.core.configuration import Config
from nornir.core.inventory import ConnectionOptions, Defaults, Group, Groups, Host, Hosts, ParentGroups
from nornir.core.plugins.connections import ConnectionPluginRegister
from nornir.core.state import GlobalState
from nornir.plugins.runners import ThreadedRunner

from nornir_etcd.cluster import CLIENT_PORT, url_host
from nornir_etcd.connections.etcd import CONNECTION_NAME
from nornir_etcd.exceptions import InventoryError, PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.settings.addresses import endpoint
from nornir_etcd.settings.problems import Unwanted, shown
from nornir_etcd.settings.values import name as checked_name
from nornir_etcd.workflows.inventory import GROUP, EndpointInventory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

T = TypeVar("T")


def nornir_for(
    endpoints: Sequence[str], *, cacert: Path, cert: Path | None, key: Path | None, name: str = "endpoints"
) -> Nornir:
    """Return a Nornir whose inventory is one cluster with these endpoints as its members.

    No SSH is known for them: verify them with `ssh=False`. Nothing can be deployed there.

    Args:
        endpoints: `https://10.0.0.1:2379`, `10.0.0.1:2379` or `10.0.0.1`; an IPv6 address in brackets.
        cacert: CA that the members' certificates must chain to.
        cert: client certificate; None where etcd demands none.
        key: its private key.
        name: of the cluster, in reports.

    Raises:
        InventoryError: with every fault of the endpoints and files, one line each.
    """
    problems: list[str] = []
    found = _endpoints(endpoints, problems)
    ca = _ca(cacert, problems)
    _check_client(cert, key, problems)
    try:
        checked_name(name)
    except Unwanted as unwanted:
        problems.append(f"the cluster's name: {unwanted.against(shown(name))}")
    if problems:
        raise InventoryError(*problems)
    files = {"cacert": cacert, "cert": cert, "key": key}
    extras = {option: str(path) for option, path in files.items() if path is not None}
    return _nornir(found, extras, ca, name)


def _nornir(endpoints: Sequence[tuple[str, int]], extras: dict[str, str], ca: bytes, name: str) -> Nornir:
    group = Group(GROUP)
    hosts = Hosts()
    ports: dict[str, int] = {}
    for address, port in endpoints:
        own = f"{url_host(address)}:{port}"
        options = ConnectionOptions(extras={**extras, "port": port})
        hosts[own] = Host(
            own,
            hostname=address,
            groups=ParentGroups([group]),
            data={"deploy_name": name, "etcd_via": "direct"},
            connection_options={CONNECTION_NAME: options},
            defaults=Defaults(),
        )
        ports[own] = port
    inventory = EndpointInventory(hosts, Groups({GROUP: group}), Defaults())
    inventory.ports, inventory.ca = ports, ca
    ConnectionPluginRegister.auto_register()
    # As Nornir does by itself, but that no log is begun where the command was started.
    runner = ThreadedRunner(num_workers=len(hosts))
    return Nornir(inventory, runner=runner, config=Config(), data=GlobalState(dry_run=False))


def _endpoints(given: Sequence[str], problems: list[str]) -> list[tuple[str, int]]:
    found: dict[tuple[str, int], str] = {}
    for text in given:
        try:
            place = endpoint(text.strip(), CLIENT_PORT)
        except Unwanted as unwanted:
            problems.append(f"endpoint: {unwanted.against(shown(text))}")
            continue
        if place in found:
            problems.append(f"endpoint: wanted each once, found {shown(text)} after {shown(found[place])}")
        found.setdefault(place, text)
    if not given:
        problems.append("endpoint: wanted at least one, found none")
    return list(found)


def _ca(path: Path, problems: list[str]) -> bytes:
    """Return what the file of the CA holds; empty where something is wrong with it."""
    pem = _read("cacert", path, problems)
    _parsed("cacert", path, pem, certificates.load_all, problems)
    return pem or b""


def _check_client(cert: Path | None, key: Path | None, problems: list[str]) -> None:
    """Check that certificate and key are there, fit each other and will be taken for a client's."""
    if cert is None or key is None:
        if cert is not None or key is not None:
            there, missing = ("cert", "key") if key is None else ("key", "cert")
            problems.append(f"{missing}: wanted with {there}, since they go together, found none")
        return
    pem = _read("cert", cert, problems)
    info = _parsed("cert", cert, pem, certificates.describe, problems)
    key_pem = _read("key", key, problems)
    private = _parsed("key", key, key_pem, keys.load, problems)
    if info is None or pem is None:
        return
    if private is not None and certificates.load(pem).public_key() != private.public_key():
        problems.append(f"key: {key}: wanted the key of {cert}, found that of another certificate")
    now = datetime.now(tz=timezone.utc)
    if now >= info.not_after:
        problems.append(
            f"cert: {cert}: wanted a client certificate that is valid, found one that expired on "
            f"{info.not_after:%Y-%m-%d %H:%M} UTC; renew it"
        )
    if now < info.not_before:
        problems.append(
            f"cert: {cert}: wanted a client certificate that is valid, found one that is not before "
            f"{info.not_before:%Y-%m-%d %H:%M} UTC; check this machine's clock"
        )
    if not info.allows("clientAuth"):
        problems.append(f"cert: {cert}: wanted the usage clientAuth, found {', '.join(info.usages)}")


def _read(option: str, path: Path, problems: list[str]) -> bytes | None:
    try:
        return path.expanduser().read_bytes()
    except OSError as error:
        problems.append(f"{option}: {path}: wanted a file that can be read, found: {error.strerror or error}")
    return None


def _parsed(option: str, path: Path, pem: bytes | None, parse: Callable[[bytes], T], problems: list[str]) -> T | None:
    if pem is None:
        return None
    try:
        return parse(pem)
    except PkiError as error:
        problems.append(f"{option}: {path}: {error}")
    return None
