"""A CA rotation on a cluster in memory: phases, pauses, refusals, and the same command after a kill anywhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nornir_etcd.apiserver import parse
from nornir_etcd.manifest import trusted_ca
from nornir_etcd.observation import ApiServerState, Unknown
from nornir_etcd.pki.certificate import signed_by
from nornir_etcd.plan.certs import ca_to_make
from nornir_etcd.plan.rotation import Rotation
from tests.unit.builders import World, authority, deployed, differ, empty_store, more_authorities

if TYPE_CHECKING:
    from nornir_etcd.plan.planner import Difference
    from nornir_etcd.plan.step import Plan, Step

KUBEADM = """\
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - name: kube-apiserver
    command:
    - kube-apiserver
    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
    - --etcd-certfile=/etc/kubernetes/pki/apiserver-etcd-client.crt
    - --etcd-keyfile=/etc/kubernetes/pki/apiserver-etcd-client.key
    - --etcd-servers=https://127.0.0.1:2379
    volumeMounts:
    - {mountPath: /etc/kubernetes/pki, name: k8s-certs}
  volumes:
  - name: k8s-certs
    hostPath:
      path: /etc/kubernetes/pki
"""
ROTATE: frozenset[Difference] = frozenset({"certificates", "manifests", "authority"})
ALL = Rotation(clients_trust_new=True, clients_use_new=True)
MAX_ROUNDS = 20


def rotating(size: int = 3) -> World:
    """Return a healthy cluster with the cluster's CA, whose inventory asks for one of its own."""
    return deployed(size, etcd_ca="dedicated")


def next_plan(world: World, said: Rotation = ALL) -> Plan:
    return world.plan(allowed=ROTATE, rotation=said, accept_downtime=len(world.nodes) == 1)


def nobody_is_refused(world: World, step: Step) -> None:
    """Every member takes every other's certificate and the controller's, and the controller takes theirs."""
    trusted, client = world.store.trusted, world.store.client.certificate
    assert trusted is not None
    assert client is not None
    for node in world.nodes.values():
        assert node.placed is not None
        assert node.trusts is not None
        leaf = node.placed[0].certificate
        assert leaf is not None
        assert signed_by(leaf, trusted), f"{step.id}: the controller refuses {node.name}"
        assert signed_by(client, node.trusts), f"{step.id}: {node.name} refuses the controller"
        for other in world.nodes.values():
            assert other.trusts is not None
            assert signed_by(leaf, other.trusts), f"{step.id}: {other.name} refuses {node.name}"


def carry_out(world: World, planned: Plan, limit: int) -> int:
    """Carry out at most so many steps, and return how many were."""
    done = 0
    for wave in planned.waves:
        for step in wave:
            if done == limit:
                return done
            if step.disruptive:
                assert len(wave) == 1
                assert len(world.running - {step.host}) >= world.voters // 2 + 1 or world.voters == 1
            world.carry_out_step(step)
            done += 1
            nobody_is_refused(world, step)
    return done


def complete(world: World, said: Rotation = ALL) -> list[str]:
    """Plan and carry out until nothing is left; return the steps."""
    for _ in range(MAX_ROUNDS):
        planned = next_plan(world, said)
        assert not planned.refusals
        if not planned.steps:
            return [step.id for step in world.done]
        assert planned.again
        carry_out(world, planned, 1000)
    raise AssertionError(world.done)


def is_rotated(world: World) -> bool:
    """Whether the new CA alone signs and is trusted, everywhere."""
    new = more_authorities()[0].pem
    leaves = [node.placed[0].certificate for node in world.nodes.values() if node.placed]
    return (
        world.store.ca.certificate == world.store.trusted == new
        and all(node.trusts == new for node in world.nodes.values())
        and all(leaf and signed_by(leaf, new) for leaf in (*leaves, world.store.client.certificate))
    )


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_rotation_comes_to_its_end_and_nobody_is_refused_on_the_way(size: int) -> None:
    world = rotating(size)
    steps = complete(world)
    assert is_rotated(world)
    own = [step for step in steps if step.startswith("controller/")]
    phases = ["add-ca", "switch-signer", "issue-client", "retire-ca"]
    assert own == [f"controller/{action}" for action in phases]
    for name in world.names:
        assert steps.count(f"{name}/replace-manifest") == 2
        assert steps.count(f"{name}/issue-certificate") == 1


