"""Which of etcd's certificate files go with a member, and which stay for an API server."""

from __future__ import annotations

import pytest

from nornir_etcd.apiserver import ApiServer, Mount
from nornir_etcd.exceptions import StepFailed
from nornir_etcd.observation import NOT_READ, ApiServerState, HostObservation, Maybe, Unknown
from nornir_etcd.tasks.clear import _refuse_foreign, _removable
from tests.unit.builders import make_cluster

MEMBER = make_cluster(1).members[0]
ALL = ("etcd.pem", "etcd-key.pem", "ca.pem")
PKI = "/etc/kubernetes/pki"


def removable(apiserver: Maybe[ApiServerState | None]) -> tuple[str, ...]:
    return _removable(MEMBER, HostObservation(MEMBER.name, apiserver=apiserver))


def uses(*files: str, mounts: tuple[Mount, ...] = (Mount(PKI, PKI),)) -> ApiServerState:
    ca, certificate, key = files
    return ApiServerState(ApiServer(ca, certificate, key, (), "", mounts), ())


def test_all_go_where_the_host_has_no_api_server() -> None:
    assert removable(None) == ALL


def test_the_ca_stays_for_an_api_server_that_asks_etcd_by_it() -> None:
    own = (f"{PKI}/apiserver-etcd-client.pem", f"{PKI}/apiserver-etcd-client-key.pem")
    assert removable(uses(f"{PKI}/etcd/ca.pem", *own)) == ALL[:2]
    assert removable(uses(f"{PKI}/ca.pem", *own)) == ALL


def test_certificate_and_key_stay_for_an_api_server_that_uses_the_roles_links() -> None:
    assert removable(uses(f"{PKI}/ca.pem", f"{PKI}/etcd.pem", f"{PKI}/etcd-key.pem")) == ("ca.pem",)


def test_what_an_api_server_sees_under_another_path_is_found_on_the_host() -> None:
    mounts = (Mount("/pki", f"{PKI}/"), Mount("/pki/other", "/srv"))
    assert removable(uses("/pki/etcd/ca.pem", "/pki/other/etcd.pem", "", mounts=mounts)) == ALL[:2]
    assert removable(uses("/", "", "", mounts=(Mount("/", "/"),))) == ALL
    assert removable(uses(f"{PKI}/etcd/ca.pem", "", "", mounts=())) == ALL[:2]
    assert removable(uses(f"{PKI}/etcd/..data/ca.pem", "", "", mounts=(Mount("/", "/"),))) == ALL[:2]


@pytest.mark.parametrize(
    ("state", "found"),
    [
        (NOT_READ, "not read"),
        (ApiServerState(Unknown("kube-apiserver.yaml: wanted a Pod"), ()), "wanted a Pod"),
        (ApiServerState(None, ()), "no manifest at /etc/kubernetes/manifests/kube-apiserver.yaml"),
    ],
)
def test_none_goes_where_it_is_not_known_what_an_api_server_uses(
    state: Maybe[ApiServerState | None], found: str
) -> None:
    with pytest.raises(StepFailed, match=rf"^{MEMBER.name}: etcd's certificate files .* {found}; set etcd_apiserver_m"):
        removable(state)


def test_another_tools_files_are_refused() -> None:
    with pytest.raises(StepFailed, match=r"wanted etcd_preset cfssl, found kubeadm; remove the member with"):
        _refuse_foreign(make_cluster(1, etcd_preset="kubeadm").members[0])
    _refuse_foreign(MEMBER)
