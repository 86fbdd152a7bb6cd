"""Verify without an inventory: what endpoints and files must be, and the cluster that comes of them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.endpoints import nornir_for
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.pki.authority import make_authority
from nornir_etcd.pki.leaf import client_request, issue, member_request
from nornir_etcd.settings.addresses import endpoint
from nornir_etcd.settings.problems import Unwanted
from nornir_etcd.workflows.inventory import check_selection, clusters_in, whole_inventory

if TYPE_CHECKING:
    from nornir_etcd.cluster import Cluster

NOW = datetime.now(tz=timezone.utc)
AUTHORITY = make_authority("example CA", now=NOW - timedelta(days=400))


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A CA, a client certificate and its key."""
    leaf = issue(AUTHORITY, client_request("reader"), now=NOW)
    found = {name: tmp_path / f"{name}.pem" for name in ("cacert", "cert", "key")}
    for name, pem in (("cacert", AUTHORITY.pem), ("cert", leaf.certificate_pem), ("key", leaf.key_pem)):
        found[name].write_bytes(pem)
    return found


def problems(endpoints: list[str], name: str = "endpoints", **files: Path | None) -> tuple[str, ...]:
    with pytest.raises(InventoryError) as caught:
        nornir_for(endpoints, cacert=files["cacert"] or Path(), cert=files["cert"], key=files["key"], name=name)
    assert all(line.isprintable() and len(line) < 400 for line in caught.value.problems)
    return caught.value.problems


def made(files: dict[str, Path], *endpoints: str) -> Cluster:
    nr = nornir_for(endpoints, **files)
    (cluster,), warnings = clusters_in(nr.inventory)
    assert warnings == ()
    return cluster


@pytest.mark.parametrize(
    ("text", "address", "port", "name"),
    [
        ("https://10.0.0.1:2379", "10.0.0.1", 2379, "10.0.0.1:2379"),
        ("https://10.0.0.1:2379/", "10.0.0.1", 2379, "10.0.0.1:2379"),
        ("10.0.0.1:12379", "10.0.0.1", 12379, "10.0.0.1:12379"),
        (" 10.0.0.1 ", "10.0.0.1", 2379, "10.0.0.1:2379"),
        ("[2001:DB8::1]:1", "2001:db8::1", 1, "[2001:db8::1]:1"),
        ("https://[::1]", "::1", 2379, "[::1]:2379"),
        ("ETCD-1.example.com", "etcd-1.example.com", 2379, "etcd-1.example.com:2379"),
        ("localhost:65535", "localhost", 65535, "localhost:65535"),
    ],
)
def test_an_endpoint_is_a_member_at_its_address_and_port(
    files: dict[str, Path], text: str, address: str, port: int, name: str
) -> None:
    (member,) = made(files, text).members
    assert (member.address, member.client_port, member.peer_port, member.name) == (address, port, None, name)
    assert member.client_url == f"https://{name}"
    assert member.settings.etcd_via == "direct"


def test_the_cluster_of_endpoints_is_not_declared_and_brings_its_ca(files: dict[str, Path]) -> None:
    cluster = made(files, "127.0.0.1:2379", "127.0.0.1:22379", "127.0.0.1:32379", "10.0.0.4")
    assert (cluster.name, cluster.declared, cluster.managed, cluster.ca) == ("endpoints", False, False, AUTHORITY.pem)
    assert len({member.name for member in cluster.members}) == 4


def test_the_inventory_is_whole_and_asks_with_the_files_given(files: dict[str, Path]) -> None:
    nr = nornir_for(["10.0.0.1:9"], **files, name="prod")
    assert whole_inventory(nr) is nr.inventory
    check_selection(nr.inventory, ["10.0.0.1:9"])
    options = nr.inventory.hosts["10.0.0.1:9"].get_connection_parameters("etcd")
    assert options.extras == {**{name: str(path) for name, path in files.items()}, "port": 9}
    (cluster,), _ = clusters_in(nr.inventory, {"etcd_renew_days": "90"})
    assert (cluster.name, cluster.members[0].settings.etcd_renew_days) == ("prod", 90)


def test_a_threshold_that_is_wrong_is_one_line(files: dict[str, Path]) -> None:
    nr = nornir_for(["10.0.0.1", "10.0.0.2"], **files)
    with pytest.raises(InventoryError) as caught:
        clusters_in(nr.inventory, {"etcd_renew_days": "soon"})
    (line,) = caught.value.problems
    assert line.startswith("--set (2 hosts): etcd_renew_days: wanted a whole number of days")


def test_where_no_client_certificate_is_demanded_none_is_needed(files: dict[str, Path]) -> None:
    nr = nornir_for(["10.0.0.1"], cacert=files["cacert"], cert=None, key=None)
    options = nr.inventory.hosts["10.0.0.1:2379"].get_connection_parameters("etcd")
    assert options.extras == {"cacert": str(files["cacert"]), "port": 2379}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("http://10.0.0.1:2379", "plain HTTP is not supported: etcd must serve TLS there"),
        ("ftp://10.0.0.1", "wanted an endpoint such as"),
        ("https://", "wanted an endpoint such as"),
        ("", "wanted an endpoint such as"),
        ("10.0.0.1:", "wanted an endpoint such as"),
        ("10.0.0.1:0", "wanted an endpoint such as"),
        ("10.0.0.1:65536", "wanted an endpoint such as"),
        ("10.0.0.1:2379/health", "wanted an endpoint such as"),
        ("2001:db8::1", "wanted an endpoint such as"),
        ("[10.0.0.1]:2379", "wanted an endpoint such as"),
        ("0.0.0.0:2379", "wanted an endpoint such as"),
        ("[fe80::1%eth0]", "wanted an endpoint such as"),
        ("user@10.0.0.1", "wanted an endpoint such as"),
        ("10.0.0.1 10.0.0.2", "wanted an endpoint such as"),
        ("10.0.0.1\n", ""),
    ],
)
def test_an_endpoint_that_is_none_is_one_line(files: dict[str, Path], text: str, line: str) -> None:
    if not line:
        assert made(files, text).members
        return
    (found,) = problems([text], **files)
    assert found.startswith("endpoint: wanted ")
    assert line in found


