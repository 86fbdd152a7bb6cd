"""Where files lie: ours, and another tool's."""

from __future__ import annotations

from typing import Any

import pytest

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.layout import ApiServerFiles, Layout, layout
from nornir_etcd.settings import HostVariables, load_settings


def paths(**data: Any) -> Layout:
    settings, _ = load_settings([HostVariables("m1", "192.0.2.11", (("group etcd", data),))])
    return layout(settings["m1"])


def problems(**data: Any) -> tuple[str, ...]:
    with pytest.raises(InventoryError) as caught:
        paths(**data)
    return caught.value.problems


def test_our_own_layout_is_the_roles() -> None:
    ours = paths()
    assert ours == Layout(
        "/etc/kubernetes/pki",
        "/etc/kubernetes",
        "/var/lib/etcd",
        apiserver=ApiServerFiles(
            "/etc/kubernetes/pki/apiserver-etcd-client.pem",
            "/etc/kubernetes/pki/apiserver-etcd-client-key.pem",
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
        ),
    )
    assert ours.certificate == ours.peer_certificate == "/etc/kubernetes/pki/etcd/etcd.pem"
    assert ours.trusted_ca == ours.peer_trusted_ca == "/etc/kubernetes/pki/etcd/ca.pem"
    assert ours.texts == (
        "/etc/kubernetes/pki/ca.pem",
        "/etc/kubernetes/pki/etcd/etcd.pem",
        "/etc/kubernetes/pki/etcd/ca.pem",
        "/etc/kubernetes/pki/apiserver-etcd-client.pem",
        "/etc/kubernetes/manifests/etcd.yaml",
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
        "/etc/kubernetes/etcd.yaml.former",
        "/etc/kubernetes/pki/etcd.pem",
    )


def test_kubeadms_layout_is_kubeadms() -> None:
    theirs = paths(etcd_preset="kubeadm")
    folder = "/etc/kubernetes/pki/etcd"
    assert theirs.texts == (
        "/etc/kubernetes/pki/ca.crt",
        f"{folder}/server.crt",
        f"{folder}/peer.crt",
        f"{folder}/ca.crt",
        "/etc/kubernetes/pki/apiserver-etcd-client.crt",
        "/etc/kubernetes/manifests/etcd.yaml",
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
    )
    assert theirs.keys == (f"{folder}/server.key", f"{folder}/peer.key")
    assert theirs.modes == {f"{folder}/server.key": 0o600, f"{folder}/peer.key": 0o600}
    assert theirs.links == {}
    assert theirs.etcd == folder
    assert theirs.manifests == "/etc/kubernetes/manifests"


def test_the_state_of_every_file_is_observed_once() -> None:
    for one in (paths(), paths(etcd_preset="kubeadm")):
        assert len(set(one.observed)) == len(one.observed)
        assert {*one.texts, *one.keys, *one.modes, one.apiserver_key} <= set(one.observed)


def test_no_key_is_ever_read() -> None:
    for one in (paths(), paths(etcd_preset="kubeadm")):
        assert not {*one.keys, one.apiserver_key} & set(one.texts)


@pytest.mark.parametrize(
    "name",
    [
        *("etcd_server_certificate", "etcd_peer_certificate", "etcd_trusted_ca", "etcd_general_ca"),
        *("etcd_manifest_path", "etcd_apiserver_certificate", "etcd_apiserver_manifest"),
    ],
)
@pytest.mark.parametrize("path", ["/etc/kubernetes/pki/etcd/server.key", "/x/member-key.pem", "/x/any.key"])
def test_a_key_in_a_certificates_place_is_refused(name: str, path: str) -> None:
    line = f"m1: {name}: wanted a file that holds no private key, since it is read, found '{path}' (set in group etcd)"
    assert line in problems(etcd_preset="kubeadm", **{name: path})


