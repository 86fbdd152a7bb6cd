"""Variables of one host: layers, references, values, near misses."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from nornir_etcd.exceptions import InventoryError
from nornir_etcd.settings import HostVariables, Settings, load_settings
from nornir_etcd.settings.problems import shown
from nornir_etcd.settings.variables import near_miss

if TYPE_CHECKING:
    from collections.abc import Mapping


VARIABLE = "etcd_sudo_password_env"
CA_VARIABLE, CA_FILE = "etcd_ca_passphrase_env", "etcd_ca_passphrase_file"


def host(name: str = "master-1", hostname: str | None = "192.0.2.11", **layers: Mapping[str, Any]) -> HostVariables:
    """Return a host with data in the layers own, group and defaults."""
    named = {"own": f"host {name}", "group": "group etcd", "defaults": "defaults"}
    return HostVariables(name, hostname, tuple((named[layer], layers.get(layer, {})) for layer in named))


def load(overrides: Mapping[str, str] | None = None, /, **data: Any) -> Settings:
    settings, warnings = load_settings([host(own=data)], overrides)
    assert warnings == ()
    return settings["master-1"]


def problems(overrides: Mapping[str, str] | None = None, /, **data: Any) -> tuple[str, ...]:
    with pytest.raises(InventoryError) as caught:
        load_settings([host(own=data)], overrides)
    assert all(line and "\n" not in line for line in caught.value.problems)
    return caught.value.problems


def test_the_defaults_are_the_roles() -> None:
    settings = load()
    assert settings.model_dump() == {
        "etcd_deploy_mode": "manifest",
        "etcd_data_dir": "/var/lib/etcd",
        "etcd_version": "3.5.16-0",
        "kube_base_dir": "/etc/kubernetes",
        "ca_dir": "/etc/kubernetes/pki",
        "registry": "registry.ikubeops.local",
        "registry_project": "ikubeops",
        "etcd_image": "registry.ikubeops.local/ikubeops/etcd:3.5.16-0",
        "container_runtime": "containerd",
        "etcd_initial_cluster": None,
        "deploy_name": "example",
        "generate_certs_dir": "certs/example",
        "cfssl_version": "1.6.5",
        "cfssl_dir": "certs/example/cfssl",
        "etcd_preset": "cfssl",
        "etcd_pki_dir": "/etc/kubernetes/pki/etcd",
        "etcd_server_certificate": "/etc/kubernetes/pki/etcd/etcd.pem",
        "etcd_server_key": "/etc/kubernetes/pki/etcd/etcd-key.pem",
        "etcd_peer_certificate": "/etc/kubernetes/pki/etcd/etcd.pem",
        "etcd_peer_key": "/etc/kubernetes/pki/etcd/etcd-key.pem",
        "etcd_trusted_ca": "/etc/kubernetes/pki/etcd/ca.pem",
        "etcd_peer_trusted_ca": "/etc/kubernetes/pki/etcd/ca.pem",
        "etcd_general_ca": "/etc/kubernetes/pki/ca.pem",
        "etcd_manifest_path": "/etc/kubernetes/manifests/etcd.yaml",
        "etcd_apiserver_preset": "cfssl",
        "etcd_apiserver_certificate": "/etc/kubernetes/pki/apiserver-etcd-client.pem",
        "etcd_apiserver_key": "/etc/kubernetes/pki/apiserver-etcd-client-key.pem",
        "etcd_apiserver_manifest": "/etc/kubernetes/manifests/kube-apiserver.yaml",
        "etcd_address": "192.0.2.11",
        "etcd_member": "present",
        "etcd_via": "auto",
        "etcd_timeout": 3,
        "etcd_initial_cluster_token": "etcd-example",
        "etcd_quota_backend_bytes": 2147483648,
        "etcd_free_data_bytes": 536870912,
        "etcd_free_config_bytes": 16777216,
        "etcd_snapshot_count": 10000,
        "etcd_heartbeat_interval": 100,
        "etcd_election_timeout": 1000,
        "etcd_tls_min_version": "TLS1.2",
        "etcd_extra_args": {},
        "etcd_ca": "cluster",
        "etcd_extra_sans": (),
        "etcd_key_type": "ecdsa-p256",
        "etcd_cert_days": 365,
        "etcd_ca_days": 3650,
        "cert_signer": "local",
        "etcd_ca_passphrase_env": None,
        "etcd_ca_passphrase_file": None,
        "etcd_renew_days": 30,
        "etcd_cert_critical_days": 7,
        "etcd_ca_warning_days": 365,
        "etcd_ca_critical_days": 30,
        "etcd_wal_fsync_warning_ms": 10,
        "etcd_backend_commit_warning_ms": 25,
        "etcd_metrics_window": 0,
        "etcd_read_warning_ms": 500,
        "etcd_index_lag_warning": 1000,
        "etcd_leader_changes_warning": 10,
        "etcd_quota_warning_percent": 80,
        "etcd_fragmentation_warning_bytes": 209715200,
        "etcd_restarts_warning": 3,
        "etcd_waivers": (),
        "etcd_start_timeout": 300,
        "etcd_health_timeout": 150,
        "etcd_snapshot_dir": "snapshots/example",
        "etcd_snapshot_keep": 7,
        "etcd_snapshot_timeout": 600,
        "etcd_sudo_password_env": None,
    }


@pytest.mark.parametrize("value", ["not a name", "2X", "", 5, "x=y"])
def test_the_variable_of_sudos_password_holds_a_name(value: object) -> None:
    (problem,) = problems(**{VARIABLE: value})
    assert "wanted the name of an environment variable, not what it holds" in problem
    settings = load(**{VARIABLE: "SUDO_PASSWORD"})
    assert settings.model_dump()[VARIABLE] == "SUDO_PASSWORD"


def test_the_variable_of_sudos_password_is_set_in_the_inventory_alone() -> None:
    (problem,) = problems({VARIABLE: "SUDO_PASSWORD"})
    assert problem == "--set: etcd_sudo_password_env: it is read from the inventory alone: set it there"


def test_the_signer_is_one_that_is_known() -> None:
    (problem,) = problems(cert_signer="vault")
    assert problem == "master-1: cert_signer: wanted 'local' or 'cfssl', found 'vault'"
    assert load(cert_signer="cfssl").cert_signer == "cfssl"


@pytest.mark.parametrize("value", ["not a name", "", 5, "x=y"])
def test_the_variable_of_the_cas_passphrase_holds_a_name(value: object) -> None:
    (problem,) = problems(**{CA_VARIABLE: value})
    assert "wanted the name of an environment variable, not what it holds" in problem
    assert load(**{CA_VARIABLE: "CA_WORD"}).model_dump()[CA_VARIABLE] == "CA_WORD"


@pytest.mark.parametrize("value", ["~/pass", "", 5, " x"])
def test_the_file_of_the_cas_passphrase_is_a_path(value: object) -> None:
    (problem,) = problems(**{CA_FILE: value})
    assert "wanted a path, absolute or relative to the working directory" in problem
    assert load(**{CA_FILE: "certs//word"}).model_dump()[CA_FILE] == "certs/word"


def test_the_cas_passphrase_is_in_one_place() -> None:
    assert problems(**{CA_VARIABLE: "CA_WORD", CA_FILE: "word"}) == (
        "master-1: etcd_ca_passphrase_env: wanted it or etcd_ca_passphrase_file, found both ('word'); leave one out",
    )


def test_every_variable_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())


@pytest.mark.parametrize(
    ("layers", "overrides", "expected"),
    [
        ({"defaults": 1}, None, "/d1"),
        ({"defaults": 1, "group": 2}, None, "/d2"),
        ({"defaults": 1, "group": 2, "own": 3}, None, "/d3"),
        ({"defaults": 1, "group": 2, "own": 3}, {"etcd_data_dir": "/d4"}, "/d4"),
    ],
)
def test_the_nearest_layer_wins(layers: dict[str, int], overrides: dict[str, str] | None, expected: str) -> None:
    data: dict[str, Any] = {layer: {"etcd_data_dir": f"/d{number}"} for layer, number in layers.items()}
    settings, _ = load_settings([host(**data)], overrides)
    assert settings["master-1"].etcd_data_dir == expected


def test_a_host_without_hostname_is_reached_by_its_name() -> None:
    settings, _ = load_settings([host(hostname=None)])
    assert settings["master-1"].etcd_address == "master-1"


# References


def test_a_default_follows_the_variable_it_refers_to() -> None:
    assert load(kube_base_dir="/opt/k8s").ca_dir == "/opt/k8s/pki"


def test_references_are_resolved_through_several_variables() -> None:
    settings = load(deploy_name="{{ site }}-{{ stage }}", site="{{ country }}1", country="fr", stage="prod")
    assert (settings.deploy_name, settings.generate_certs_dir) == ("fr1-prod", "certs/fr1-prod")


def test_a_reference_sees_the_nearest_layer() -> None:
    one = host(group={"base": "/a", "ca_dir": "{{ base }}/pki"}, own={"base": "/b"})
    settings, _ = load_settings([one])
    assert settings["master-1"].ca_dir == "/b/pki"


def test_a_host_may_be_named_in_a_value() -> None:
    assert load(etcd_data_dir="/data/{{ inventory_hostname }}").etcd_data_dir == "/data/master-1"


def test_an_override_may_refer_to_variables() -> None:
    assert load({"ca_dir": "{{ base }}/pki"}, base="/b").ca_dir == "/b/pki"


def test_an_override_may_set_a_variable_of_the_users() -> None:
    assert load({"base": "/c"}, base="/b", ca_dir="{{ base }}/pki").ca_dir == "/c/pki"


def test_a_rendered_value_gets_its_type() -> None:
    settings = load(gib="3", etcd_quota_backend_bytes="{{ gib|int * 1024 ** 3 }}")
    assert settings.etcd_quota_backend_bytes == 3 * 1024**3


def test_a_reference_alone_keeps_the_type() -> None:
    settings = load(etcd_extra_sans="{{ sans }}", sans=["10.0.0.1", "{{ lb }}"], lb="lb.example.com")
    assert settings.etcd_extra_sans == ("10.0.0.1", "lb.example.com")


def test_lists_and_mappings_are_rendered() -> None:
    settings = load(etcd_extra_args={"max-txn-ops": "{{ ops }}"}, ops=256, etcd_extra_sans=["{{ deploy_name }}.local"])
    assert settings.etcd_extra_args == {"max-txn-ops": "256"}
    assert settings.etcd_extra_sans == ("example.local",)


def test_a_variable_of_the_users_that_nothing_refers_to_is_left_alone() -> None:
    assert load(motd="{{ broken", loop="{{ loop }}", deep={"a": [1, {2: None}]}) == load()


def test_a_cycle_is_named_once() -> None:
    assert problems(ca_dir="{{ a }}", a="{{ b }}", b="{{ a }}/x") == ("master-1: a: refers to itself: a -> b -> a",)


def test_a_variable_does_not_refer_to_itself() -> None:
    assert problems(ca_dir="{{ ca_dir }}/x") == ("master-1: ca_dir: refers to itself: ca_dir -> ca_dir",)


def test_a_long_chain_of_references_is_refused() -> None:
    chain = {f"v{number}": f"{{{{ v{number + 1} }}}}" for number in range(2000)}
    assert problems(ca_dir="{{ v0 }}", **chain) == (
        "master-1: ca_dir: refers to others that refer to others, more than 50 deep",
    )


def test_an_unknown_reference_is_named_with_the_nearest() -> None:
    assert problems(ca_dir="{{ kube_bse_dir }}/pki") == (
        (
            "master-1: ca_dir: '{{ kube_bse_dir }}/pki' refers to kube_bse_dir, which is not defined; "
            "nearest is kube_base_dir"
        ),
    )


def test_a_reference_to_what_is_derived_later_is_refused() -> None:
    assert "etcd_initial_cluster, which is not defined" in problems(deploy_name="{{ etcd_initial_cluster }}")[0]


def test_a_default_filter_may_stand_for_what_is_not_defined() -> None:
    assert load(ca_dir="{{ nowhere | default('/srv/pki') }}").ca_dir == "/srv/pki"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("{{ x", "is no valid Jinja"),
        ("{% x %}", "is no valid Jinja"),
        ("{{ 1 +\n}}", "is no valid Jinja"),
        ("{{" + "(" * 5000, "is no valid Jinja"),
        ("{{ ''.__class__.__mro__ }}", "is refused"),
        ("{{ '{0.__class__}'.format(1) }}", "is refused"),
        ("{{ [].append(1) }}", "is refused"),
        ("{{ range.__globals__ }}", "is refused"),
        ("{{ 'x' * 10 ** 10 }}", "is refused"),
        ("{{ 9 ** 9 ** 9 }}", "is refused"),
        ("{% for i in range(10 ** 9) %}x{% endfor %}", "Range too big"),
        ("{% include '/etc/passwd' %}", "cannot be rendered"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ inventory_hostname.nothing }}", "has no attribute 'nothing'"),
        ("{{ lipsum() }}", "which is not defined"),
    ],
)
def test_a_template_that_cannot_be_rendered_is_one_line(value: str, words: str) -> None:
    (line,) = problems(etcd_data_dir=value)
    assert line.startswith("master-1: etcd_data_dir: ")
    assert words in line
    assert len(line) < 500


def test_what_follows_from_a_fault_is_not_reported_again() -> None:
    assert problems(deploy_name="a/b", registry="bad host", ca_dir="{{ kube_base_dir }}/pki", kube_base_dir="k8s") == (
        (
            "master-1: kube_base_dir: wanted an absolute path of letters, digits and . _ + @ = , - without '..', "
            "found 'k8s'"
        ),
        "master-1: registry: wanted a registry as host or host:port, such as registry.example.com, found 'bad host'",
        (
            "master-1: deploy_name: wanted at most 63 letters, digits, dots, dashes or underscores, "
            "with a letter or digit first and last, found 'a/b'"
        ),
    )


def test_a_faulty_value_is_shown_with_what_it_was_made_of() -> None:
    assert problems(ca_dir="{{ base }}/pki", base="relative") == (
        (
            "master-1: ca_dir: wanted an absolute path of letters, digits and . _ + @ = , - without '..', "
            "found 'relative/pki' from '{{ base }}/pki'"
        ),
    )


# Values

GOOD = [
    ("etcd_data_dir", "/var/lib/etcd/", "/var/lib/etcd"),
    ("etcd_data_dir", "//srv//etcd", "/srv/etcd"),
    ("etcd_data_dir", "/data", "/data"),
    ("generate_certs_dir", "../certs/a b", "../certs/a b"),
    ("generate_certs_dir", "/srv/certs/", "/srv/certs"),
    ("etcd_snapshot_dir", "/backup/{{ deploy_name }}/", "/backup/example"),
    ("etcd_snapshot_keep", "1", 1),
    ("etcd_version", "v3.5.16", "v3.5.16"),
    ("etcd_version", "3.6.0-0.rc1", "3.6.0-0.rc1"),
    ("registry", "registry:5000", "registry:5000"),
    ("registry", "[2001:db8::1]:5000", "[2001:db8::1]:5000"),
    ("registry", "192.0.2.1", "192.0.2.1"),
    ("registry", "localhost", "localhost"),
    ("registry_project", "team/a-b_c", "team/a-b_c"),
    ("etcd_image", "quay.io/coreos/etcd:3.5.16-0", "quay.io/coreos/etcd:3.5.16-0"),
    ("etcd_address", "2001:DB8:0::0001", "2001:db8::1"),
    ("etcd_address", "Node-1.Example.com", "node-1.example.com"),
    ("etcd_quota_backend_bytes", "4294967296", 4294967296),
    ("etcd_extra_sans", ["::0001", "*.Example.com", "A", "a"], ("::1", "*.example.com", "a")),
    ("etcd_extra_sans", '["10.0.0.1"]', ("10.0.0.1",)),
    ("etcd_extra_args", {"pre-vote": True, "max-txn-ops": 256}, {"pre-vote": "true", "max-txn-ops": "256"}),
    ("etcd_extra_args", '{"log-level": "debug"}', {"log-level": "debug"}),
    ("etcd_extra_args", {"experimental-x": 0.5}, {"experimental-x": "0.5"}),
]


@pytest.mark.parametrize(("key", "value", "expected"), GOOD)
def test_a_good_value_takes_one_form(key: str, value: object, expected: object) -> None:
    assert getattr(load(**{key: value}), key) == expected


BAD = [
    *(
        (key, value)
        for key in ("etcd_data_dir", "kube_base_dir", "ca_dir")
        for value in ("", "/", "var/lib", "/a/../b", "/a b", "/a\nb", "/a\x1b", "~/x", "/a:b", "/a'b", "/a$b", "/etc")
    ),
    *(("generate_certs_dir", value) for value in ("", ".", "..", "/", "~/certs", "~", " a", "a\nb", "a\x00b")),
    *(("etcd_snapshot_dir", value) for value in ("", "/", "~/snapshots")),
    *(("etcd_snapshot_keep", value) for value in (0, -1, 1.5, True, "all")),
    *(("etcd_snapshot_timeout", value) for value in (0, 86401)),
    *(
        ("etcd_version", value)
        for value in ("", "3.5", "latest", "3.5.16 ", "3.5.16-", "3.5.16\n", 3.5, 35, "\u0663.5.1")
    ),
    *(("etcd_version", value) for value in ("2.3.8", "3.3.27", "3.8.0", "4.0.0", "3.5.99999999999", "3.5.16+x")),
    *(
        ("registry", value)
        for value in ("", "registry", "https://r.example.com", "r.example.com/x", "r.x:0", "r.x:99999")
    ),
    *(("registry_project", value) for value in ("", "Team", "/a", "a/", "a//b", "a b", "a" * 300)),
    *(("etcd_image", value) for value in ("", "etcd:3.5.16-0", "a.b/etcd", "a.b/Etcd:3.5.16-0", "a.b/c@sha256:00")),
    *(("deploy_name", value) for value in ("", "a/b", "..", "-a", "a-", "a b", "a" * 64, "a..b", "ü", 2024)),
    *(("etcd_initial_cluster_token", value) for value in ("", "a b", "a,b", 7)),
    *(("etcd_address", value) for value in ("0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1")),  # noqa: S104 - refused
    *(
        ("etcd_address", value)
        for value in ("[::1]", "fe80::1%eth0", "192.168.1", "1.2.3.400", "a_b", "-a", "a.", "a..b")
    ),
    *(("etcd_address", value) for value in ("::ffff:192.0.2.1", "https://192.0.2.1", "192.0.2.1:2379", "a" * 64)),
    *(
        ("etcd_initial_cluster", value)
        for value in ("", "a", "a=b", "a=https://b:2380, c=https://d:2380", "a=ftp://b:1")
    ),
    *(("etcd_tls_min_version", value) for value in ("TLS1.1", "1.2", 1.2)),
    *(("etcd_via", value) for value in ("", "SSH", "tunnel", True)),
    *(("etcd_key_type", value) for value in ("rsa", "RSA-2048", "rsa-1024")),
    *(("etcd_deploy_mode", value) for value in ("systemd", "Manifest", "")),
    *(("container_runtime", value) for value in ("Docker", "cri-o", "")),
    *(
        ("etcd_quota_backend_bytes", value)
        for value in (0, -1, "2G", 1.5, 2**63, 10**5000, "9" * 5000, True, "\uff12147483648")
    ),
    *(("etcd_heartbeat_interval", value) for value in (0, "", 10001)),
    *(("etcd_election_timeout", value) for value in (0, 50001)),
    *(("etcd_cert_days", value) for value in (0, -1, 36501, float("nan"))),
    *(("etcd_extra_sans", value) for value in ("10.0.0.1", ["a b"], [1], {"a": 1}, ["*"], ["*.*.a"], 5, [["a"]])),
    *(
        ("etcd_extra_args", value)
        for value in ("--a=b", ["a"], {"--a": 1}, {1: 2}, {"a": None}, {"a": [1]}, {"A": 1}, {"a": "b\nc"})
    ),
    *(("etcd_extra_args", {flag: "x"}) for flag in ("name", "data-dir", "initial-cluster", "quota-backend-bytes")),
    *(("etcd_extra_args", {flag: "x"}) for flag in ("force-new-cluster", "config-file", "wal-dir", "unsafe-no-fsync")),
    *(("etcd_extra_args", value) for value in ("[" * 100_000, {"a": 10**5000})),
    ("cfssl_version", "1.6"),
]


@pytest.mark.parametrize(("key", "value"), BAD, ids=shown)
def test_a_bad_value_is_one_line_with_host_key_and_what_is_allowed(key: str, value: object) -> None:
    (line,) = problems(**{key: value})
    assert line.startswith(f"master-1: {key}: wanted ")
    assert ", found " in line
    assert line.isprintable()
    assert len(line) < 400


NOT_SCALAR = {
    *("etcd_extra_args", "etcd_extra_sans", "etcd_initial_cluster", "etcd_waivers", VARIABLE),
    *(CA_VARIABLE, CA_FILE),
}
RIGHT = {("etcd_metrics_window", 0)}


@pytest.mark.parametrize(
    "value", [None, True, [], {}, ["a"], {"a": "b"}, 0, -5, 1.5, 10**5000, "a\x00b", b"x", {1, 2}], ids=shown
)
@pytest.mark.parametrize("key", [name for name in Settings.model_fields if name not in NOT_SCALAR])
def test_a_value_of_the_wrong_type_is_a_problem(key: str, value: object) -> None:
    if isinstance(value, int) and (key, value) in RIGHT:
        assert load(**{key: value}).model_dump()[key] == value
        return
    lines = problems(**{key: value})
    assert [line for line in lines if line.startswith(f"master-1: {key}: wanted ")] == list(lines)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ({"etcd_version": "3.5"}, "master-1: etcd_version: wanted a version such as 3.5.16-0, found '3.5'"),
        (
            {"etcd_version": 3.5},
            (
                "master-1: etcd_version: wanted a version such as 3.5.16-0, found 3.5; "
                "YAML reads it as a number: put it in quotes"
            ),
        ),
        (
            {"container_runtime": "cri-o"},
            "master-1: container_runtime: wanted 'containerd' or 'docker', found 'cri-o'",
        ),
        (
            {"registry": "myregistry"},
            (
                "master-1: registry: wanted a registry as host or host:port, such as registry.example.com, "
                "found 'myregistry'; without a dot or a port it would be taken for a project on docker.io"
            ),
        ),
        (
            {"etcd_image": "quay.io/coreos/etcd:v3.5.16"},
            (
                "master-1: etcd_image: wanted the tag 3.5.16-0 (etcd_version, which decides the flags), "
                "found 'quay.io/coreos/etcd:v3.5.16'; set etcd_version to v3.5.16, or leave etcd_image out"
            ),
        ),
        (
            {"etcd_heartbeat_interval": 500},
            (
                "master-1: etcd_election_timeout: wanted at least 2500 ms (5 times etcd_heartbeat_interval), "
                "found 1000 (set in the role's defaults)"
            ),
        ),
        (
            {"etcd_version": "3.5.7-0", "etcd_tls_min_version": "TLS1.3"},
            "master-1: etcd_tls_min_version: wanted TLS1.2, found 'TLS1.3'; etcd 3.5.7 has no --tls-min-version",
        ),
        (
            {"etcd_renew_days": 365},
            "master-1: etcd_renew_days: wanted less than etcd_cert_days (365), found 365",
        ),
        (
            {"etcd_cert_days": 4000},
            "master-1: etcd_cert_days: wanted at most etcd_ca_days (3650), found 4000",
        ),
        (
            {"etcd_data_dir": "/etc/kubernetes/manifests/etcd"},
            (
                "master-1: etcd_data_dir: wanted a folder apart from /etc/kubernetes/manifests, "
                "found '/etc/kubernetes/manifests/etcd'"
            ),
        ),
        (
            {"ca_dir": "/var/lib/etcd/pki"},
            (
                "master-1: etcd_data_dir: wanted a folder apart from /var/lib/etcd/pki/etcd, found '/var/lib/etcd' "
                "(set in the role's defaults)"
            ),
        ),
        (
            {"etcd_data_dir": "/etc/kubernetes/pki/etcd"},
            (
                "master-1: etcd_data_dir: wanted a folder apart from /etc/kubernetes/pki/etcd, "
                "found '/etc/kubernetes/pki/etcd'"
            ),
        ),
        (
            {"ca_dir": "/etc/kubernetes/manifests/pki"},
            (
                "master-1: ca_dir: wanted a folder outside /etc/kubernetes/manifests, "
                "found '/etc/kubernetes/manifests/pki'"
            ),
        ),
        (
            {"etcd_extra_args": {"--max-txn-ops": 1}},
            (
                "master-1: etcd_extra_args: wanted names of etcd's flags (not '--max-txn-ops'), "
                "found {'--max-txn-ops': 1}; leave the dashes in front out"
            ),
        ),
    ],
)
def test_the_words_of_a_problem(data: dict[str, Any], line: str) -> None:
    assert problems(**data) == (line,)


def test_an_election_of_just_five_heartbeats_is_good() -> None:
    assert load(etcd_heartbeat_interval=200).etcd_election_timeout == 1000


def test_every_fault_of_every_host_is_told_at_once() -> None:
    hosts = [
        host("a", "10.0.0.1", own={"etcd_version": "x", "etcd_cert_days": 0}),
        host("b_", "10.0.0.2", own={"ca_dir": ""}),
    ]
    with pytest.raises(InventoryError) as caught:
        load_settings(hosts, {"etcd_dta_dir": "/x"})
    starts = [line.partition(": wanted")[0].partition(": no")[0] for line in caught.value.problems]
    assert starts == ["--set: etcd_dta_dir", "a: etcd_version", "a: etcd_cert_days", "b_: name", "b_: ca_dir"]


def test_one_fault_of_a_group_is_told_once() -> None:
    hosts = [host(f"m{number}", f"10.0.0.{number}", group={"etcd_version": "x"}) for number in range(3)]
    with pytest.raises(InventoryError) as caught:
        load_settings(hosts)
    assert caught.value.problems == (
        "group etcd (3 hosts): etcd_version: wanted a version such as 3.5.16-0, found 'x'",
    )


def test_a_fault_of_a_group_with_one_host_names_the_group() -> None:
    with pytest.raises(InventoryError) as caught:
        load_settings([host(group={"etcd_version": "x"})])
    assert caught.value.problems == (
        "master-1: etcd_version: wanted a version such as 3.5.16-0, found 'x' (set in group etcd)",
    )


def test_a_faulty_hostname_is_told_as_the_address() -> None:
    with pytest.raises(InventoryError) as caught:
        load_settings([host(hostname="bad host")])
    assert caught.value.problems == (
        (
            "master-1: etcd_address: wanted an IPv4 or IPv6 address or a DNS name, "
            "found 'bad host' (the host's hostname, else its name)"
        ),
    )


@pytest.mark.parametrize("name", ["a b", "a=b", "a,b", "", " ", "-a", "ü", "a" * 64, "a\nb", "a/b"])
def test_a_host_name_that_cannot_be_a_members_is_refused(name: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load_settings([host(name)])
    (line,) = caught.value.problems
    assert "name: wanted at most 63 letters" in line
    assert "\n" not in line


def test_data_that_is_no_mapping_is_refused() -> None:
    with pytest.raises(InventoryError) as caught:
        load_settings([HostVariables("m", "10.0.0.1", (("group etcd", ["etcd_version"]),))])
    assert caught.value.problems == (
        "m: data: wanted a mapping of variables, found ['etcd_version'] (set in group etcd)",
    )


def test_a_bottomless_list_is_a_problem() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert problems(etcd_extra_sans=endless) == (
        "master-1: etcd_extra_sans: lists and mappings are nested more than 8 deep",
    )


def test_a_quota_above_what_etcd_advises_is_a_warning() -> None:
    hosts = [host(f"m{number}", f"10.0.0.{number}", group={"etcd_quota_backend_bytes": 2**34}) for number in range(3)]
    _, warnings = load_settings(hosts)
    assert warnings == (
        (
            "group etcd (3 hosts): etcd_quota_backend_bytes: "
            "at most 8589934592 bytes (8 GiB) are advised, found 17179869184"
        ),
    )


# Names


def test_an_override_of_no_variable_is_refused() -> None:
    assert problems({"etcd_verison": "3.5.16-0", "zzz": "1"}) == (
        "--set: etcd_verison: no such variable; nearest is etcd_version",
        "--set: zzz: no such variable",
    )


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("etcd_verison", "etcd_version"),
        ("etcd_versoin", "etcd_version"),
        ("etcd_versions", "etcd_version"),
        ("ectd_version", "etcd_version"),
        ("etcd-version", "etcd_version"),
        ("ETCD_VERSION", "etcd_version"),
        ("etcdVersion", "etcd_version"),
        ("kube_basedir", "kube_base_dir"),
        ("cadir", "ca_dir"),
        ("ca_dirs", "ca_dir"),
        ("regsitry", "registry"),
        ("deploy_nmae", "deploy_name"),
        ("container_runtme", "container_runtime"),
        ("etcd_heartbeat_intervall", "etcd_heartbeat_interval"),
    ],
)
def test_a_variable_that_nearly_misses_is_named_with_its_layer(name: str, ours: str) -> None:
    with pytest.raises(InventoryError) as caught:
        load_settings([host("a", "10.0.0.1", group={name: "x"}), host("b", "10.0.0.2", group={name: "x"})])
    assert caught.value.problems == (f"group etcd (2 hosts): {name}: no such variable; nearest is {ours}",)


@pytest.mark.parametrize(
    "name",
    [
        "registry_mirror", "registry2", "registries", "etcd_backup_dir", "etcd_ca_dir", "etcd_image_id",
        "etcdctl_version", "etcd_version_wanted", "etcd_peer_port", "etcd_wal_dir", "kubernetes_version",
        "crictl_version", "cni_dir", "pki_dir", "deploy_user", "site", "ansible_host", "kubelet_dir",
        "etcd_check_timeout", "etcd_cert_file", "", "etcd_stop_timeout", "etcd_key_days", "etcd", "nadir",
        "docker_registry", "container_name", "cluster_name",
    ],
)  # fmt: skip
def test_a_variable_of_the_users_own_does_not_alarm(name: str) -> None:
    assert load(**{name: "x"}) == load()


def test_a_near_miss_that_another_variable_refers_to_is_the_users_own() -> None:
    assert load(registry_projects="{{ 'team' }}", registry_project="{{ registry_projects }}").registry_project == "team"


def test_no_name_of_ours_nearly_misses_another() -> None:
    names = tuple(Settings.model_fields)
    for one, other in itertools.permutations(names, 2):
        assert near_miss(one, (other,)) == ""


def test_a_host_whose_certificate_would_lie_where_anothers_key_does_is_refused() -> None:
    with pytest.raises(InventoryError, match=r"x-key: name: wanted a name that does not end in -key"):
        load_settings([HostVariables("x-key", "192.0.2.11", ())])