def test_the_same_command_again_begins_no_other_rotation() -> None:
    world = rotating()
    complete(world)
    again = next_plan(world)
    assert not again.steps
    assert again.notes == (
        (
            "'etcd CA 0', made 0.1 hours ago, alone signs and is trusted, everywhere; "
            "to replace it within 24 hours of its making, say --force"
        ),
    )
    assert [step.action for step in next_plan(world, Rotation(force=True)).steps] == ["add-ca"]


def test_a_ca_of_etcds_own_follows_on_another_one() -> None:
    world = rotating()
    complete(world)
    carry_out(world, next_plan(world, replace(ALL, force=True)), 1)
    assert len(complete(world)) > 0
    assert world.store.ca.certificate == world.store.trusted == more_authorities()[1].pem


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 6), max_size=30))
def test_a_rotation_that_is_killed_after_any_steps_is_completed_by_the_same_command(kills: list[int]) -> None:
    world = rotating()
    for limit in kills:
        planned = next_plan(world)
        assert not planned.refusals
        carry_out(world, planned, limit)
    complete(world)
    assert is_rotated(world)


def test_without_a_word_on_clients_it_stops_before_new_certificates_are_served() -> None:
    world = rotating()
    complete(world, Rotation())
    planned = next_plan(world, Rotation())
    assert "run this again with --clients-trust-new" in planned.notes[0]
    assert "trusted.pem" in planned.notes[0]
    assert world.store.trust.phase == "trust-both"
    assert all(node.trusts == world.store.trusted for node in world.nodes.values())
    assert world.store.ca.certificate == authority().pem


def test_and_again_before_the_former_ca_is_dropped() -> None:
    world = rotating()
    said = Rotation(clients_trust_new=True)
    complete(world, said)
    planned = next_plan(world, said)
    assert "run this again with --clients-use-new" in planned.notes[0]
    assert "'etcd CA 0'" in planned.notes[0]
    assert world.store.trust.phase == "new-leaves"


def test_deploy_in_the_middle_of_a_rotation_goes_no_phase_further() -> None:
    world = rotating()
    carry_out(world, next_plan(world), 1)
    planned = world.plan()
    assert {step.action for step in planned.steps} == {"place-files", "replace-manifest", "move-leader"}
    carry_out(world, planned, 1000)
    assert not world.plan().steps
    assert world.store.trust.phase == "trust-both"


def test_no_phase_begins_while_a_container_is_older_than_its_manifest() -> None:
    world = rotating()
    complete(world, Rotation())
    world[2].manifest_age, world[2].late = 100.0, -50.0
    (refused,) = next_plan(world).refusals
    assert refused.startswith("master-2: the container is older than its manifest")


def test_a_member_that_its_kubelet_is_about_to_restart_is_waited_for() -> None:
    world = rotating()
    complete(world, Rotation())
    world[2].manifest_age, world[2].late = 10.0, -50.0
    planned = next_plan(world)
    assert [step.id for step in planned.steps] == ["master-2/await-restart"]


def test_no_phase_begins_while_a_member_is_down_or_its_containers_unknown() -> None:
    world = rotating()
    complete(world, Rotation())
    world[3].up = False
    world[3].manifest_age = 1000.0
    assert "master-3: does not answer" in next_plan(world).refusals[0]
    world[3].up = True
    world[3].images = Unknown("crictl: no such file")
    assert "master-3: which container runs is not known" in next_plan(world).refusals[0]


def test_what_differs_besides_is_not_changed_by_the_way() -> None:
    world = rotating()
    differ(world[2])
    (refused,) = next_plan(world).refusals
    assert refused == (
        "master-2: /etc/kubernetes/manifests/etcd.yaml: differs in more than the CA; "
        "run deploy first, then rotate the CA"
    )


def test_the_clusters_ca_is_not_replaced() -> None:
    (refused,) = next_plan(deployed()).refusals
    assert refused.startswith("example: etcd_ca: wanted dedicated, found cluster")


def test_a_selection_that_leaves_out_a_member_is_refused() -> None:
    world = rotating()
    planned = world.plan(["master-1"], allowed=ROTATE, rotation=ALL)
    assert planned.refusals == ("example: a CA is rotated on all members, the selection leaves out master-2, master-3",)


