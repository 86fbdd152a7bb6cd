from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from nornir_etcd.exceptions import PkiError
from nornir_etcd.pki.authority import Authority, make_authority
from nornir_etcd.pki.leaf import Leaf, LeafRequest, client_request, issue, member_request
from nornir_etcd.pki.renewal import due
from tests.unit.pki.made import Recipe, intermediate

REQUEST = member_request("node-1", "10.0.0.1", ["etcd.example.com"])


@pytest.fixture(scope="module")
def leaf(authority: Authority, now: datetime) -> Leaf:
    return issue(authority, REQUEST, now=now)


class Asked:
    """One leaf, one CA; a test changes what it is about."""

    def __init__(self, leaf: Leaf, authority: Authority, now: datetime) -> None:
        self.leaf, self.now = leaf, now
        self.ca_pem: bytes | None = authority.pem

    def __call__(
        self, request: LeafRequest = REQUEST, *, days: float = 0, renew_days: int = 30, force: bool = False
    ) -> str | None:
        return due(
            self.leaf.certificate_pem,
            self.leaf.key_pem,
            ca_pem=self.ca_pem,
            request=request,
            now=self.now + timedelta(days=days),
            renew_days=renew_days,
            force=force,
        )


@pytest.fixture
def asked(leaf: Leaf, authority: Authority, now: datetime) -> Asked:
    return Asked(leaf, authority, now)


def test_a_good_leaf_stays(asked: Asked) -> None:
    assert asked() is None


@pytest.mark.parametrize(
    ("certificate", "key", "reason"),
    [(False, False, "missing"), (False, True, "the certificate is missing"), (True, False, "the key is missing")],
)
def test_a_missing_file_is_a_reason(leaf: Leaf, now: datetime, *, certificate: bool, key: bool, reason: str) -> None:
    pems = (leaf.certificate_pem if certificate else None, leaf.key_pem if key else None)
    assert due(*pems, ca_pem=None, request=REQUEST, now=now, renew_days=30) == reason


def test_an_unreadable_file_is_a_reason(asked: Asked, leaf: Leaf) -> None:
    asked.leaf = replace(leaf, certificate_pem=b"")
    assert str(asked()).startswith("unreadable (certificate: wanted a certificate in PEM")
    asked.leaf = replace(leaf, key_pem=leaf.key_pem[:40])
    assert asked() == "unreadable (private key: wanted a key in PEM, found no readable private key)"


def test_a_key_of_another_leaf_is_a_reason(asked: Asked, leaf: Leaf, authority: Authority, now: datetime) -> None:
    asked.leaf = replace(leaf, key_pem=issue(authority, REQUEST, now=now).key_pem)
    assert asked() == "the certificate does not match its key"


def test_another_ca_is_a_reason_also_one_of_the_same_name(asked: Asked, now: datetime) -> None:
    asked.ca_pem = make_authority("example-etcd-ca", now=now).pem
    assert asked() == "not signed by the CA 'example-etcd-ca' but by 'example-etcd-ca'"
    asked.ca_pem = None
    assert asked() == "the CA that signed it is missing"


def test_an_unreadable_ca_is_an_error_and_no_reason(asked: Asked) -> None:
    asked.ca_pem = b"damaged"
    with pytest.raises(PkiError):
        asked()


def test_a_missing_name_is_a_reason_and_is_told(asked: Asked) -> None:
    assert asked(member_request("node-1", "10.0.0.2")) == "lacks the name 10.0.0.2"
    assert asked(member_request("node-2", "fd00::2")) == "lacks the names node-2, fd00::2"


def test_a_name_no_longer_wanted_or_written_otherwise_is_no_reason(asked: Asked) -> None:
    assert asked(member_request("NODE-1", "10.0.0.1")) is None


def test_a_missing_usage_is_a_reason(asked: Asked, authority: Authority, now: datetime) -> None:
    asked.leaf = issue(authority, replace(REQUEST, usage="client"), now=now)
    assert asked() == "lacks the usage serverAuth"
    assert asked(replace(REQUEST, usage="client")) is None


def test_another_key_type_is_a_reason(asked: Asked) -> None:
    assert asked(replace(REQUEST, key_type="rsa-3072")) == "its key is ecdsa-p256, wanted rsa-3072"


@pytest.mark.parametrize(
    ("days", "reason"),
    [
        (334.5, None),
        (335.5, "expires in 29 days, renewed below 30"),
        (353, "expires in 11 days, renewed below 30"),
        (363.5, "expires in 1 day, renewed below 30"),
        (364.5, "expires in 0 days, renewed below 30"),
    ],
)
def test_a_leaf_is_renewed_below_the_days_set(asked: Asked, days: float, reason: str | None) -> None:
    assert asked(days=days) == reason


def test_a_leaf_outside_its_dates_is_a_reason(asked: Asked) -> None:
    assert str(asked(days=366)).startswith("expired on ")
    assert str(asked(days=-1)).startswith("not valid before ")


def test_a_leaf_that_ends_with_its_ca_is_not_made_anew_at_each_run(now: datetime) -> None:
    authority = make_authority("short", days=10, now=now)
    request = client_request("c")
    leaf = issue(authority, request, now=now)
    for days in (0, 5, 9):
        later = now + timedelta(days=days)
        pems = (leaf.certificate_pem, leaf.key_pem)
        assert due(*pems, ca_pem=authority.pem, request=request, now=later, renew_days=30) is None


def test_a_leaf_shorter_than_its_ca_is_renewed_up_to_the_end_of_the_ca(now: datetime) -> None:
    authority = make_authority("short", days=20, now=now)
    leaf = issue(authority, client_request("c", days=10), now=now)
    pems = (leaf.certificate_pem, leaf.key_pem)
    reason = due(*pems, ca_pem=authority.pem, request=client_request("c"), now=now, renew_days=30)
    assert reason == "expires in 9 days, renewed below 30"


def test_a_leaf_that_outlives_its_ca_is_a_reason(asked: Asked, authority: Authority, now: datetime) -> None:
    asked.leaf = Recipe.of(authority, REQUEST, now).but(not_after=now + timedelta(days=4000)).leaf()
    assert asked() == f"outlives its CA 'example-etcd-ca', which expires on {authority.not_after:%Y-%m-%d %H:%M} UTC"


def test_renewal_that_was_asked_for_is_a_reason_where_there_is_no_other(asked: Asked) -> None:
    assert asked(force=True) == "renewal was asked for"
    assert asked(days=353, force=True) == "expires in 11 days, renewed below 30"
    assert asked(days=353, renew_days=5) is None
    assert asked(member_request("node-1", "10.0.0.2"), force=True) == "lacks the name 10.0.0.2"


def test_a_leaf_under_an_intermediate_ca_stays_as_long_as_the_way_up_holds(authority: Authority, now: datetime) -> None:
    upper = intermediate(authority, "upper", now=now, days=20)
    lower = intermediate(upper, "lower", now=now)
    leaf = issue(lower, REQUEST, now=now)
    pems = (leaf.certificate_pem, leaf.key_pem)
    for days in (0, 10, 19):  # it ends with its CA, and so would a new one
        later = now + timedelta(days=days)
        assert due(*pems, ca_pem=lower.pem, request=REQUEST, now=later, renew_days=30) is None


def test_a_leaf_of_the_second_ca_of_a_bundle_stays(asked: Asked, authority: Authority, now: datetime) -> None:
    asked.ca_pem = make_authority("new", now=now).pem + authority.pem
    assert asked() is None
