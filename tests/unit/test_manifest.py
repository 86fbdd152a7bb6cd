"""The static Pod of a member."""

from __future__ import annotations

import hashlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from nornir_etcd import versions
from nornir_etcd.cluster import Cluster, Member
from nornir_etcd.exceptions import InventoryError
from nornir_etcd.manifest import (
    TEMPLATE,
    FirstStart,
    command_flags,
    context,
    environment,
    first_start_of,
    manifest_diff,
    render,
)
from nornir_etcd.settings import HostVariables, load_settings
from nornir_etcd.workspace import find_template

if TYPE_CHECKING:
    from pathlib import Path

SHIPPED = find_template(TEMPLATE, ()).read_text(encoding="utf-8")

# A machine that is busy is no failure.
patient = hypothesis_settings(deadline=None)

# What a Pod's YAML, a flag or a kubelet could take for syntax, among anything that can be printed.
values = st.text(
    st.one_of(
        st.sampled_from("\"'\\\n\r\t:#{}[]&*!|>%@`$()- \x00\x7f\x85\u2028\ufeff"),
        st.characters(exclude_categories=["Cs"]),
    )
)


def settings(**changed: object) -> SimpleNamespace:
    """Return settings as the model has them; what the manifest reads and no more."""
    return SimpleNamespace(
        **{
            "kube_base_dir": "/etc/kubernetes",
            "ca_dir": "/etc/kubernetes/pki",
            "etcd_data_dir": "/var/lib/etcd",
            "etcd_preset": "cfssl",
            "etcd_apiserver_certificate": "/etc/kubernetes/pki/apiserver-etcd-client.pem",
            "etcd_apiserver_key": "/etc/kubernetes/pki/apiserver-etcd-client-key.pem",
            "etcd_apiserver_manifest": "/etc/kubernetes/manifests/kube-apiserver.yaml",
            "etcd_version": "3.5.16-0",
            "etcd_image": "registry.ikubeops.local/ikubeops/etcd:3.5.16-0",
            "etcd_initial_cluster": None,
            "etcd_initial_cluster_token": "etcd-example",
            "etcd_quota_backend_bytes": 2147483648,
            "etcd_snapshot_count": 10000,
            "etcd_heartbeat_interval": 100,
            "etcd_election_timeout": 1000,
            "etcd_tls_min_version": "TLS1.2",
            "etcd_extra_args": {},
        }
        | changed
    )


def cluster(*addresses: str, **changed: object) -> Cluster:
    """Return a cluster of members node-1, node-2 ... at these addresses."""
    wanted: Any = settings(**changed)
    addresses = addresses or ("192.0.2.11", "192.0.2.12", "192.0.2.13")
    return Cluster("example", tuple(Member(f"node-{i}", address, wanted) for i, address in enumerate(addresses, 1)))


def text_of(of: Cluster, **how: Any) -> str:
    """Return the manifest of a cluster's first member."""
    return render(of.members[0], of, **{"template": SHIPPED, "trusted": b"a CA"} | how)


def pod_of(of: Cluster, **how: Any) -> dict[str, Any]:
    """Return the same, parsed."""
    pod: dict[str, Any] = yaml.safe_load(text_of(of, **how))
    return pod


