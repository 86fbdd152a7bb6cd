"""What was changed on hosts by hand is found."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.checks.drift import BACKUP, check
from nornir_etcd.checks.evidence import evidence
from nornir_etcd.checks.membership import MEMBERS
from nornir_etcd.manifest import render
from nornir_etcd.observation import FileState, Manifests, Surroundings, Unknown
from tests.unit.builders import NOW, TEMPLATE, World, authority, deployed, differ, make_cluster
from tests.unit.checks.seen import CRITICAL, OK, UNKNOWN, WARNING, findings, host

MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"
KEY = "/etc/kubernetes/pki/etcd/etcd-key.pem"


def edit(world: World, number: int, old: str, new: str) -> None:
    """Change the manifest on a host."""
    node = world[number]
    assert node.manifest is not None
    assert old in node.manifest
    node.manifest = node.manifest.replace(old, new)


def change(world: World, name: str, path: str, **values: object) -> None:
    """Change what is known of a file on a host."""
    files = dict((world.seen or world.observe()).hosts[name].files)
    files[path] = replace(files[path], **values)  # type: ignore[arg-type]  # by name
    host(world, name, files=files)


def test_a_manifest_that_was_edited_is_told_with_its_diff_and_only_on_its_host() -> None:
    world = deployed()
    differ(world[2])
    found = findings(world)
    one = found["manifest.drift", "master-2"]
    assert one.severity is WARNING
    told = 'wanted - "--snapshot-count=10000", found - "--snapshot-count=5000"'
    assert one.message == f"{MANIFEST} is not what deploy would write: 1 line differs: {told}"
    lines = one.evidence["diff"].splitlines()
    assert lines[:2] == [f"--- {MANIFEST}", f"+++ {MANIFEST}"]
    assert '-    - "--snapshot-count=5000"' in lines
    assert '+    - "--snapshot-count=10000"' in lines
    assert found["manifest.drift", "master-1"].severity is OK


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("\n", "\r\n", "line endings differ"),
        ("  hostNetwork: true\n", "", "1 line differs"),
        ("spec:\n", "spec:\n# by hand\n# by hand\n", "2 lines differ"),
        ("kind: Pod", "kind: Pod ", "1 line differs"),
    ],
)
def test_every_byte_that_deploy_would_change_is_drift(old: str, new: str, told: str) -> None:
    world = deployed()
    edit(world, 1, old, new)
    assert findings(world)["manifest.drift", "master-1"].message.endswith(told)
    assert [step.host for step in world.plan().steps] == ["master-1"], "deploy would change it"


@pytest.mark.parametrize("listed", [True, False])
def test_a_host_without_a_manifest_is_told_which_runbook_writes_it(*, listed: bool) -> None:
    world = deployed()
    world[3].manifest, world[3].up = None, False
    world.unlisted = frozenset() if listed else frozenset({"master-3"})
    one = findings(world)["manifest.drift", "master-3"]
    assert one.severity is CRITICAL
    assert one.remedy == ("run deploy" if listed else MEMBERS)


def test_what_deploy_would_not_change_is_no_drift() -> None:
    world = deployed()
    assert not world.plan().steps
    assert {findings(world)["manifest.drift", name].severity for name in world.names} == {OK}


def test_a_manifest_that_is_gone_is_critical_and_one_that_could_not_be_read_is_unknown() -> None:
    world = deployed()
    world[1].manifest = None
    host(world, "master-2", texts={})
    found = findings(world)
    assert found["manifest.drift", "master-1"].severity is CRITICAL
    assert found["manifest.drift", "master-2"].severity is UNKNOWN
    assert MANIFEST in found["manifest.drift", "master-2"].message


def test_a_manifest_that_was_not_rendered_is_compared_with_nothing() -> None:
    world = deployed()
    found = {
        one.code: one for one in check(evidence(world.cluster, world.observe(), {}, NOW)) if "master" in one.subject
    }
    assert found["manifest.drift"].severity is UNKNOWN


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "--heartbeat-interval=100",
            "--heartbeat-interval=200",
            "heartbeat-interval: 100 on master-1, master-3, 200 on",
        ),
        ("--election-timeout=1000", "--election-timeout=5000", "election-timeout: 1000 on master-1, master-3, 5000 on"),
        ("--quota-backend-bytes=2147483648", "--quota-backend-bytes=1", "quota-backend-bytes"),
        ("--snapshot-count=10000", "--snapshot-count=5", "snapshot-count"),
        ("--initial-cluster-token=etcd-example", "--initial-cluster-token=x", "initial-cluster-token"),
        (
            "--experimental-initial-corrupt-check=true",
            "--x=y",
            "InitialCorruptCheck: true on master-1, master-3, false",
        ),
        ("--client-cert-auth=true", "--client-cert-auth=false", "client-cert-auth"),
        ("--tls-min-version=TLS1.2", "--x=y", "tls-min-version: TLS1.2 on master-1, master-3, not set on master-2"),
        ("--tls-min-version=TLS1.2", "--pre-vote=false", "pre-vote: true on master-1, master-3, false on master-2"),
    ],
)
def test_flags_that_all_members_share_are_compared(old: str, new: str, told: str) -> None:
    world = deployed()
    edit(world, 2, old, new)
    one = findings(world)["flags.unequal", "example"]
    assert one.severity is WARNING
    assert told in one.message
    assert one.remedy == "set them once, in the members' group, and run deploy"


def test_a_default_that_is_written_out_is_no_other_flag() -> None:
    world = deployed()
    edit(world, 2, '    - "--heartbeat-interval=100"\n', "")
    edit(world, 1, '    - "--client-cert-auth=true"\n', '    - "--client-cert-auth"\n    - --strict-reconfig-check\n')
    assert findings(world)["flags.unequal", "example"].severity is OK


def test_flags_of_a_members_own_are_not_compared() -> None:
    world = deployed()
    for name in ("data-dir", "initial-cluster", "initial-cluster-state", "log-level", "cert-file"):
        edit(world, 3, '    - "--snapshot-count', f'    - "--{name}=other"\n    - "--snapshot-count')
    assert findings(world)["flags.unequal", "example"].severity is OK


def test_a_corruption_check_is_the_same_by_its_old_name_and_by_its_new_one() -> None:
    """In the middle of an upgrade to 3.6 the members have it under two names."""
    world = deployed(etcd_version="3.5.33-0")
    cluster = make_cluster(3, etcd_version="3.6.14-0")
    world[2].manifest = render(cluster.members[1], cluster, template=TEMPLATE, trusted=authority().pem)
    assert "feature-gates" in world[2].manifest
    assert findings(world)["flags.unequal", "example"].severity is OK
    edit(world, 2, "CompactHashCheck=true", "CompactHashCheck=false")
    one = findings(world)["flags.unequal", "example"]
    assert one.evidence == {"CompactHashCheck": "true on master-1, master-3, false on master-2"}
    assert "runbook upgrade" in one.remedy, "deploy changes no version"


@pytest.mark.parametrize("text", ["", "kind: Pod\n", "{", "kind: ConfigMap\nspec: {}\n"])
def test_a_manifest_that_is_none_leaves_the_flags_unknown(text: str) -> None:
    world = deployed()
    world[2].manifest = text
    one = findings(world)["flags.unequal", "example"]
    assert one.severity is UNKNOWN
    assert "master-2" in one.message


@given(st.text(max_size=60))
def test_any_text_in_a_manifests_place_is_drift_and_no_error(text: str) -> None:
    world = WORLD
    world[2].manifest = text
    found = {
        (one.code, one.subject): one for one in check(evidence(world.cluster, world.observe(), {}, NOW, world.wanted))
    }
    assert found["manifest.drift", "master-2"].severity is WARNING
    assert found["flags.unequal", "example"].severity is UNKNOWN


WORLD = deployed()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o601])
def test_a_key_that_others_can_read_is_critical(mode: int) -> None:
    world = deployed()
    change(world, "master-2", KEY, mode=mode)
    one = findings(world)["file.mode", "master-2"]
    assert one.severity is CRITICAL
    assert one.message == f"{KEY} has mode {mode:04o}, wanted 0600"
    assert one.remedy == (
        f"chmod 0600 {KEY}; if others have been on the host, take master-2's pair out of certs/example and run certs"
    )


@pytest.mark.parametrize(
    ("path", "values", "told"),
    [
        (KEY, {"mode": 0o400}, "mode 0400, wanted 0600"),
        (KEY, {"owner": "1000:0"}, "owner 1000:0, wanted 0:0"),
        (KEY, {"mode": 0o700, "owner": "0:7"}, "mode 0700, wanted 0600 and owner 0:7, wanted 0:0"),
        ("/etc/kubernetes/pki/etcd/etcd.pem", {"mode": 0o666}, "mode 0666, wanted 0644"),
        ("/etc/kubernetes/pki/etcd/ca.pem", {"mode": 0o664}, "mode 0664, wanted 0644"),
        ("/etc/kubernetes/pki/ca.pem", {"mode": 0o646}, "mode 0646, wanted 0644"),
        ("/etc/kubernetes/pki/etcd", {"mode": 0o755}, "mode 0755, wanted 0700"),
        (MANIFEST, {"mode": 0o644}, "mode 0644, wanted 0600"),
        ("/etc/kubernetes/manifests", {"mode": 0o777}, "mode 0777, wanted 0700"),
        ("/var/lib/etcd", {"mode": 0o2700}, "mode 2700, wanted 0700"),
        ("/var/lib/etcd", {"owner": "998:998"}, "owner 998:998, wanted 0:0"),
    ],
)
def test_every_other_owner_and_mode_is_a_warning(path: str, values: dict[str, object], told: str) -> None:
    world = deployed()
    change(world, "master-1", path, **values)
    found = findings(world)
    assert (found["file.mode", "master-1"].severity, found["file.mode", "master-1"].message) == (
        WARNING,
        f"{path} has {told}",
    )
    assert found["file.mode", "master-2"].severity is OK


def test_every_file_that_is_wrong_is_named_at_once() -> None:
    world = deployed()
    for path in (KEY, MANIFEST):
        change(world, "master-1", path, mode=0o777)
    one = findings(world)["file.mode", "master-1"]
    assert (one.severity, set(one.evidence)) == (CRITICAL, {KEY, MANIFEST})


def test_modes_that_could_not_be_read_are_unknown_and_absent_files_are_told_elsewhere() -> None:
    world = deployed()
    files = dict(world.observe().hosts["master-1"].files)
    del files[KEY]
    host(world, "master-1", files=files)
    host(world, "master-2", files=world.observe().hosts["master-2"].files | {KEY: FileState("link", target="nowhere")})
    host(world, "master-3", files=world.observe().hosts["master-3"].files | {KEY: FileState("absent")})
    found = findings(world)
    assert [found["file.mode", name].severity for name in sorted(world.names)] == [UNKNOWN, UNKNOWN, OK]
    assert KEY in found["file.mode", "master-1"].message
    assert findings(World())["file.mode", "master-1"].severity is UNKNOWN


def leftovers(world: World, name: str, *files: str, etcd: tuple[str, ...] = ()) -> None:
    """Leave other files in the folder of static Pods."""
    around = (world.seen or world.observe()).hosts[name].surroundings
    assert isinstance(around, Surroundings)
    host(world, name, surroundings=replace(around, manifests=Manifests(files, etcd)))


@pytest.mark.parametrize(
    "name",
    [
        "etcd.yaml.bak", "etcd.yaml~", "etcd.yaml.orig", "etcd.yaml.rpmsave", "etcd.yaml.rpmnew", "etcd.yaml.swp",
        "kube-apiserver.yaml.old", "etcd.yaml.BAK", "etcd.yaml.bak2", "etcd.yaml.20261122", "etcd.yaml.save",
        "etcd.yaml.dpkg-old", "kube-scheduler.yaml-20261122", "etcd.yaml.tmp",
    ],
)  # fmt: skip
def test_what_looks_like_a_copy_is_a_warning(name: str) -> None:
    world = deployed()
    leftovers(world, "master-1", "kube-apiserver.yaml", name)
    one = findings(world)["manifests.leftover", "master-1"]
    assert (one.severity, name in one.message) == (WARNING, True)
    assert "kube-apiserver.yaml," not in one.message


@pytest.mark.parametrize(
    "name", ["kube-apiserver.yaml", "etcd-events.yaml", "kube-vip.json", "haproxy", "backup.yaml", "node-10.0.0.1.yaml"]
)
def test_other_static_pods_are_fine(name: str) -> None:
    assert not BACKUP.search(name)
    world = deployed()
    leftovers(world, "master-1", name)
    assert findings(world)["manifests.leftover", "master-1"].severity is OK


def test_a_second_etcd_is_critical_whatever_its_file_is_called() -> None:
    world = deployed()
    leftovers(world, "master-1", "kube-apiserver.yaml", "x.yaml", etcd=("x.yaml",))
    one = findings(world)["manifests.leftover", "master-1"]
    assert (one.severity, one.remedy) == (
        CRITICAL,
        "move x.yaml out of /etc/kubernetes/manifests; backups do not belong there",
    )


def test_a_folder_that_could_not_be_listed_is_unknown() -> None:
    world = deployed()
    host(world, "master-1", surroundings=Unknown("not read"))
    assert findings(world)["manifests.leftover", "master-1"].severity is UNKNOWN


def test_files_of_another_tool_are_held_to_no_manifest_of_ours() -> None:
    world = deployed()
    theirs = replace(world.cluster, declared=False)
    found = {one.code for one in check(evidence(theirs, world.observe(), {}, NOW, world.wanted))}
    assert found == {"flags.unequal", "file.mode", "manifests.leftover"}


def test_keys_of_another_tool_are_held_to_the_same_modes() -> None:
    """Kubeadm has a pair for clients and one for peers, each with a key of its own."""
    world = deployed()
    cluster = make_cluster(3, etcd_preset="kubeadm")
    keys = ("/etc/kubernetes/pki/etcd/server.key", "/etc/kubernetes/pki/etcd/peer.key")
    for name in world.names:
        files = {path: FileState("file", 0o600, "0:0") for path in keys}
        files |= {"/etc/kubernetes/manifests/etcd.yaml": FileState("file", 0o600, "0:0")}
        files |= {path: FileState("directory", 0o700, "0:0") for path in ("/etc/kubernetes/manifests", "/var/lib/etcd")}
        host(world, name, files=files | {"/etc/kubernetes/pki/ca.crt": FileState("file", 0o644, "0:0")})
    change(world, "master-2", keys[1], mode=0o644)
    assert world.seen is not None
    found = {(one.code, one.subject): one for one in check(evidence(cluster, world.seen, {}, NOW, world.wanted))}
    assert {code for code, _ in found} == {"flags.unequal", "file.mode", "manifests.leftover"}
    assert [found["file.mode", name].severity for name in sorted(world.names)] == [OK, CRITICAL, OK]
    assert found["file.mode", "master-2"].message == f"{keys[1]} has mode 0644, wanted 0600"
    assert found["file.mode", "master-2"].remedy.endswith("have the pair issued anew"), "certs is not for its files"
