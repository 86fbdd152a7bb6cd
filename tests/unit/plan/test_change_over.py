"""A cluster that the Ansible role has deployed: recognised, and brought over one member at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nornir_etcd.layout import layout
from nornir_etcd.observation import FileState, Unknown
from nornir_etcd.plan.certs import leaf_request
from nornir_etcd.plan.change_over import is_roles
from nornir_etcd.plan.step import Plan
from nornir_etcd.signers.local import Pair
from tests.lab.role import POD
from tests.unit.builders import UPGRADE, World, authority, deployed, digest, full_store, make_cluster, pair

if TYPE_CHECKING:
    from nornir_etcd.plan.step import Step
    from tests.unit.builders import Node

PKI = "/etc/kubernetes/pki"


class RolesWorld(World):
    """Three members with one certificate, started with the role's manifest; its files are replaced by placing ours."""

    def __init__(self) -> None:
        super().__init__(3, replace(full_store(), leaves={}, client=Pair()))
        addresses = tuple(node.member.address for node in self.nodes.values())
        request = replace(leaf_request(self[1].member), dns_names=(), ip_addresses=addresses)
        self.shared = shared = pair(authority(), request)
        for node in self.nodes.values():
            node.manifest = roles_manifest(node)
            node.ca = node.trusts = authority().pem
            node.images = frozenset({node.member.settings.etcd_image})
            node.data = node.bootstrapped(self.cluster)
            node.up = node.published = True
            for name, content in (("etcd.pem", shared.certificate), ("etcd-key.pem", shared.key)):
                node.files[f"{PKI}/{name}"] = FileState("file", 0o644, "0:0", sha256=digest(content))

    def carry_out_step(self, step: Step) -> None:
        if step.action == "place-files":
            self.nodes[step.host].files.clear()
        super().carry_out_step(step)


def roles_manifest(node: Node) -> str:
    cluster = make_cluster()
    return POD.format(
        image=node.member.settings.etcd_image,
        name=node.name,
        address=node.member.address,
        initial_cluster=cluster.initial_cluster,
        pki=PKI,
    )


def flagged(node: Node, *flags: str) -> None:
    assert node.manifest is not None
    more = "".join(f"    - {flag}\n" for flag in flags)
    node.manifest = node.manifest.replace("    - --snapshot-count=10000\n", f"    - --snapshot-count=10000\n{more}")


def told(world: World) -> str:
    planned = world.plan()
    assert not planned.refusals, planned.refusals
    return "\n".join(planned.notes)


def test_a_dry_run_shows_each_change_with_its_reason() -> None:
    world = RolesWorld()
    flagged(world[2], "--auto-compaction-retention=8")
    said = told(world)
    assert "example: all members are deployed by the Ansible role, with one certificate and key for master-1" in said
    assert f"{PKI}/etcd.pem and {PKI}/etcd-key.pem become links to it, and what they were is kept beside them" in said
    assert "/var/lib/etcd/member has to be there, so that a member which lost its data does not start empty" in said
    assert "flag: --quota-backend-bytes=2147483648, not set before (etcd_quota_backend_bytes)" in said
    assert "flag: --initial-cluster-token=" in said
    assert "flag: --auto-compaction-retention=8 goes; put it into etcd_extra_args to keep it on master-2" in said
    for same in ("listen-client-urls", "snapshot-count", "cert-file", "image:"):
        assert same not in said


def test_an_order_of_urls_is_no_change_and_a_value_is() -> None:
    world = RolesWorld()
    manifest = world[1].manifest or ""
    urls = manifest.partition("--listen-client-urls=")[2].partition("\n")[0].split(",")
    world[1].manifest = manifest.replace(",".join(urls), ",".join(reversed(urls))).replace("count=10000", "count=500")
    said = told(world)
    assert "listen-client-urls" not in said
    assert "flag: --snapshot-count=10000, was 500 (etcd_snapshot_count) on master-1" in said


def test_members_are_brought_over_one_at_a_time_the_leader_last() -> None:
    world = RolesWorld()
    planned = world.plan()
    placed = [[step.host for step in wave] for wave in planned.waves if wave[0].action == "place-files"]
    assert placed == [["master-1"], ["master-2"], ["master-3"]]
    rolled = [step for step in planned.steps if step.action == "replace-manifest"]
    assert [step.host for step in rolled] == ["master-1", "master-3", "master-2"], "master-2 leads"
    assert all(step.reason.startswith("the Ansible role's manifest becomes ours") for step in rolled)
    assert all("2 of 3 voters stay" in step.margin for step in rolled)
    assert all(
        f"{PKI}/etcd-key.pem is file, wanted a link" in step.reason
        for step in planned.steps
        if step.action == "place-files"
    )
    world.carry_out(planned)
    assert world.plan() == Plan()


