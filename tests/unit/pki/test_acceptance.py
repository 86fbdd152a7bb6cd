"""A leaf as it was asked for has no faults, and each single thing that is wrong with one is found."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki import certificate as certificates
from nornir_etcd.pki import keys
from nornir_etcd.pki.acceptance import faults
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.leaf import Leaf, LeafRequest, client_request, issue, member_request
from nornir_etcd.pki.request import signing_request
from tests.unit.pki.made import Recipe, intermediate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    OpenSsl = Callable[..., str]

REQUEST = member_request("node-1", "10.0.0.1", ["etcd.example.com"])

dns_names = st.from_regex(r"[a-z]([a-z0-9-]{0,14}[a-z0-9])?(\.[a-z]{2,8}){0,2}", fullmatch=True)
addresses = st.ip_addresses().map(str).filter(lambda text: "%" not in text)
members = st.builds(
    member_request, dns_names, addresses, st.lists(dns_names | addresses, max_size=4), st.integers(1, 4000)
)
requests = members | st.builds(client_request, dns_names, st.integers(1, 4000))


def of(
    leaf: Leaf, authority: Authority, now: datetime, request: LeafRequest = REQUEST, trusted: bytes = b""
) -> list[str]:
    return faults(leaf.certificate_pem, leaf.key_pem, trusted_pem=trusted or authority.pem, request=request, now=now)


@settings(max_examples=60, deadline=None)
@given(requests, st.floats(min_value=0, max_value=0.9999), st.integers(0, 2))
def test_an_issued_leaf_has_no_faults_for_as_long_as_it_holds(
    authority: Authority, now: datetime, request: LeafRequest, share: float, depth: int
) -> None:
    by = authority
    for number in range(depth):
        by = intermediate(by, f"intermediate {number}", now=now, path_length=depth - number - 1)
    leaf = issue(by, request, now=now)
    until = certificates.describe(leaf.certificate_pem).not_after
    assert of(leaf, by, now + share * (until - now), request) == []
    # Who trusts the root alone finds the way by what is served.
    assert of(leaf, by, now + share * (until - now), request, trusted=authority.pem) == []


def _without(request: LeafRequest, name: str) -> LeafRequest:
    kept = tuple(one for one in request.dns_names if one != name)
    return replace(request, dns_names=kept, ip_addresses=tuple(one for one in request.ip_addresses if one != name))


def _lacks_a_name(recipe: Recipe, draw: Callable[[st.SearchStrategy[str]], str]) -> tuple[Leaf, str]:
    name = draw(st.sampled_from([*recipe.request.dns_names, *recipe.request.ip_addresses]))
    return recipe.but(request=_without(recipe.request, name)).leaf(), f"lacks the name {name}"


def _lacks_a_usage(recipe: Recipe, draw: Callable[[st.SearchStrategy[str]], str]) -> tuple[Leaf, str]:
    usage = draw(st.sampled_from(recipe.usages))
    kept = tuple(one for one in recipe.usages if one != usage)
    return recipe.but(usages=kept).leaf(), f"lacks the usage {usage}"


MUTATIONS: dict[str, Callable[[Recipe, Callable[[st.SearchStrategy[str]], str]], tuple[Leaf, str]]] = {
    "another key": lambda one, _: (one.leaf(keys.make("ecdsa-p256")), "the certificate does not match its key"),
    "another CA of the same name": lambda one, _: (
        one.but(authority=make_authority("example-etcd-ca", now=one.not_before)).leaf(),
        "not signed by the CA 'example-etcd-ca' but by 'example-etcd-ca'",
    ),
    "a name": _lacks_a_name,
    "a usage": _lacks_a_usage,
    "the key usage": lambda one, _: (one.but(key_usage=False).leaf(), "lacks the usage digitalSignature"),
    "a CA": lambda one, _: (one.but(is_ca=True).leaf(), "is a CA itself"),
    "another curve": lambda one, _: (
        one.but(key=ec.generate_private_key(ec.SECP384R1())).leaf(),
        "its key is ecdsa-secp384r1, wanted ecdsa-p256",
    ),
    "too early": lambda one, _: (
        one.but(not_before=one.not_before + timedelta(minutes=10)).leaf(),
        f"not valid before {one.not_before + timedelta(minutes=10):%Y-%m-%d %H:%M} UTC",
    ),
    "too late": lambda one, _: (
        one.but(not_after=one.not_before + timedelta(minutes=5)).leaf(),
        f"expired on {one.not_before + timedelta(minutes=5):%Y-%m-%d %H:%M} UTC",
    ),
    "longer than its CA": lambda one, _: (
        one.but(not_after=one.authority.not_after + timedelta(seconds=1)).leaf(),
        f"outlives its CA 'example-etcd-ca', which expires on {one.authority.not_after:%Y-%m-%d %H:%M} UTC",
    ),
}


@settings(max_examples=120, deadline=None)
@given(members, st.sampled_from(sorted(MUTATIONS)), st.data())
def test_each_single_thing_that_is_wrong_is_found_and_nothing_else(
    authority: Authority, now: datetime, request: LeafRequest, mutation: str, data: st.DataObject
) -> None:
    leaf, fault = MUTATIONS[mutation](Recipe.of(authority, request, now), data.draw)
    assert of(leaf, authority, now, request) == [fault]


def test_the_recipe_of_these_tests_makes_good_leaves(authority: Authority, now: datetime) -> None:
    assert of(Recipe.of(authority, REQUEST, now).leaf(), authority, now) == []
    assert of(Recipe.of(authority, REQUEST, now).but(key_usage=None).leaf(), authority, now) == []


def test_all_faults_are_told_at_once(authority: Authority, now: datetime) -> None:
    recipe = Recipe.of(authority, client_request("x"), now).but(is_ca=True, key_usage=False)
    found = of(recipe.leaf(keys.make("ecdsa-p256")), authority, now, REQUEST, make_authority("other", now=now).pem)
    assert found == [
        "the certificate does not match its key",
        "not signed by the CA 'other' but by 'example-etcd-ca'",
        "is a CA itself",
        "lacks the names node-1, localhost, etcd.example.com, 10.0.0.1, 127.0.0.1, ::1",
        "lacks the usages serverAuth, digitalSignature",
    ]


def test_a_name_in_other_letters_is_the_same_name(authority: Authority, now: datetime) -> None:
    leaf = issue(authority, REQUEST, now=now)
    assert of(leaf, authority, now, member_request("NODE-1", str(ipaddress.ip_address("10.0.0.1")))) == []


@given(st.binary(max_size=60), st.booleans())
def test_what_cannot_be_read_is_one_fault(authority: Authority, now: datetime, damage: bytes, key: bool) -> None:
    leaf = issue(authority, REQUEST, now=now)
    broken = replace(leaf, key_pem=damage) if key else replace(leaf, certificate_pem=damage)
    (fault,) = of(broken, authority, now)
    assert fault.startswith(f"unreadable ({'private key' if key else 'certificate'}: wanted ")
    assert "\n" not in fault


def test_a_leafs_key_with_a_passphrase_is_a_fault_since_etcd_cannot_be_told_it(
    authority: Authority, now: datetime
) -> None:
    leaf = issue(authority, REQUEST, now=now)
    closed = replace(leaf, key_pem=keys.dump(keys.load(leaf.key_pem), b"PASS-NOT-SHOWN"))
    (fault,) = of(closed, authority, now)
    assert fault.startswith("unreadable (private key: wanted its passphrase, found none; ")
    assert "any other key has to be without one" in fault


def test_what_is_trusted_must_be_readable(authority: Authority, now: datetime) -> None:
    with pytest.raises(PkiError, match="wanted a certificate in PEM"):
        of(issue(authority, REQUEST, now=now), authority, now, trusted=b"damaged")


def test_a_leaf_under_an_intermediate_ca_needs_the_way_to_the_root(authority: Authority, now: datetime) -> None:
    middle = intermediate(authority, "middle", now=now)
    leaf = issue(middle, REQUEST, now=now)
    alone = replace(leaf, certificate_pem=certificates.each(leaf.certificate_pem)[0])
    assert of(alone, middle, now) == []
    first = certificates.each(middle.pem)[0]
    assert of(alone, middle, now, trusted=first) == [
        "signed by 'middle', from which no way leads to a root among the CAs 'middle'"
    ]
    assert of(alone, middle, now, trusted=authority.pem) == ["not signed by the CA 'example-etcd-ca' but by 'middle'"]


@pytest.mark.parametrize("change", [{"may_sign": False}, {"path_length": 0}])
def test_a_ca_that_may_not_sign_what_is_below_it_is_no_way(
    authority: Authority, now: datetime, change: dict[str, int]
) -> None:
    upper = intermediate(authority, "upper", now=now, **change)  # type: ignore[arg-type]  # one of its parameters
    lower = intermediate(upper, "lower", now=now)
    (fault,) = of(issue(lower, REQUEST, now=now), lower, now)
    assert (
        fault
        == "signed by 'lower', from which no way leads to a root among the CAs 'lower', 'upper', 'example-etcd-ca'"
    )


def test_a_ca_above_that_ends_first_is_outlived(authority: Authority, now: datetime) -> None:
    upper = intermediate(authority, "upper", now=now, days=30)
    lower = intermediate(upper, "lower", now=now, days=300)
    assert certificates.describe(issue(lower, REQUEST, now=now).certificate_pem).not_after == upper.not_after
    (fault,) = of(Recipe.of(lower, REQUEST, now).but(not_after=now + timedelta(days=60)).leaf(), lower, now)
    assert fault == f"outlives its CA 'upper', which expires on {upper.not_after:%Y-%m-%d %H:%M} UTC"


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_ways_the_one_that_holds_longest_counts(authority: Authority, now: datetime, order: int) -> None:
    short = make_authority("short", days=10, now=now)
    middle = intermediate(authority, "middle", now=now)
    crossed = intermediate(short, "middle", now=now, key=middle.key)
    leaf = issue(middle, REQUEST, now=now)
    trusted = b"".join([crossed.pem, middle.pem][::order])
    assert of(leaf, middle, now, trusted=trusted) == []
    assert len(of(leaf, middle, now, trusted=crossed.pem)) == 1, "it outlives the short one"


def test_a_signature_that_etcd_does_not_take_is_found(
    authority: Authority, now: datetime, openssl: OpenSsl, tmp_path: Path
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "ca-key.pem").write_bytes(keys.dump(authority.key))
    request = LeafRequest("node-1", "member")
    key = keys.make("ecdsa-p256")
    (tmp_path / "leaf.csr").write_bytes(signing_request(request, key))
    (tmp_path / "usages").write_text("extendedKeyUsage=serverAuth,clientAuth\nkeyUsage=digitalSignature\n")
    for digest, found in (("-sha256", []), ("-sha1", ["signed with MD5 or SHA-1, which etcd refuses"])):
        signed = ("-CA", "ca.pem", "-CAkey", "ca-key.pem", "-days", "30", "-extfile", "usages", digest)
        openssl("x509", "-req", "-in", "leaf.csr", "-out", "leaf.pem", *signed)
        leaf = Leaf((tmp_path / "leaf.pem").read_bytes(), keys.dump(key))
        assert of(leaf, authority, now + timedelta(minutes=30), request) == found
