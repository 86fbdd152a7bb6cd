"""A cluster whose membership changes: `members apply` and `deploy` on hosts in memory, ended in the midst of any step.

It walks as nornir_etcd.workflows.work does: look, plan, carry out up to the plan's horizon, look again; a learner that
does not come up is removed again. Consents are taken as given. Of etcd it knows what membership hangs on: learners do
not vote and answer no linearizable read, there is one at a time, and none votes that is not in sync; an ID that was
removed never comes back, and its data start nothing; who joins must name the peer URLs of the live list, all of them;
a voter is reached by its peers at the URL that the list has.

After every part of a step it is asked whether all is kept that must be: see `World.assert_kept`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from nornir_etcd.cluster import Cluster, load_clusters, quorum
from nornir_etcd.manifest import FirstStart, command_flags, image_of, render
from nornir_etcd.observation import (
    ClusterObservation,
    DataDirectory,
    EndpointObservation,
    MemberInfo,
    MemberList,
    MemberStatus,
    Unknown,
)
from nornir_etcd.plan.identity import bootstrap_ids
from nornir_etcd.plan.planner import Desired, plan
from nornir_etcd.plan.state import kept_first_start
from nornir_etcd.plan.withdrawal import withdrawal
from nornir_etcd.settings import HostVariables
from nornir_etcd.settings.addresses import initial_cluster_entries
from tests.unit import builders
from tests.unit.builders import ABSENT, DEPLOY, GUARD, NOW, SILENT, TEMPLATE, Node, bring_up, full_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nornir_etcd.cluster import Member
    from nornir_etcd.observation import HostObservation
    from nornir_etcd.plan.planner import Difference
    from nornir_etcd.plan.step import Plan, Step

Numbers = tuple[int, ...]
MEMBERS: frozenset[Difference] = frozenset({"members"})
JOINS = ("start-learner", "promote-member")
"""As in nornir_etcd.workflows.apply, which cannot be imported here: it knows the tasks."""
ROUNDS = 100
SECONDS = 2.0
"""That a part of a step takes."""
LEARNER = Unknown("etcdserver: rpc not supported for learner")
NO_QUORUM = Unknown("context deadline exceeded")
REFUSED = EndpointObservation(False, False, SILENT, SILENT, SILENT, SILENT, SILENT, SILENT)


@dataclass(frozen=True)
class Kill:
    """When the controller is ended, and what happens until the same command is run again."""

    after: int  # parts of steps that were carried out
    acts: bool = True  # kubelets act on what was written
    seconds: float = 30.0


@dataclass(frozen=True)
class End:
    """How a run ended."""

    how: str  # done, killed, refused, failed
    why: str = ""


class Failed(Exception):
    """A step did not come to its proof."""


@cache
def inventory(numbers: Numbers, absent: Numbers = (), moved: Numbers = ()) -> Cluster:
    """Return the cluster of master-NUMBER at 192.0.2.(10 + NUMBER); of those that have moved, 100 above."""
    hosts = [
        HostVariables(
            f"master-{number}",
            f"192.0.2.{number + (110 if number in moved else 10)}",
            ((f"host master-{number}", {"etcd_member": "absent"} if number in absent else {}),),
        )
        for number in numbers
    ]
    (cluster,), _ = load_clusters(hosts)
    return cluster


@cache
def rendered(
    asked: tuple[Numbers, Numbers, Numbers], name: str, trusted: bytes | None, start: FirstStart | None
) -> str:
    """Return the manifest of a member of such an inventory."""
    cluster = inventory(*asked)
    return render(cluster.member(name), cluster, template=TEMPLATE, trusted=trusted, first_start=start)


class World(builders.World):
    """A cluster that lives, and what an inventory wants of its membership.

    Args:
        voters: how many it has: master-1 and up.
        numbers: the hosts that the inventory has by now; further those of them that shall be members no more, and
            those that have another address.
        foreign: learners of somebody else's in the live list.
    """

    def __init__(
        self,
        voters: int,
        numbers: Numbers,
        absent: Numbers = (),
        moved: Numbers = (),
        foreign: tuple[MemberInfo, ...] = (),
    ) -> None:
        super().__init__(voters, full_store(voters))
        bring_up(self)
        self.cluster_id, ids = bootstrap_ids(self.cluster)
        self.live = {
            ids[member.name]: MemberInfo(
                ids[member.name], member.name, (member.peer_url,), (member.client_url,), is_learner=False
            )
            for member in self.cluster.members
        } | {info.id: info for info in foreign}
        self.foreign = foreign
        self.removed: set[int] = set()  # IDs
        self.added = 0x1000
        self.listens = {member.name: member.peer_url for member in self.cluster.members}
        self.revision = 1
        self.holds = dict.fromkeys(self.nodes, 1)  # the newest revision in the data of a host
        self.aside: list[tuple[str, DataDirectory]] = []
        self.fails: dict[str, str] = {}  # how a member on that host does not come up
        self.certificates_first = False  # of a host that is cleared
        self.asked = (numbers, absent, moved)
        self.cluster = inventory(*self.asked)
        for host in self.cluster.hosts:
            node = self.nodes.setdefault(host.name, Node(host))
            node.member = host
        # The hosts that nobody has asked anything of.
        self.idle = {
            name: node.manifest
            for name, node in self.nodes.items()
            if name in self.listens and self.listens[name] in {member.peer_url for member in self.cluster.members}
        }
        self.untouched: dict[str, DataDirectory] = {}  # data directories that are nobody's business

    # What is there.

    def live_list(self) -> tuple[MemberInfo, ...]:
        return tuple(self.live.values())

    def info(self, node: Node) -> MemberInfo | None:
        """Return the entry of the member whose data are on a host."""
        data = node.data
        return self.live.get(data.node_id) if isinstance(data, DataDirectory) and data.state == "member" else None

    def connected(self, node: Node) -> bool:
        """Whether a member runs, and its peers reach it."""
        info = self.info(node)
        return node.up and info is not None and self.listens[node.name] in info.peer_urls

    @property
    def running(self) -> frozenset[str]:
        """The hosts of the voters that take part."""
        return frozenset(
            name
            for name, node in self.nodes.items()
            if self.connected(node) and (info := self.info(node)) is not None and not info.is_learner
        )

    def observed(self, allowed: frozenset[Difference]) -> ClusterObservation:
        """Return what the controller sees: of hosts that shall be members no more where membership is changed alone."""
        asked = self.cluster.hosts if allowed == MEMBERS else self.cluster.members
        nodes = [self.nodes[host.name] for host in asked]
        hosts = {node.name: self._host(node) for node in nodes}
        endpoints = {node.name: self._endpoint(node) for node in nodes}
        strangers = {}
        if allowed == MEMBERS:
            known = {host.peer_url for host in self.cluster.hosts}
            strangers = {info.id: self._stranger(info) for info in self.live_list() if not known & set(info.peer_urls)}
        return ClusterObservation(NOW.timestamp(), hosts, endpoints, strangers)

    def _stranger(self, info: MemberInfo) -> EndpointObservation:
        """Ask a live member at the client URL that it has published."""
        node = next((one for one in self.nodes.values() if one.up and self.info(one) == info), None)
        if node is None or not info.client_urls:
            return REFUSED
        return self._answer(node)

    def _endpoint(self, node: Node) -> EndpointObservation:
        """Ask at the address that the inventory has."""
        return self._answer(node) if node.up and self.listens[node.name] == node.member.peer_url else REFUSED

    def _answer(self, node: Node) -> EndpointObservation:
        assert isinstance(node.data, DataDirectory)
        info, number = self.info(node), node.data.node_id
        leader = self.info(self.nodes[self.leader]) if self.leader and self.connected(node) else None
        learner = info is not None and info.is_learner
        status = MemberStatus(
            self.cluster_id, number, node.version, 20480, 16384, leader.id if leader else 0, 2, 9, 9, learner, ()
        )
        served = (node.placed[0].certificate if node.placed else None) or SILENT
        why = LEARNER if learner else NO_QUORUM
        reads = leader is not None and not learner
        return EndpointObservation(
            client_port=True,
            peer_port=True,
            served_client=served,
            served_peer=served,
            status=status,
            members=MemberList(self.cluster_id, number, self.live_list()) if reads else why,
            alarms=self.alarms if reads else why,
            read_seconds=0.004 if reads else why,
        )

    # What is planned.

    def planned(self, allowed: frozenset[Difference]) -> Plan:
        """Return the plan, held to what holds for every plan."""
        seen = self.observed(allowed)
        self.wanted = {member.name: self._wanted(member, seen.hosts[member.name]) for member in self.cluster.members}
        scope = frozenset(host.name for host in self.cluster.hosts)
        found = plan(Desired(self.cluster, self.wanted, scope, allowed, NOW), seen, self.store)
        assert not (found.refusals and found.steps)
        assert all(wave for wave in found.waves)
        assert len({step.id for step in found.steps}) == len(found.steps)
        return found

    def _wanted(self, member: Member, host: HostObservation) -> str:
        return rendered(self.asked, member.name, self.store.trusted, kept_first_start(member, host))

    # What kubelets and members do.

    def start(self, node: Node, *, publish: bool = True) -> None:
        """Start a member as a kubelet would: only where the guard, or the data behind it, is there."""
        assert node.manifest is not None
        assert isinstance(node.data, DataDirectory)
        node.up = False
        if node.data.state not in {"guard", "member"} or node.placed is None:
            return
        assert isinstance(node.images, frozenset)
        assert image_of(node.manifest) in node.images, "the kubelet would have to pull it"
        fails = self.fails.get(node.name, "")
        if fails == "without data":  # no image, or a port that is taken
            return
        flags = command_flags(node.manifest)
        if node.data.state == "guard":
            assert flags["initial-cluster-state"] == "existing", "it would begin a cluster of its own"
            told = {url for _, url in initial_cluster_entries(flags["initial-cluster"])}
            listed = {url: info.id for info in self.live_list() for url in info.peer_urls}
            if not self.has_quorum or told != set(listed):
                return  # "member count is unequal"
            node.data = DataDirectory(
                "member", listed[flags["initial-advertise-peer-urls"]], self.cluster_id, ("member",)
            )
            self.holds[node.name] = 0
        assert node.data.cluster_id == self.cluster_id, "data of another cluster are started"
        if fails == "with data" or self.info(node) is None:
            return  # of an ID that was removed: "the member has been permanently removed from the cluster"
        node.up, node.image, node.trusts = True, image_of(node.manifest), node.placed[1]
        self.listens[node.name] = flags["initial-advertise-peer-urls"]
        if publish:
            self.publish(node)

    def come_up_late(self, name: str) -> None:
        """Let a member run after all, where a kubelet has not yet stopped it."""
        node = self.nodes[name]
        info = self.info(node)
        if info is not None and not node.up and node.name in self.listens:
            node.up = True
            self.publish(node)

    def publish(self, node: Node) -> None:
        """Let a member write its name and client URLs into the list, which takes a quorum."""
        info, fails = self.info(node), self.fails.get(node.name, "")
        if fails == "before it has published":
            node.up = False
        if info is not None and self.connected(node) and self.has_quorum:
            self.live[info.id] = replace(info, name=node.name, client_urls=(node.member.client_url,))
            node.up = not fails

    def act(self, node: Node, *, publish: bool = True) -> None:
        """Let a kubelet act on the manifest that is there, or not there."""
        if node.manifest is None:
            node.up = False
        elif not node.up or node.late < 0:
            node.late, node.restarts = 0.0, node.restarts + 1
            self.start(node, publish=publish)

    def pass_on(self, seconds: float = SECONDS) -> None:
        """Let time pass, in which members that were removed end, and what is written goes to all that take part."""
        for node in self.nodes.values():
            self.pass_by(node, seconds)
            node.up = node.up and self.info(node) is not None
        self.revision += self.has_quorum
        for name, node in self.nodes.items():
            if self.has_quorum and self.connected(node):
                self.holds[name] = self.revision

    def assert_kept(self) -> None:
        """Hold the world to what must hold at any moment."""
        voters = [info.id for info in self.live_list() if not info.is_learner]
        assert self.has_quorum, "quorum is lost"
        holding = {
            node.data.node_id
            for node in self.nodes.values()
            if isinstance(node.data, DataDirectory) and self.holds.get(node.name) == self.revision
        }
        assert len(holding & set(voters)) >= quorum(len(voters)), "what was acknowledged may be lost"
        assert sum(info.is_learner for info in self.live_list()) <= 1
        assert all(self.live.get(info.id) == info for info in self.foreign), "a foreign learner was touched"
        for name, manifest in self.idle.items():
            assert self.nodes[name].manifest == manifest, f"{name}: its manifest was rewritten"
        for name, data in self.untouched.items():
            assert self.nodes[name].data is data, f"{name}: its data directory was touched"

    # What steps do, in the parts in which a run may be ended.

    def parts(self, step: Step) -> Iterator[Callable[[], None]]:
        """Return what a step does."""
        own = {
            "add-learner": (self._add,),
            "start-learner": (self._prepare, self._write, self._join, self._publish, self._await_learner),
            "promote-member": (self._promote,),
            "remove-member": (self._remove,),
            "clear-member": (self._unmanifest, self._stop, *self._clearing()),
            "set-data-aside": (self._unmanifest, self._stop, self._move_data),
            "update-peer-url": (self._update,),
            "readdress-member": (self._place, self._write, self._await),
            "disarm-alarm": (self._disarm,),
            "move-leader": (self._move_leader,),
            "await-member": (self._await,),
            "await-restart": (self._await,),
            "replace-manifest": (self._write, self._await),
            "start-member": (self._write, self._await),
        }
        for part in own.get(step.action, (self.carry_out_step,)):
            yield lambda part=part: part(step)  # type: ignore[misc]  # bound now

    def _clearing(self) -> tuple[Callable[[Step], None], ...]:
        both = (self._move_data, self._remove_certificates)
        return both[::-1] if self.certificates_first else both

    def _add(self, step: Step) -> None:
        assert self.has_quorum
        assert not any(info.is_learner for info in self.live_list()), "too many learner members in cluster"
        assert not any(step.peer_url in info.peer_urls for info in self.live_list()), "Peer URLs already exists"
        self.added += 1
        self.live[self.added] = MemberInfo(self.added, "", (step.peer_url,), (), is_learner=True)

    def _entry(self, step: Step) -> MemberInfo:
        if step.member_id:
            return self.live[step.member_id]
        return next(info for info in self.live_list() if step.peer_url in info.peer_urls)

    def _promote(self, step: Step) -> None:
        info, node = self._entry(step), self.nodes[step.host]
        assert info.is_learner
        assert info.name, "it has not started"
        self.pass_on()  # the task asks again until it is in sync
        assert node.manifest is not None, "its kubelet stops it when it has a vote"
        if not self.connected(node) or self.holds[node.name] != self.revision:
            raise Failed("can only promote a learner member which is in sync with leader")
        self.live[info.id] = replace(info, is_learner=False)

    def _remove(self, step: Step) -> None:
        info = self.live[step.member_id]
        staying = [name for name in self.running if self.info(self.nodes[name]) != info]
        voters = [one for one in self.live_list() if not one.is_learner and one != info]
        assert len(staying) >= quorum(len(voters)), (
            "etcdserver: re-configuration failed due to not enough started members"
        )
        assert self.leader == "" or self.info(self.nodes[self.leader]) != info, "leadership is elsewhere"
        del self.live[info.id]
        self.removed.add(info.id)

    def _update(self, step: Step) -> None:
        info = self.live[step.member_id]
        assert not info.is_learner, "etcd would list it as a voter"
        assert not any(step.peer_url in one.peer_urls for one in self.live_list()), "Peer URLs already exists"
        assert self.leader == "" or self.info(self.nodes[self.leader]) != info, "leadership is elsewhere"
        self.live[info.id] = replace(info, peer_urls=(step.peer_url,))

    def _disarm(self, step: Step) -> None:
        assert step.member_id not in self.live
        assert isinstance(self.alarms, tuple)
        self.alarms = tuple(alarm for alarm in self.alarms if alarm.member_id != step.member_id)

    def _move_leader(self, step: Step) -> None:
        led = self.info(self.nodes[self.leader])
        if led is not None and (led.id == step.member_id or led.name == step.host):
            self.leads = min(self.running - {self.leader})

    def _place(self, step: Step) -> None:
        node = self.nodes[step.host]
        assert self.store.trusted is not None
        node.placed, node.ca = (self.store.leaves[node.name], self.store.trusted), node.ca or self.store.trusted

    def _prepare(self, step: Step) -> None:
        node = self.nodes[step.host]
        assert isinstance(node.data, DataDirectory)
        if node.data.state != "member":
            assert node.data.state in {"absent", "empty", "guard"}, "only an absent or empty directory is prepared"
            self._place(step)
            node.data = GUARD

    def _write(self, step: Step) -> None:
        node = self.nodes[step.host]
        start = None
        if step.action == "start-learner":
            entries = [
                f"{node.name if url == step.peer_url else info.name}={url}"
                for info in self.live_list()
                for url in info.peer_urls
            ]
            start = FirstStart(",".join(entries), joining=True)
        kept = kept_first_start(node.member, self._host(node)) or start
        text = rendered(self.asked, node.name, self.store.trusted, kept)
        if node.manifest != text:
            node.manifest, node.manifest_age, node.late = text, 0.0, -5.0

    def _join(self, step: Step) -> None:
        self.act(self.nodes[step.host], publish=False)

    def _publish(self, step: Step) -> None:
        self.publish(self.nodes[step.host])

    def _await_learner(self, step: Step) -> None:
        if not self.connected(self.nodes[step.host]):
            raise Failed(f"{step.host}: the learner does not answer")

    def _await(self, step: Step) -> None:
        self.act(self.nodes[step.host])
        self.publish(self.nodes[step.host])
        if step.host not in self.running:
            raise Failed(f"{step.host}: the member does not answer")

    def _unmanifest(self, step: Step) -> None:
        node = self.nodes[step.host]
        node.manifest = node.former = None

    def _stop(self, step: Step) -> None:
        self.act(self.nodes[step.host])

    def _move_data(self, step: Step) -> None:
        node = self.nodes[step.host]
        assert not node.up
        assert node.manifest is None
        assert isinstance(node.data, DataDirectory)
        assert node.data.state != "other", "it is no data of etcd's"
        if node.data.state == "member":
            info = self.info(node)
            voters = [one for one in self.live_list() if not one.is_learner]
            others = self.running - {node.name}
            assert info is None or info.is_learner or len(others) >= quorum(len(voters)), "the others are no quorum"
            self.aside.append((node.name, node.data))
        node.data = ABSENT

    def _remove_certificates(self, step: Step) -> None:
        node = self.nodes[step.host]
        assert self.info(node) is None, "it is a member yet"
        node.placed = None


def run(world: World, kill: Kill | None = None, allowed: frozenset[Difference] = MEMBERS) -> End:
    """Run the command to its end, or until the controller is killed."""
    walk = _Walk(world, kill)
    for _ in range(ROUNDS):
        planned = world.planned(allowed)
        if planned.refusals:
            return End("failed" if walk.begun else "refused", "; ".join(planned.refusals))
        for step in (step for wave in planned.waves[: planned.horizon] for step in wave):
            if end := walk.take(step, allowed):
                return end
        if not planned.again:
            return End("done")
    raise AssertionError("it goes in circles")


class _Killed(Exception):
    """The controller was ended."""


class _Walk:
    """One run."""

    def __init__(self, world: World, kill: Kill | None) -> None:
        self.world, self.kill = world, kill
        self.parts = 0
        self.begun = False

    def take(self, step: Step, allowed: frozenset[Difference]) -> End | None:
        """Carry out a step; return how the run ends by that, or None where it goes on."""
        try:
            self.carry_out(step)
        except _Killed:
            return End("killed")
        except Failed as error:
            return self.fail(step, str(error), allowed)
        return None

    def carry_out(self, step: Step) -> None:
        world = self.world
        for part in world.parts(step):
            if self.kill is not None and self.parts == self.kill.after:
                self._end(self.kill)
            self.begun, self.parts = True, self.parts + 1
            part()
            world.assert_kept()
            world.pass_on()
            world.assert_kept()
        if step not in world.done[-1:]:
            world.done.append(step)

    def _end(self, kill: Kill) -> None:
        if kill.acts:
            for node in self.world.nodes.values():
                self.world.act(node)
        self.world.pass_on(kill.seconds)
        self.world.assert_kept()
        raise _Killed

    def fail(self, failed: Step, why: str, allowed: frozenset[Difference]) -> End:
        """Remove a learner again that did not come up."""
        world = self.world
        if failed.action in JOINS:
            steps = withdrawal(world.cluster, world.observed(allowed), failed)
            if isinstance(steps, str):
                return End("failed", f"{why}; {steps}")
            for step in steps:
                if end := self.take(step, allowed):
                    return end
        return End("failed", why)


def through(
    world: World, kills: tuple[Kill, ...] = (), allowed: frozenset[Difference] = MEMBERS, *, patience: int = 3
) -> End:
    """Run the same command again and again: killed so often, then to its end.

    Args:
        world: the cluster.
        kills: of the first runs.
        allowed: what the command acts on.
        patience: how often it may be refused, or fail, for what passes by itself.
    """
    for kill in kills:
        run(world, kill, allowed)
    for _ in range(patience):
        for node in world.nodes.values():
            world.act(node)
        world.pass_on(30.0)
        end = run(world, None, allowed)
        if end.how == "done":
            break
    return end


def assert_there(world: World, allowed: frozenset[Difference] = MEMBERS) -> None:
    """See that the live list is the inventory's, that all run, and that the same command does nothing more."""
    own = [info for info in world.live_list() if info not in world.foreign]
    assert {info.name: info.peer_urls for info in own} == {
        member.name: (member.peer_url,) for member in world.cluster.members
    }
    assert not any(info.is_learner for info in own)
    assert world.running == {member.name for member in world.cluster.members}
    for host in world.cluster.leaving:
        node = world.nodes[host.name]
        assert (node.manifest, node.placed, node.up) == (None, None, False)
        assert node.data in {ABSENT, builders.EMPTY}
    assert not world.planned(allowed).steps
    assert not world.planned(DEPLOY).steps, "deploy has nothing to roll"