def test_the_pod_is_what_kubeadm_writes_or_better() -> None:
    pod = pod_of(cluster())
    spec, container = pod["spec"], pod["spec"]["containers"][0]
    assert (pod["apiVersion"], pod["kind"]) == ("v1", "Pod")
    assert pod["metadata"] == {
        "name": "etcd",
        "namespace": "kube-system",
        "labels": {"component": "etcd", "tier": "control-plane"},
        "annotations": {
            "kubeadm.kubernetes.io/etcd.advertise-client-urls": "https://192.0.2.11:2379",
            "nornir-etcd/trusted-ca": hashlib.sha256(b"a CA").hexdigest(),
        },
    }
    assert spec["hostNetwork"] is True
    assert (spec["priority"], spec["priorityClassName"]) == (2000001000, "system-node-critical")
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}}
    assert container["name"] == "etcd"
    assert container["image"] == "registry.ikubeops.local/ikubeops/etcd:3.5.16-0"
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["resources"] == {"requests": {"cpu": "100m", "memory": "100Mi"}}
    assert container["command"][0] == "etcd"
    assert container["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_roles_defaults_give_the_manifest_of_these_tests() -> None:
    host = HostVariables("node-1", "192.0.2.11", (("defaults", {}),))
    loaded, _ = load_settings([host])
    member = Member("node-1", "192.0.2.11", loaded["node-1"])
    assert text_of(Cluster("example", (member,))) == text_of(cluster("192.0.2.11"))


def test_a_member_speaks_mutual_tls_to_clients_and_peers() -> None:
    flags = command_flags(text_of(cluster()))
    own = "/etc/kubernetes/pki/etcd"
    for role in ("", "peer-"):
        assert flags[f"{role}cert-file"] == f"{own}/etcd.pem"
        assert flags[f"{role}key-file"] == f"{own}/etcd-key.pem"
        assert flags[f"{role}trusted-ca-file"] == f"{own}/ca.pem"
        assert flags[f"{role}client-cert-auth"] == "true"
    urls = ",".join(value for name, value in flags.items() if "url" in name and "metrics" not in name)
    assert "http://" not in urls


def test_settings_reach_their_flags() -> None:
    flags = command_flags(
        text_of(
            cluster(
                etcd_data_dir="/data/etcd",
                etcd_initial_cluster_token="t",  # noqa: S106 - no password
                etcd_quota_backend_bytes=4294967296,
                etcd_snapshot_count=5000,
                etcd_heartbeat_interval=200,
                etcd_election_timeout=2000,
                etcd_tls_min_version="TLS1.3",
                etcd_extra_args={"max-txn-ops": "256", "enable-pprof": "true"},
            )
        )
    )
    wanted = {
        "name": "node-1",
        "data-dir": "/data/etcd",
        "initial-cluster-token": "t",
        "initial-cluster-state": "new",
        "quota-backend-bytes": "4294967296",
        "snapshot-count": "5000",
        "heartbeat-interval": "200",
        "election-timeout": "2000",
        "tls-min-version": "TLS1.3",
        "listen-metrics-urls": "http://127.0.0.1:2381",
    }
    assert wanted.items() <= flags.items()
    assert list(flags.items())[-2:] == [("max-txn-ops", "256"), ("enable-pprof", "true")]


@pytest.mark.parametrize("version", ["3.4.0", "3.4.23", "3.5.0", "3.5.16", "3.6.0", "3.7.1"])
def test_every_flag_of_the_manifest_is_refused_as_an_extra_argument(version: str) -> None:
    assert set(command_flags(text_of(cluster(etcd_version=version)))) <= versions.OWN_FLAGS


def test_no_flag_is_refused_as_an_extra_argument_without_being_set_on_some_release() -> None:
    releases = ("3.4.30", "3.5.30", "3.6.0")
    set_on_some = set().union(*(command_flags(text_of(cluster(etcd_version=version))) for version in releases))
    assert set_on_some == versions.OWN_FLAGS


@pytest.mark.parametrize(
    ("address", "clients", "peers"),
    [
        ("192.0.2.11", "https://127.0.0.1:2379,https://192.0.2.11:2379", "https://192.0.2.11:2380"),
        ("2001:db8::1", "https://127.0.0.1:2379,https://[2001:db8::1]:2379", "https://[2001:db8::1]:2380"),
        ("127.0.0.1", "https://127.0.0.1:2379", "https://127.0.0.1:2380"),
        ("etcd-1.example.org", "https://0.0.0.0:2379", "https://0.0.0.0:2380"),
    ],
)
def test_a_member_listens_on_ip_addresses_and_always_on_127_0_0_1(address: str, clients: str, peers: str) -> None:
    of = cluster(address)
    flags = command_flags(text_of(of))
    assert flags["listen-client-urls"] == clients
    assert flags["listen-peer-urls"] == peers
    assert flags["advertise-client-urls"] == of.members[0].client_url
    assert flags["initial-advertise-peer-urls"] == of.members[0].peer_url


def test_the_initial_cluster_is_the_callers_else_the_users_else_the_inventorys() -> None:
    derived = "node-1=https://192.0.2.11:2380,node-2=https://192.0.2.12:2380,node-3=https://192.0.2.13:2380"
    of = cluster(etcd_initial_cluster="node-1=https://192.0.2.11:2380")
    assert command_flags(text_of(cluster()))["initial-cluster"] == derived
    assert command_flags(text_of(of))["initial-cluster"] == "node-1=https://192.0.2.11:2380"
    assert (
        command_flags(text_of(of, first_start=FirstStart("x=https://192.0.2.9:2380")))["initial-cluster"]
        == "x=https://192.0.2.9:2380"
    )


def test_a_member_that_joins_says_so() -> None:
    joins = text_of(cluster(), first_start=FirstStart("x=https://192.0.2.9:2380", joining=True))
    assert command_flags(joins)["initial-cluster-state"] == "existing"


OWN = "node-1=https://192.0.2.11:2380"


@pytest.mark.parametrize("joining", [False, True])
@pytest.mark.parametrize(
    "entries", [OWN, f"gone=https://192.0.2.9:2380,{OWN}", f"{OWN},node-7=https://[2001:db8::7]:2380"]
)
def test_what_a_manifest_says_of_a_first_start_is_read_back_as_it_was_written(entries: str, *, joining: bool) -> None:
    of = cluster()
    said = FirstStart(entries, joining=joining)
    text = text_of(of, first_start=said)
    assert first_start_of(text, of.members[0]) == said
    assert text_of(of, first_start=first_start_of(text, of.members[0])) == text


@pytest.mark.parametrize(
    "entries",
    [
        "",
        "not an entry",
        "node-2=https://192.0.2.12:2380",
        "node-1=https://192.0.2.99:2380",
        "node-9=https://192.0.2.11:2380",
        f"{OWN},node-1=https://192.0.2.99:2380",
        f"{OWN},,",
    ],
)
def test_a_first_start_of_somebody_else_is_not_taken_for_the_members(entries: str) -> None:
    of = cluster()
    assert first_start_of(text_of(of, first_start=FirstStart(entries or " ")), of.members[0]) is None


def test_without_a_state_a_first_start_is_a_bootstrap_as_etcd_takes_it() -> None:
    of = cluster()
    text = text_of(of, first_start=FirstStart(OWN, joining=True))
    without = "".join(line for line in text.splitlines(keepends=True) if "initial-cluster-state" not in line)
    assert first_start_of(without, of.members[0]) == FirstStart(OWN)
    assert first_start_of(text.replace("=existing", "=other"), of.members[0]) is None


@pytest.mark.parametrize("text", ["", "{", "kind: ConfigMap\nspec: {}\n"])
def test_what_is_no_manifest_says_nothing_of_a_first_start(text: str) -> None:
    assert first_start_of(text, cluster().members[0]) is None


def test_a_member_whose_data_are_gone_cannot_start() -> None:
    pod = pod_of(cluster())
    volumes = {volume["name"]: volume["hostPath"] for volume in pod["spec"]["volumes"]}
    assert volumes == {
        "etcd-data": {"path": "/var/lib/etcd", "type": "Directory"},
        "etcd-member": {"path": "/var/lib/etcd/member", "type": "Directory"},
        "etcd-certs": {"path": "/etc/kubernetes/pki/etcd", "type": "Directory"},
    }
    mounts = {mount["name"]: mount for mount in pod["spec"]["containers"][0]["volumeMounts"]}
    assert {name: mount["mountPath"] for name, mount in mounts.items()} == {
        name: path["path"] for name, path in volumes.items()
    }


def test_the_container_sees_etcds_own_certificates_alone_and_cannot_write_them() -> None:
    mounts = pod_of(cluster())["spec"]["containers"][0]["volumeMounts"]
    assert [mount for mount in mounts if mount.get("readOnly")] == [
        {"name": "etcd-certs", "mountPath": "/etc/kubernetes/pki/etcd", "readOnly": True}
    ]
    assert not [mount for mount in mounts if mount["mountPath"] == "/etc/kubernetes/pki"]


@pytest.mark.parametrize(
    ("version", "startup", "live", "ready"),
    [
        ("3.5.16", "/readyz", "/livez", "/readyz"),
        ("3.5.4", "/health?serializable=true", "/health?serializable=true", "/health"),
        ("3.4.23", "/metrics", "/metrics", "/health"),
    ],
)
def test_probes_have_kubeadms_times_and_the_releases_paths(version: str, startup: str, live: str, ready: str) -> None:
    container = pod_of(cluster(etcd_version=version))["spec"]["containers"][0]

    def probe(path: str, **times: int) -> dict[str, object]:
        return {"httpGet": {"host": "127.0.0.1", "port": 2381, "path": path, "scheme": "HTTP"}, **times}

    assert container["startupProbe"] == probe(
        startup, initialDelaySeconds=10, timeoutSeconds=15, failureThreshold=24, periodSeconds=10
    )
    assert container["livenessProbe"] == probe(
        live, initialDelaySeconds=10, timeoutSeconds=15, failureThreshold=8, periodSeconds=10
    )
    assert container["readinessProbe"] == probe(ready, timeoutSeconds=15, failureThreshold=3, periodSeconds=1)


def test_the_same_input_gives_the_same_bytes() -> None:
    assert text_of(cluster()) == text_of(cluster())
    assert text_of(cluster()).endswith("Directory\n")


@patient
@given(value=values)
def test_no_value_breaks_out_of_the_yaml(value: str) -> None:
    of = cluster(etcd_initial_cluster_token=value, etcd_extra_args={"log-level": value})
    pod = pod_of(of)
    harmless = pod_of(cluster(etcd_extra_args={"log-level": "info"}))
    command, expected = (p["spec"]["containers"][0].pop("command") for p in (pod, harmless))
    assert pod == harmless
    assert len(command) == len(expected)
    assert command_flags(text_of(of))["initial-cluster-token"] == value
    assert command_flags(text_of(of))["log-level"] == value


def test_a_kubelet_expands_no_variable_in_a_value() -> None:
    command = pod_of(cluster(etcd_extra_args={"log-level": "$(HOSTNAME)"}))["spec"]["containers"][0]["command"]
    assert "--log-level=$$(HOSTNAME)" in command


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("{% if %}", "line 1: Expected an expression"),
        ("{{ nothing }}", "'nothing' is undefined"),
        ("{{ nothing | quote }}", "'nothing' is undefined"),
        ("{{ settings.etcd_bogus | quote }}", "has no attribute 'etcd_bogus'"),
        ("a: [", "wanted YAML"),
        ("", "wanted the manifest of a Pod"),
        ("kind: Pod\nspec: {volumes: 3}\n", "wanted a hostPath volume of type Directory on /var/lib/etcd/member"),
        (
            SHIPPED.replace("type: Directory\n", "type: DirectoryOrCreate\n"),
            "wanted a hostPath volume of type Directory",
        ),
    ],
)
def test_a_broken_template_is_refused_in_one_line(template: str, complaint: str) -> None:
    with pytest.raises(InventoryError) as error:
        text_of(cluster(), template=template)
    assert str(error.value).startswith("node-1: template etcd.yaml.j2")
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_nornir_task_renders_the_same_with_environment_and_context() -> None:
    of = cluster()
    template = environment().from_string(SHIPPED)
    assert template.render(host=object(), **context(of.members[0], of, trusted=b"a CA")) == text_of(of)
    assert isinstance(environment(), jinja2.Environment)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[" * 3000,
        "a: [",
        "kind: Pod",
        "kind: Pod\nspec: {containers: 3}",
        "kind: Pod\nspec: {containers: [3, {name: other}]}",
        "kind: Deployment\nspec: {containers: [{name: etcd}]}",
    ],
)
def test_what_is_no_manifest_of_etcd_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ValueError, match="wanted") as error:
        command_flags(text)
    assert "\n" not in str(error.value)


