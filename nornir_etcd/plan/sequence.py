"""In which order membership is changed, and what margin is left at each step. Pure: no I/O.

What takes nothing from the margin comes first: dead members out, learners up, members back at another peer URL, new
ones in. What costs some comes when the margin is widest: healthy members to another peer URL, and at the end out. A new
voter that is healthy never narrows the margin, nor does the end of a dead one, so that no other order has a wider one
at its narrowest (tests/unit/plan/test_sequence.py tries them all).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from nornir_etcd.plan.quorum import Margin

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nornir_etcd.plan.reconfiguration import Change, Kind

MemberAction = Literal[
    "add-learner",
    "start-learner",
    "promote-member",
    "remove-member",
    "clear-member",
    "set-data-aside",
    "update-peer-url",
    "readdress-member",
]

ACTIONS: Mapping[Kind, tuple[MemberAction, ...]] = {
    "remove": ("remove-member",),
    "add": ("add-learner", "start-learner", "promote-member"),
    "resume": ("start-learner", "promote-member"),
    "update": ("update-peer-url", "readdress-member"),
    "settle": ("readdress-member",),
    "clear": ("clear-member",),
}
"""What each kind of change does, in order."""

_ON_ONE_HOST = ("start-learner", "clear-member")
"""Actions that no other member notices."""


def actions(change: Change) -> tuple[MemberAction, ...]:
    """Return what a change does, in order."""
    if change.kind == "remove" and change.clears:
        return ("set-data-aside", "remove-member") if change.purpose == "repair" else ("remove-member", "clear-member")
    if change.kind == "resume" and change.runs:
        return ("promote-member",)
    return ACTIONS[change.kind]


@dataclass(frozen=True)
class Stage:
    """One step of a sequence, with the voters before, while it runs, and after."""

    action: MemberAction
    change: Change
    before: Margin
    during: Margin
    after: Margin

    @property
    def least(self) -> Margin:
        """The narrowest of the margins that it passes."""
        return min(self.during, self.after, key=lambda margin: margin.spare)

    @property
    def needs_acknowledgement(self) -> bool:
        """Whether one more failure would stop the cluster at this step."""
        return self.least.spare == 0 and self.action not in _ON_ONE_HOST

    @property
    def stops(self) -> bool:
        """Whether a voter that serves, or may serve, is stopped or cut off."""
        change = self.change
        first = self.action == "remove-member" and change.purpose != "repair"
        stopped = first or self.action in {"set-data-aside", "update-peer-url", "readdress-member"}
        return stopped and change.votes and change.healthy is not False

    @property
    def refusal(self) -> str:
        """Why it must not be done; empty where it may."""
        if self.action in _ON_ONE_HOST:
            return ""
        if not self.after.voters:
            return f"{self.change.name}: is the last member and is not removed"
        if not self.before.enough:
            return f"{self.change.name}: {self.action} needs a quorum, and none is known to be healthy ({self.before})"
        if not self.least.enough:
            return (
                f"{self.change.name}: {self.action} would take the cluster below quorum ({self.least}); "
                "make the other members healthy first"
            )
        return ""


def ordered(changes: Sequence[Change]) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    """Return the changes in the safest order, and those that wait for each other and so cannot be ordered."""
    left, done = list(changes), []
    while ready := [change for change in left if not _waits(change, left)]:
        chosen = min(ready, key=lambda change: (_rank(change), _unlocks(change, left)))
        left.remove(chosen)
        done.append(chosen)
    return tuple(done), tuple(left)


def _waits(change: Change, left: Collection[Change]) -> bool:
    """Whether another one must come first, since it frees a name or a peer URL that this one takes."""
    return any(change.takes & other.frees for other in left if other is not change)


def _rank(change: Change) -> int:
    """Return how early a change should come. Who may be healthy is worked on when the new members are in."""
    fixed = {"resume": 1, "settle": 2, "clear": 3, "add": 4}
    if change.kind in fixed:
        return fixed[change.kind]
    if not change.votes:
        return 3
    gone = change.kind == "remove"
    # To remove a dead member widens the margin at once, to set its data aside first does not.
    widens = gone and actions(change)[0] == "remove-member"
    return {False: 0 if widens else 2, None: 5, True: 7 if gone else 6}[change.healthy]


def _unlocks(change: Change, left: Collection[Change]) -> int:
    """Return how soon a change should come for what waits for it: new members first, then those that move."""
    waiting = {other.kind for other in left if other is not change and other.takes & change.frees}
    return 0 if "add" in waiting else 1 if waiting else 2


def stages(changes: Sequence[Change], start: Margin) -> tuple[Stage, ...]:
    """Simulate changes in their order.

    Args:
        changes: as `ordered` gives them.
        start: the voters, and those of them that are known to be healthy.
    """
    found: list[Stage] = []
    for change in changes:
        for action in actions(change):
            before = found[-1].after if found else start
            during, after = _effect(action, change, before)
            found.append(Stage(action, change, before, during, after))
    return tuple(found)


def _effect(action: MemberAction, change: Change, before: Margin) -> tuple[Margin, Margin]:
    """Return the voters while a step runs and after it. Who is not known to be healthy counts as not healthy."""
    if action == "promote-member":
        after = Margin(before.staying + 1, before.voters + 1)
        return after, after
    if not change.votes or action in {"add-learner", *_ON_ONE_HOST}:
        return before, before
    own = int(change.healthy is True)
    if action == "remove-member":
        own = 0 if change.purpose == "repair" else own  # its data were set aside before
        after = Margin(before.staying - own, before.voters - 1)
        return after, after
    if action == "readdress-member":  # its peers have lost it by the change of its URL
        during = before if change.kind == "update" else Margin(before.staying - own, before.voters)
        return during, Margin(during.staying + 1, before.voters)
    after = Margin(before.staying - own, before.voters)  # update-peer-url, set-data-aside
    return after, after