def test_an_endpoint_given_twice_is_one_line_however_it_is_spelt(files: dict[str, Path]) -> None:
    assert problems(["https://10.0.0.1:2379", "10.0.0.1"], **files) == (
        "endpoint: wanted each once, found '10.0.0.1' after 'https://10.0.0.1:2379'",
    )


def test_no_endpoint_and_a_bad_name_are_told(files: dict[str, Path]) -> None:
    first, second = problems([], name="a b", **files)
    assert first == "endpoint: wanted at least one, found none"
    assert second.startswith("the cluster's name: wanted at most 63 letters")


@pytest.mark.parametrize("name", ["cacert", "cert", "key"])
def test_a_file_that_is_missing_is_one_line_and_named(files: dict[str, Path], name: str) -> None:
    files[name].unlink()
    path = files[name]
    assert problems(["10.0.0.1"], **files) == (
        f"{name}: {path}: wanted a file that can be read, found: No such file or directory",
    )


@pytest.mark.parametrize("name", ["cacert", "cert", "key"])
def test_a_folder_in_a_files_place_is_one_line(files: dict[str, Path], name: str) -> None:
    files[name] = files[name].parent
    (line,) = problems(["10.0.0.1"], **files)
    assert line.startswith(f"{name}: {files[name]}: wanted a file that can be read, found: Is a directory")


@pytest.mark.parametrize("name", ["cacert", "cert", "key"])
@pytest.mark.parametrize("content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nxx\n-----END CERTIFICATE-----\n"])
def test_a_file_that_is_no_pem_is_one_line_and_named(files: dict[str, Path], name: str, content: bytes) -> None:
    files[name].write_bytes(content)
    (line,) = problems(["10.0.0.1"], **files)
    assert line.startswith(f"{name}: {files[name]}: ")
    assert "PEM" in line or "certificate" in line


def test_the_key_of_another_certificate_is_one_line(files: dict[str, Path]) -> None:
    files["key"].write_bytes(issue(AUTHORITY, client_request("other"), now=NOW).key_pem)
    assert problems(["10.0.0.1"], **files) == (
        f"key: {files['key']}: wanted the key of {files['cert']}, found that of another certificate",
    )


@pytest.mark.parametrize(("missing", "there"), [("key", "cert"), ("cert", "key")])
def test_certificate_and_key_go_together(files: dict[str, Path], missing: str, there: str) -> None:
    given: dict[str, Path | None] = {**files, missing: None}
    assert problems(["10.0.0.1"], **given) == (f"{missing}: wanted with {there}, since they go together, found none",)


@pytest.mark.parametrize(
    ("shift", "told"), [(timedelta(days=-366), "found one that expired on "), (timedelta(days=2), "check this machine")]
)
def test_a_client_certificate_out_of_its_time_is_one_line_that_says_when(
    files: dict[str, Path], shift: timedelta, told: str
) -> None:
    leaf = issue(AUTHORITY, client_request("reader"), now=NOW + shift)
    files["cert"].write_bytes(leaf.certificate_pem)
    files["key"].write_bytes(leaf.key_pem)
    (line,) = problems(["10.0.0.1"], **files)
    assert line.startswith(f"cert: {files['cert']}: wanted a client certificate that is valid, found one that ")
    assert told in line


def test_a_certificate_that_may_not_be_a_clients_is_one_line(files: dict[str, Path]) -> None:
    from cryptography import x509  # noqa: PLC0415 - for this test alone
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    leaf = issue(AUTHORITY, member_request("m", "10.0.0.1"), now=NOW)
    template = x509.load_pem_x509_certificate(leaf.certificate_pem)
    server = (
        x509.CertificateBuilder(template.issuer, template.subject, template.public_key(), 7)
        .not_valid_before(template.not_valid_before_utc)
        .not_valid_after(template.not_valid_after_utc)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(AUTHORITY.key, hashes.SHA256())
    )
    files["cert"].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    files["key"].write_bytes(leaf.key_pem)
    assert problems(["10.0.0.1"], **files) == (f"cert: {files['cert']}: wanted the usage clientAuth, found serverAuth",)


def test_all_faults_are_told_at_once(files: dict[str, Path]) -> None:
    files["cacert"].unlink()
    files["key"].write_bytes(b"x")
    assert len(problems(["http://a", "b:0", "10.0.0.1"], **files)) == 4


@given(st.text(max_size=40))
def test_whatever_is_given_is_an_endpoint_or_is_refused(text: str) -> None:
    try:
        address, port = endpoint(text, 2379)
    except Unwanted:
        return
    assert address.isprintable()
    assert address.strip()
    assert 0 < port < 65536