@patient
@given(st.text())
def test_any_other_text_on_a_host_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(ValueError, match="wanted"):
        command_flags(text)


def test_flags_are_found_in_a_manifest_made_by_hand() -> None:
    text = "kind: Pod\nspec: {containers: [{name: etcd, command: 3, args: [1, etcd, --a=b=c, --d]}]}"
    assert command_flags(text) == {"a": "b=c", "d": ""}


def test_a_diff_shows_a_new_file_a_changed_setting_and_nothing() -> None:
    old, new = text_of(cluster()), text_of(cluster(etcd_snapshot_count=5000))
    path = "/etc/kubernetes/manifests/etcd.yaml"
    assert manifest_diff(old, old, path) == ""
    changed = manifest_diff(old, new, path)
    assert '-    - "--snapshot-count=10000"\n+    - "--snapshot-count=5000"\n' in changed
    assert manifest_diff(None, new, path).startswith(f"--- /dev/null\n+++ {path}\n@@ -0,0 ")
    assert manifest_diff(old.rstrip(), old, path)


def test_a_workspaces_template_wins_over_the_shipped_one(tmp_path: Path) -> None:
    assert find_template(TEMPLATE, [tmp_path]).read_text(encoding="utf-8") == SHIPPED
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / TEMPLATE).write_text("own")
    assert find_template(TEMPLATE, [tmp_path]).read_text() == "own"


def test_a_template_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"template other\.j2: not found, looked for .*/templates/other\.j2"):
        find_template("other.j2", [tmp_path])