def test_another_tools_places_are_its_own() -> None:
    theirs = paths(
        etcd_preset="kubeadm",
        etcd_pki_dir="/var/lib/rancher/rke2/server/tls/etcd",
        etcd_server_certificate="{{ etcd_pki_dir }}/server-client.crt",
        etcd_peer_certificate="{{ etcd_pki_dir }}/peer-server-client.crt",
        etcd_trusted_ca="{{ etcd_pki_dir }}/server-ca.crt",
        etcd_peer_trusted_ca="{{ etcd_pki_dir }}/peer-ca.crt",
        etcd_manifest_path="/var/lib/rancher/rke2/agent/pod-manifests/etcd.yaml",
    )
    assert theirs.peer_trusted_ca == "/var/lib/rancher/rke2/server/tls/etcd/peer-ca.crt"
    assert theirs.manifests == "/var/lib/rancher/rke2/agent/pod-manifests"
    assert theirs.keys[0] == "/var/lib/rancher/rke2/server/tls/etcd/server.key"


def test_where_deploy_writes_is_not_chosen_file_by_file() -> None:
    (line,) = problems(etcd_server_certificate="/etc/ssl/etcd/member.pem")
    assert line == (
        "m1: etcd_server_certificate: wanted /etc/kubernetes/pki/etcd/etcd.pem, where deploy writes it, "
        "found '/etc/ssl/etcd/member.pem'; leave it out, or set etcd_preset to kubeadm for files of another tool "
        "(set in group etcd)"
    )


def test_a_preset_that_is_none_is_one_line() -> None:
    assert problems(etcd_preset="kops") == (
        "m1: etcd_preset: wanted 'cfssl' or 'kubeadm', found 'kops' (set in group etcd)",
    )


def test_the_names_of_an_api_servers_files_are_chosen_apart_from_etcds() -> None:
    pki = "/etc/kubernetes/pki"
    mixed, theirs = paths(etcd_apiserver_preset="kubeadm"), paths(etcd_preset="kubeadm")
    for one in (mixed, theirs):
        assert one.apiserver_certificate == f"{pki}/apiserver-etcd-client.crt"
        assert one.apiserver_key == f"{pki}/apiserver-etcd-client.key"
    assert mixed.certificate == f"{pki}/etcd/etcd.pem"


@pytest.mark.parametrize(
    ("name", "path", "line"),
    [
        *(
            ("etcd_apiserver_certificate", f"/etc/kubernetes/pki/{file}", "wanted a file of its own")
            for file in ("ca.pem", "ca.crt", "etcd.pem", "apiserver.crt", "sa.pub")
        ),
        *(
            ("etcd_apiserver_key", f"/etc/kubernetes/pki/{file}", "wanted a file of its own")
            for file in ("ca-key.pem", "ca.key", "etcd-key.pem", "sa.key")
        ),
        ("etcd_apiserver_key", "/etc/kubernetes/pki/etcd/x.pem", "wanted a file outside /etc/kubernetes/pki/etcd"),
        ("etcd_apiserver_key", "/etc/kubernetes/manifests/x", "wanted a file outside /etc/kubernetes/manifests"),
        ("etcd_apiserver_manifest", "/etc/kubernetes/x.yaml", "wanted a file in /etc/kubernetes/manifests"),
        ("etcd_apiserver_manifest", "/etc/kubernetes/manifests/etcd.yaml", "wanted another file than etcd's"),
    ],
)
def test_what_is_not_the_api_servers_is_never_written_in_its_name(name: str, path: str, line: str) -> None:
    assert any(f"{name}: {line}" in problem for problem in problems(**{name: path}))
    if not path.endswith("key"):
        paths(**{name: path}, etcd_preset="kubeadm")


def test_certificate_and_key_of_an_api_server_are_two_files() -> None:
    same = dict.fromkeys(("etcd_apiserver_certificate", "etcd_apiserver_key"), "/etc/ssl/api.pem")
    assert len(problems(**same)) == 1
