"""Membership is changed in the safest order, never below quorum, and from wherever a run was ended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from nornir_etcd.cluster import quorum
from nornir_etcd.observation import DataDirectory, Unknown
from nornir_etcd.plan.quorum import Margin
from nornir_etcd.plan.reconfiguration import Differences, Place, Seat, differences
from nornir_etcd.plan.sequence import Stage, ordered, stages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nornir_etcd.plan.reconfiguration import Change

CLUSTER = 0xC1
EMPTY, GUARD = DataDirectory("empty"), DataDirectory("guard")
UNREAD = Unknown("no route to host")


def data(number: int) -> DataDirectory:
    return DataDirectory("member", number, CLUSTER)


def url(number: int) -> str:
    return f"https://192.0.2.{number}:2380"


def seat(number: int, *, healthy: bool | None = True, **changed: object) -> Seat:
    made = Seat(number, f"m{number}", (url(number),), learner=False, healthy=healthy, published=True)
    return replace(made, **changed)  # type: ignore[arg-type]  # by name


def place(number: int, holds: DataDirectory | Unknown | None = None, **changed: object) -> Place:
    """Return the host of the member of that number, by default with its data."""
    made = Place(f"m{number}", url(number), holds or data(number))
    return replace(made, **changed)  # type: ignore[arg-type]  # by name


def margin(seats: Sequence[Seat]) -> Margin:
    voters = [one for one in seats if not one.learner]
    return Margin(sum(one.healthy is True for one in voters), len(voters))


def sequence(places: Sequence[Place], seats: Sequence[Seat]) -> tuple[Differences, tuple[Stage, ...]]:
    found = differences(places, seats, CLUSTER)
    order, stuck = ordered(found.changes)
    assert not stuck
    return found, stages(order, margin(seats))


def told(places: Sequence[Place], seats: Sequence[Seat]) -> list[tuple[str, str, str, int, int]]:
    """Return purpose, action, name, healthy voters and voters after each step."""
    found, steps = sequence(places, seats)
    assert not found.refusals
    return [(s.change.purpose, s.action, s.change.name, s.after.staying, s.after.voters) for s in steps]


def test_what_is_as_wanted_is_left_as_it_is() -> None:
    assert told([place(1), place(2), place(3)], [seat(1), seat(2), seat(3)]) == []


def test_one_grows_to_three_one_learner_after_the_other() -> None:
    places = [place(1), place(2, EMPTY), place(3, GUARD)]
    assert told(places, [seat(1)]) == [
        ("add", "add-learner", "m2", 1, 1),
        ("add", "promote-member", "m2", 2, 2),
        ("add", "add-learner", "m3", 2, 2),
        ("add", "promote-member", "m3", 3, 3),
    ]
    _, steps = sequence(places, [seat(1)])
    assert [step.needs_acknowledgement for step in steps] == [True, True, True, False]
    assert str(steps[1].least) == "2 of 2 voters stay, quorum 2: survives 0 more failures"


def test_three_grow_to_five_without_a_state_that_survives_nothing() -> None:
    places = [place(n) for n in (1, 2, 3)] + [place(4, EMPTY), place(5, EMPTY)]
    _, steps = sequence(places, [seat(1), seat(2), seat(3)])
    assert [(step.after.voters, step.least.spare) for step in steps] == [(3, 1), (4, 1), (4, 1), (5, 2)]
    assert not any(step.needs_acknowledgement for step in steps)


def test_a_dead_member_goes_before_its_replacement_comes() -> None:
    places = [place(1), place(2), place(4, EMPTY)]
    seats = [seat(1), seat(2), seat(3, healthy=False)]
    assert told(places, seats) == [
        ("replace", "remove-member", "m3", 2, 2),
        ("replace", "add-learner", "m4", 2, 2),
        ("replace", "promote-member", "m4", 3, 3),
    ]
    assert all(step.needs_acknowledgement for step in sequence(places, seats)[1][:2])


@pytest.mark.parametrize("healthy", [True, None])
def test_a_member_that_may_serve_goes_after_the_new_one_has_come(*, healthy: bool | None) -> None:
    steps = told([place(1), place(2), place(4, EMPTY)], [seat(1), seat(2), seat(3, healthy=healthy)])
    assert [(action, name) for _, action, name, _, _ in steps] == [
        ("add-learner", "m4"),
        ("promote-member", "m4"),
        ("remove-member", "m3"),
    ]


@pytest.mark.parametrize("lost", [EMPTY, GUARD, DataDirectory("absent")])
def test_a_member_that_lost_its_data_is_removed_and_joins_anew(lost: DataDirectory) -> None:
    assert told([place(1), place(2), place(3, lost)], [seat(1), seat(2), seat(3, healthy=False)]) == [
        ("repair", "remove-member", "m3", 2, 2),
        ("repair", "add-learner", "m3", 2, 2),
        ("repair", "promote-member", "m3", 3, 3),
    ]


def test_a_host_with_its_data_at_another_address_is_re_addressed() -> None:
    places = [place(1), place(2), place(3, peer_url=url(33))]
    assert told(places, [seat(1), seat(2), seat(3)]) == [("re-address", "update-peer-url", "m3", 3, 3)]
    (step,) = sequence(places, [seat(1), seat(2), seat(3)])[1]
    assert str(step.least) == "2 of 3 voters stay, quorum 2: survives 0 more failures"


def test_a_host_that_took_over_a_name_is_added_after_the_former_one_is_gone() -> None:
    """Two members of one name would be one with two URLs in --initial-cluster."""
    places = [place(1), place(2), place(3), place(4, EMPTY), place(5, EMPTY, name="m9")]
    seats = [seat(1), seat(2), seat(3), seat(9)]
    assert [(purpose, action, name) for purpose, action, name, _, _ in told(places, seats)] == [
        ("add", "add-learner", "m4"),
        ("add", "promote-member", "m4"),
        ("replace", "remove-member", "m9"),
        ("replace", "add-learner", "m9"),
        ("replace", "promote-member", "m9"),
    ]


def test_an_address_of_another_member_is_taken_when_that_one_is_gone() -> None:
    places = [place(1), place(2), place(3, peer_url=url(4))]
    seats = [seat(1), seat(2), seat(3), seat(4)]
    assert [(action, name) for _, action, name, _, _ in told(places, seats)] == [
        ("remove-member", "m4"),
        ("update-peer-url", "m3"),
    ]


def test_members_that_exchange_their_addresses_cannot_be_ordered() -> None:
    found = differences([place(1, peer_url=url(2)), place(2, peer_url=url(1))], [seat(1), seat(2)], CLUSTER)
    assert [change.kind for change in ordered(found.changes)[1]] == ["update", "update"]


@pytest.mark.parametrize(
    "learner",
    [
        seat(4, learner=True, name="", published=False, healthy=False),
        seat(4, learner=True, published=True, healthy=True),
    ],
)
def test_a_learner_of_ours_is_resumed_before_anybody_else_is_added(learner: Seat) -> None:
    places = [place(n) for n in (1, 2, 3)] + [place(4, data(4) if learner.published else GUARD), place(5, EMPTY)]
    steps = told(places, [seat(1), seat(2), seat(3), learner])
    assert [(action, name) for _, action, name, _, _ in steps] == [
        ("promote-member", "m4"),
        ("add-learner", "m5"),
        ("promote-member", "m5"),
    ]


def test_a_learner_that_lost_its_data_is_removed_and_added_again() -> None:
    learner = seat(4, learner=True, healthy=False)
    places = [place(n) for n in (1, 2, 3)] + [place(4, EMPTY)]
    assert told(places, [seat(1), seat(2), seat(3), learner]) == [
        ("repair", "remove-member", "m4", 3, 3),
        ("repair", "add-learner", "m4", 3, 3),
        ("repair", "promote-member", "m4", 4, 4),
    ]


def test_a_foreign_learner_is_left_alone_and_stands_in_the_way_of_additions_only() -> None:
    foreign = seat(9, learner=True)
    found = differences([place(1), place(2)], [seat(1), seat(2), seat(3), foreign], CLUSTER)
    assert [change.name for change in found.changes] == ["m3"]
    assert found.notes == [
        "member m9 (https://192.0.2.9:2380) is a learner that the inventory does not have; it is left alone"
    ]
    assert not found.refusals
    found = differences([place(1), place(2, EMPTY)], [seat(1), foreign], CLUSTER)
    assert "etcd takes one learner at a time" in found.refusals[0]


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        (UNREAD, "could not be read: no route to host"),
        (DataDirectory("member", 7, CLUSTER), "found member 7 of cluster c1, which is no member of this cluster"),
        (DataDirectory("member", 1, 0xBAD), "found member 1 of cluster bad"),
        (DataDirectory("other", content=("lost+found",)), "found lost+found"),
    ],
)
def test_nobody_is_added_where_the_data_directory_is_not_known_to_be_free(
    holds: DataDirectory | Unknown, said: str
) -> None:
    (refused,) = differences([place(1), place(4, holds)], [seat(1)], CLUSTER).refusals
    assert refused.startswith("m4: ")
    assert said in refused


def test_data_on_two_hosts_are_refused() -> None:
    found = differences([place(1), place(2, data(1))], [seat(1), seat(2)], CLUSTER)
    assert "m2: holds the data of member 1, as m1 does" in found.refusals[0]


@pytest.mark.parametrize(("healthy", "said"), [(True, "etcd_data_dir"), (None, "stop it first")])
def test_data_that_are_not_where_they_should_be_are_no_repair_of_a_member_that_may_serve(
    *, healthy: bool | None, said: str
) -> None:
    found = differences([place(1), place(2, EMPTY)], [seat(1), seat(2, healthy=healthy)], CLUSTER)
    assert said in found.refusals[0]


def test_a_bootstrap_that_is_not_finished_is_deploys() -> None:
    found = differences([place(1), place(2, GUARD)], [seat(1), seat(2, healthy=False, published=False)], CLUSTER)
    assert "run deploy" in found.notes[0]
    assert not found.changes


@pytest.mark.parametrize("holds", [UNREAD, data(3)])
def test_a_dead_member_that_the_inventory_has_counts_as_lost_and_stays(holds: DataDirectory | Unknown) -> None:
    found = differences([place(1), place(2), place(3, holds)], [seat(1), seat(2), seat(3, healthy=False)], CLUSTER)
    assert "counts as lost in every margin" in found.notes[0]
    assert not found.changes


def refused(places: Sequence[Place], seats: Sequence[Seat]) -> str:
    return next(step.refusal for step in sequence(places, seats)[1] if step.refusal)


def test_a_member_of_which_nothing_is_known_goes_before_one_that_is_healthy() -> None:
    seats = [seat(1), seat(2), seat(3), seat(4, healthy=None), seat(5)]
    assert [(name, left, of) for _, _, name, left, of in told([place(1), place(2), place(5)], seats)] == [
        ("m4", 4, 4),
        ("m3", 3, 3),
    ]


def test_the_last_member_is_not_removed() -> None:
    assert refused([place(2, EMPTY, name="m1")], [seat(1)]) == "m1: is the last member and is not removed"


def test_a_removal_that_would_break_quorum_is_refused() -> None:
    said = refused([place(1), place(2)], [seat(1), seat(2, healthy=False), seat(3)])
    assert said.startswith("m3: remove-member would take the cluster below quorum (1 of 2 voters stay, quorum 2")


def test_nothing_is_begun_where_no_quorum_is_known_to_be_healthy() -> None:
    seats = [seat(1), seat(2, healthy=None), seat(3, healthy=False)]
    assert "none is known to be healthy (1 of 3 voters" in refused([place(1), place(2)], seats)


# Arbitrary clusters: what is there, and what is wanted of it.


@dataclass
class Live:
    """A cluster on which the steps of a sequence are taken."""

    places: list[Place]
    seats: list[Seat]
    serving: set[int] = field(default_factory=set)  # IDs of voters that are healthy in truth
    added: int = 100

    def take(self, stage: Stage, *, half: bool = False) -> None:
        """Take one step; `half`: what a run leaves that is killed in it."""
        change = stage.change
        target = next((one for one in self.places if one.name == change.name), None)
        current = next((one for one in self.seats if change.id and one.id == change.id), None)
        if stage.action == "remove-member":
            assert current is not None
            self.seats.remove(current)
        elif stage.action == "add-learner":
            assert not any(one.learner for one in self.seats), "one learner at a time"
            assert not any(change.peer_url in one.peer_urls for one in self.seats), "Peer URL exists"
            assert change.name not in {one.name for one in self.seats}
            self.added += 1
            self.seats.append(Seat(self.added, "", (change.peer_url,), learner=True, healthy=False, published=False))
            self._hold(change.name, GUARD)
        elif stage.action == "promote-member":
            (learner,) = [one for one in self.seats if change.peer_url in one.peer_urls and one.learner]
            self._hold(change.name, data(learner.id))
            started = replace(learner, name=change.name, published=True, healthy=True)
            self._put(learner, started if half else replace(started, learner=False))
            self.serving.add(learner.id)
        else:
            assert current is not None
            assert target is not None
            others = {one for other in self.seats if other != current for one in other.peer_urls}
            assert change.peer_url not in others, "Peer URL exists"
            self._put(current, replace(current, peer_urls=(change.peer_url,), healthy=not half and True))
            (self.serving.discard if half else self.serving.add)(current.id)

    def _hold(self, name: str, holds: DataDirectory) -> None:
        self.places = [replace(one, data=holds) if one.name == name else one for one in self.places]

    def _put(self, before: Seat, after: Seat) -> None:
        self.seats[self.seats.index(before)] = after

    @property
    def has_quorum(self) -> bool:
        voters = [one.id for one in self.seats if not one.learner]
        return len(self.serving.intersection(voters)) >= quorum(len(voters))

    @property
    def is_as_wanted(self) -> bool:
        wanted = {one.peer_url for one in self.places}
        return {u for one in self.seats for u in one.peer_urls} == wanted and not any(s.learner for s in self.seats)


@st.composite
def clusters(draw: st.DrawFn) -> Live:
    """Return a cluster with a quorum, and what an operator may want of it."""
    count = draw(st.integers(1, 7))
    healths = draw(st.lists(st.sampled_from([True, True, True, False, None]), min_size=count, max_size=count))
    assume(sum(one is True for one in healths) >= quorum(count))
    seats = [seat(number, healthy=healths[number - 1]) for number in range(1, count + 1)]
    fates = [draw(st.sampled_from(["stays", "stays", "leaves", "moves", "lost"])) for _ in seats]
    places, left, leaving = [], list[Seat](), list[Seat]()
    for one, fate in zip(seats, fates, strict=True):
        if fate == "leaves":
            leaving.append(one)
        elif fate == "moves":
            places.append(place(one.id, peer_url=url(one.id + 50)))
        else:
            places.append(place(one.id, EMPTY if fate == "lost" and one.healthy is False else None))
        left.append(one)
    if draw(st.booleans()) and len(places) < 7:
        started = draw(st.sampled_from(["added", "running", "lost"]))
        holds = {"added": GUARD, "running": data(20), "lost": EMPTY}[started]
        places.append(place(20, holds))
        up = started == "running"
        left.append(
            seat(20, learner=True, healthy=up, name="m20" if started != "added" else "", published=started != "added")
        )
    for number in range(30, 30 + draw(st.integers(0, max(0, min(4, 7 - len(places)))))):
        new = place(number, EMPTY)
        taken = draw(st.booleans())
        if leaving and taken:
            gone = leaving.pop()
            new = replace(new, name=gone.name) if draw(st.booleans()) else replace(new, peer_url=gone.peer_urls[0])
        places.append(new)
    assume(places)
    serving = {one.id for one in seats if one.healthy or (one.healthy is None and draw(st.booleans()))}
    shuffled = draw(st.permutations(left))
    return Live(draw(st.permutations(places)), shuffled, serving)


def planned(live: Live) -> tuple[Stage, ...] | None:
    """Return the sequence; None where it is refused."""
    found, steps = sequence(live.places, live.seats)
    return None if found.refusals or any(step.refusal for step in steps) else steps


@given(clusters())
@settings(deadline=None, max_examples=300)
def test_a_sequence_keeps_its_quorum_and_ends_at_the_inventory(live: Live) -> None:
    steps = planned(live)
    assume(steps is not None)
    for step in steps or ():
        assert live.has_quorum
        if step.action == "update-peer-url":
            before = set(live.serving)
            live.serving.discard(step.change.id)
            assert live.has_quorum, "while the member restarts"
            live.serving = before
        live.take(step)
        assert live.has_quorum
        assert margin(live.seats) == step.after
    assert live.is_as_wanted
    assert planned(live) == ()


@given(clusters(), st.data())
@settings(deadline=None, max_examples=300)
def test_a_run_that_was_ended_anywhere_is_taken_up(live: Live, drawn: st.DataObject) -> None:
    steps = planned(live)
    assume(steps)
    assert steps
    for _ in range(3):
        if not steps:
            break
        whole = drawn.draw(st.integers(0, len(steps) - 1))
        for step in steps[:whole]:
            live.take(step)
        if steps[whole].action == "promote-member":
            live.take(steps[whole], half=True)
        again = planned(live)
        assert again is not None
        steps = again
    for step in steps:
        live.take(step)
        assert live.has_quorum
    assert live.is_as_wanted


def orders(changes: Sequence[Change]) -> list[tuple[Change, ...]]:
    """Return every order in which no name and no peer URL is taken before it is free."""
    return [
        order
        for order in permutations(changes)
        if not any(one.takes & later.frees for at, one in enumerate(order) for later in order[at + 1 :])
    ]


@given(clusters())
@settings(deadline=None, max_examples=300)
def test_no_other_order_has_a_wider_margin_at_its_narrowest(live: Live) -> None:
    found = differences(live.places, live.seats, CLUSTER)
    assume(1 < len(found.changes) <= 6)
    order, stuck = ordered(found.changes)
    assert not stuck
    start = margin(live.seats)

    def least(changes: Sequence[Change]) -> int:
        spares = [step.least.spare for step in stages(changes, start)]
        # Who is not known to be healthy is worked on late, though it costs nothing that is known.
        return min([*spares, start.spare] if doubtful else spares)

    doubtful = any(change.healthy is None for change in found.changes)
    assert least(order) == max(least(other) for other in orders(found.changes))