@pytest.mark.parametrize("steps", range(1, 12))
def test_a_run_that_is_ended_after_any_step_is_gone_on_with(steps: int) -> None:
    world = RolesWorld()
    for wave in world.plan().waves[:steps]:
        for step in wave:
            world.carry_out_step(step)
    world.settle()
    again = world.plan()
    left = {node.name for node in world.nodes.values() if is_roles(node.member, world.observe().hosts[node.name])}
    assert {step.host for step in again.steps if step.action == "replace-manifest"} == left
    assert bool(again.notes) == bool(left)
    world.carry_out(again)
    assert world.plan().steps == ()
    assert len({node.placed[0].key for node in world.nodes.values() if node.placed}) == 3


def test_without_the_roles_certificate_on_the_controller_files_come_first_and_nobody_is_restarted() -> None:
    world = RolesWorld()
    seen = world.observe()
    blind = Unknown("certs/example: wanted a CA and a client certificate of the controller, found none")
    for name, one in seen.endpoints.items():
        seen.endpoints[name] = replace(one, status=blind, members=blind, alarms=blind, read_seconds=blind, blind=blind)
    world.seen = seen
    planned = world.plan()
    assert {step.action for step in planned.steps} == {"issue-client", "issue-certificate", "place-files"}
    assert planned.again
    assert "deployed by the Ansible role" in planned.notes[0]


def test_the_selected_host_alone_is_changed_and_the_rest_stays_the_roles() -> None:
    world = RolesWorld()
    planned = world.plan({"master-1"})
    world.carry_out(planned)
    seen = world.observe()
    assert [is_roles(node.member, seen.hosts[node.name]) for node in world.nodes.values()] == [False, True, True]
    assert "master-2, master-3 are deployed by the Ansible role" in told(world)


def test_certificates_alone_are_served_after_deploy_and_that_is_said() -> None:
    planned = RolesWorld().plan(allowed=frozenset({"certificates"}))
    assert [step.host for step in planned.steps if step.action == "place-files"] == ["master-1", "master-2", "master-3"]
    assert "they are served when deploy has replaced the manifests" in planned.notes[-1]


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (
            "--wal-dir=/var/lib/etcd-wal",
            "master-1: --wal-dir=/var/lib/etcd-wal: deploy keeps the log below etcd_data_dir",
        ),
        ("--peer-cert-allowed-cn=etcd", "master-1: --peer-cert-allowed-cn=etcd: it would refuse members"),
        ("--client-cert-allowed-hostname=a", "master-1: --client-cert-allowed-hostname=a: it would refuse members"),
    ],
)
def test_what_would_cut_a_member_off_is_refused(flag: str, said: str) -> None:
    world = RolesWorld()
    flagged(world[1], flag)
    assert said in world.refusals()
    assert said in "".join(world.plan(allowed=frozenset({"certificates"})).refusals)


def test_data_in_another_place_than_the_inventory_says_is_refused() -> None:
    world = RolesWorld()
    assert world[1].manifest is not None
    world[1].manifest = world[1].manifest.replace("--data-dir=/var/lib/etcd", "--data-dir=/data/etcd")
    refused = "master-1: etcd_data_dir: wanted /data/etcd, where its etcd has its data, found /var/lib/etcd"
    assert refused in world.refusals()


@pytest.mark.parametrize("text", ["", "a: [", "kind: Pod", "kind: Pod\nspec: {containers: [{name: etcd}]}", "- 1"])
def test_what_is_not_the_roles_is_not_taken_for_it(text: str) -> None:
    world = deployed()
    member = world[1].member
    assert not is_roles(member, world.observe().hosts["master-1"])
    host = world.observe().hosts["master-1"]
    assert not is_roles(member, replace(host, texts={layout(member.settings).manifest: text}))
    assert not is_roles(member, replace(host, texts={}))
    assert world.plan().notes == ()


def test_an_upgrade_is_refused_until_the_members_are_brought_over() -> None:
    world = RolesWorld()
    assert not world.plan(allowed=UPGRADE).refusals, "every member runs the version already"
    world.want(etcd_version="3.5.33-0")
    said = "\n".join(world.plan(allowed=UPGRADE).refusals)
    assert "master-1, master-2, master-3: deployed by the Ansible role; run deploy first" in said


def test_a_member_that_lets_in_certain_names_alone_would_refuse_others_that_are_changed() -> None:
    world = RolesWorld()
    flagged(world[2], "--peer-cert-allowed-cn=etcd")
    assert "master-2: --peer-cert-allowed-cn=etcd: it would refuse members" in world.refusals({"master-1"})