def test_a_cluster_that_is_not_there_has_no_ca_to_rotate() -> None:
    world = World(3, etcd_ca="dedicated")
    assert "wanted a cluster that answers with a quorum, found none" in next_plan(world).refusals[0]


def test_a_new_cluster_gets_a_ca_of_its_own_at_once() -> None:
    world = World(3, etcd_ca="dedicated")
    planned = world.plan()
    assert [step.action for step in planned.waves[0]] == ["make-etcd-ca"]
    world.carry_out(planned)
    assert world.store.ca.certificate == world.store.trusted == more_authorities()[0].pem
    assert not world.plan().steps
    assert all(node.ca is None for node in world.nodes.values()), "the cluster's CA on the host is not etcd's to write"


def test_a_ca_of_the_cluster_that_lies_there_does_not_sign_for_a_new_etcd_that_shall_have_its_own() -> None:
    world = World(3, replace(empty_store(), ca=deployed().store.ca), etcd_ca="dedicated")
    for node in world.nodes.values():
        node.ca = authority().pem
    assert ca_to_make(world.cluster, world.store, world.observe()) == "dedicated"
    world.carry_out(world.plan())
    assert world.store.trust.trusted == ("etcd-1",)
    assert not world.plan().steps


def test_the_clusters_ca_is_not_gone_back_to() -> None:
    world = rotating()
    complete(world)
    back = deployed()
    back.store = world.store
    assert "etcd_ca: wanted cluster, found that a CA of etcd's own is in use" in back.refusals()


def test_the_manifest_says_with_which_cas_a_member_is_started() -> None:
    world = rotating()
    before = trusted_ca(world.wanted["master-1"])
    carry_out(world, next_plan(world), 1)
    both = trusted_ca(world.wanted["master-1"])
    complete(world)
    assert len({before, both, trusted_ca(world.wanted["master-1"])}) == 3


def with_apiserver(world: World, *numbers: int) -> None:
    """Let API servers run on hosts, as kubeadm has them: with files of the cluster's CA under names of its own."""
    for number in numbers:
        world[number].apiserver = ApiServerState(parse(KUBEADM), ())


def test_api_servers_get_certificates_and_both_cas_before_new_certificates_are_served() -> None:
    world = rotating()
    with_apiserver(world, 1, 2, 3)
    steps = complete(world, Rotation())
    assert is_rotated(world), "nobody else is waited for"
    at = {
        step: [i for i, one in enumerate(steps) if one.endswith(step)]
        for step in {one.rpartition("/")[2] for one in steps}
    }
    both, drop = at["replace-apiserver"][:3], at["replace-apiserver"][3:]
    (switch,), (retire,) = at["switch-signer"], at["retire-ca"]
    assert len(drop) == 3
    assert max(both) < switch < retire < min(drop)
    assert max(at["replace-manifest"][:3]) < min(both), "members first"
    assert switch < min(at["issue-apiserver"][3:]) < max(at["place-apiserver-files"][3:]) < retire
    new = more_authorities()[0].pem
    assert all(pair.certificate and signed_by(pair.certificate, new) for pair in world.store.apiservers.values())
    assert not next_plan(world, Rotation()).steps


def test_an_api_server_that_cannot_see_our_files_is_named_and_waited_for() -> None:
    world = rotating()
    with_apiserver(world, 1)
    world[1].apiserver = ApiServerState(parse(KUBEADM.replace("path: /etc/kubernetes/pki", "path: /elsewhere")), ())
    complete(world, Rotation())
    notes = next_plan(world, Rotation()).notes
    assert "master-1: kube-apiserver: /etc/kubernetes/pki/etcd/ca.pem is not mounted into its container" in notes
    assert "--clients-trust-new" in notes[-1]
    assert world.store.trust.phase == "trust-both"


def test_an_api_server_of_another_etcd_is_none_of_ours() -> None:
    world = rotating()
    world[1].apiserver = ApiServerState(
        parse(KUBEADM.replace("https://127.0.0.1:2379", "https://198.51.100.1:2379")), ()
    )
    steps = complete(world)
    assert not any(step.endswith("replace-apiserver") for step in steps)


def test_an_api_server_whose_manifest_is_not_found_is_named() -> None:
    world = rotating()
    world[2].apiserver = ApiServerState(None, ())
    complete(world, Rotation())
    assert (
        next_plan(world, Rotation())
        .notes[0]
        .startswith("master-2: kube-apiserver: its manifest does not lie where it is looked for")
    )
