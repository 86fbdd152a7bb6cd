"""What differs between the members that the inventory wants and those that are live, as changes. Pure: no I/O.

etcd calls it runtime reconfiguration (https://etcd.io/docs/v3.5/op-guide/runtime-configuration/). A member is known by
the node and cluster ID in its host's data, else by its exact peer URL; never by its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from nornir_etcd.observation import Unknown
from nornir_etcd.plan.identity import hexadecimal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nornir_etcd.observation import DataDirectory, Maybe

Kind = Literal["remove", "add", "resume", "update", "settle", "clear"]
"""add: as a learner, which is promoted. resume: start and promote a learner that is there. update: another peer URL.
settle: let a member run with a manifest of its own, where the live list has it. clear: the host of a member that was
removed."""

Purpose = Literal["add", "remove", "replace", "repair", "re-address", "start"]
"""What the operator has asked for by the inventory, or by the state of a host."""


@dataclass(frozen=True)
class Place:
    """A host of the inventory, and what is on it.

    Attributes:
        name: the host's.
        peer_url: by which the inventory has it.
        data: what its data directory holds.
        advertised: the peer URL in its manifest; empty where none can be read there.
        stopped: whether it is known to have no manifest: no kubelet starts a member on it.
        idle: whether it is known that no etcd runs on it.
        damage: evidence that its data are corrupt; empty where there is none.
        holds: whether anything of etcd's is on it: manifest, certificates or data.
    """

    name: str
    peer_url: str
    data: Maybe[DataDirectory]
    advertised: str = ""
    stopped: bool = False
    idle: bool = False
    damage: str = ""
    holds: bool = False


@dataclass(frozen=True)
class Seat:
    """An entry of the live member list."""

    id: int
    name: str  # empty: added and never started
    peer_urls: tuple[str, ...]
    learner: bool
    healthy: bool | None  # None: not known
    published: bool  # it has started once: client URLs are published by the member itself
    runs: bool = False  # it answers, and knows a leader

    @property
    def label(self) -> str:
        """Its name, or its ID where it has none."""
        return self.name or hexadecimal(self.id)


@dataclass(frozen=True)
class Change:
    """One change of membership.

    Attributes:
        kind: what is done.
        purpose: what for.
        name: host of the inventory; of a member that leaves, its label.
        id: of the member in the live list; 0 where it is not in it yet.
        peer_url: the one that it takes, or that it leaves.
        votes: whether it is about a voter, or one that becomes one.
        healthy: of the member that it is about, as it is before; None: not known.
        takes: names, peer URLs and IDs that must be free for it.
        frees: those that are free after it.
        other: of a replacement, the label of the other member.
        clears: of a member that leaves, whether its host is cleared afterwards; in a repair, whether there is anything
            to be set aside before.
        runs: of a learner that is there, whether it runs.
        damage: of a repair, the evidence that its data are corrupt; empty where they are lost.
    """

    kind: Kind
    purpose: Purpose
    name: str
    id: int
    peer_url: str
    votes: bool = True
    healthy: bool | None = False
    takes: frozenset[str] = frozenset()
    frees: frozenset[str] = frozenset()
    other: str = ""
    clears: bool = False
    runs: bool = False
    damage: str = ""


@dataclass
class Differences:
    """What differs, in no order yet; with refusals nothing is changed."""

    changes: list[Change] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def differences(
    places: Sequence[Place], seats: Sequence[Seat], cluster_id: int, leaving: Sequence[Place] = ()
) -> Differences:
    """Return the changes that make the live list the inventory's.

    Args:
        places: the hosts that shall be members.
        seats: the live member list, whole.
        cluster_id: its cluster's.
        leaving: the hosts that shall be members no more.
    """
    found = Differences()
    taken = _by_data([*places, *leaving], seats, cluster_id, found)
    free = [seat for seat in seats if seat not in taken.values()]
    for place in (*places, *leaving):
        seat = taken.get(place.name) or next((seat for seat in free if place.peer_url in seat.peer_urls), None)
        if seat in free:
            free.remove(seat)
        if place in leaving:
            _goes(place, seat, cluster_id, found)
        elif seat is None:
            _newcomer(place, found)
        elif place.damage:
            found.changes += _repair(place, seat)
        elif place.name in taken:
            _at_home(place, seat, found)
        else:
            _without_data(place, seat, found)
    _leaving(free, found)
    found.changes = _replacements(found.changes)
    found.refusals += _taken_names(found.changes, seats)
    return found


def _taken_names(changes: Sequence[Change], seats: Sequence[Seat]) -> Iterator[str]:
    """Yield names of hosts that come and that another member has, which stays.

    Two of one name would be one with two peer URLs in --initial-cluster, and etcd refuses to start with that
    (VerifyBootstrap in server/config/config.go).
    """
    freed = {name for change in changes for name in change.frees}
    for change in changes:
        holder = next((seat for seat in seats if seat.name == change.name), None)
        if change.kind == "add" and holder is not None and change.name not in freed:
            yield (
                f"{change.name}: wanted a name of its own, found that member {hexadecimal(holder.id)} "
                f"({', '.join(holder.peer_urls)}) has it; give the host another name"
            )


def _by_data(places: Sequence[Place], seats: Sequence[Seat], cluster_id: int, found: Differences) -> dict[str, Seat]:
    """Return the entry of each host that holds the data of a live member."""
    owners = {seat.id: seat for seat in seats}
    taken: dict[str, Seat] = {}
    holders: dict[int, str] = {}
    for place in places:
        data = place.data
        if isinstance(data, Unknown) or data.state != "member" or data.cluster_id != cluster_id:
            continue
        if data.node_id in holders:
            found.refusals.append(
                f"{place.name}: holds the data of member {hexadecimal(data.node_id)}, as {holders[data.node_id]} does; "
                "one of them is a copy and must not start: move it aside"
            )
        elif data.node_id in owners:
            holders[data.node_id] = place.name
            taken[place.name] = owners[data.node_id]
    return taken


def _at_home(place: Place, seat: Seat, found: Differences) -> None:
    """Judge a member whose host holds its data."""
    moved = place.peer_url not in seat.peer_urls
    if moved and seat.runs and place.idle:
        found.refusals.append(
            f"{place.name}: holds the data of member {hexadecimal(seat.id)}, which runs at "
            f"{', '.join(seat.peer_urls)}, and no etcd runs here: they are a copy and must not start: move them aside"
        )
    elif seat.learner:
        # etcd takes an update of a learner for the entry of a voter (UpdateMember in
        # server/etcdserver/api/v3rpc/member.go): it comes anew instead. It has no vote, and its data are the others'.
        found.changes += _repair(place, seat) if moved else (_resume(place, seat),)
    elif moved:
        found.changes.append(
            Change(
                kind="update",
                purpose="re-address",
                name=place.name,
                id=seat.id,
                peer_url=place.peer_url,
                healthy=seat.healthy,
                takes=frozenset({place.peer_url}),
                frees=frozenset(seat.peer_urls),
            )
        )
    elif place.advertised and place.advertised != place.peer_url:
        found.changes.append(_settle(place, seat, "re-address"))
    elif seat.healthy is False and place.stopped:
        # Where a run was ended between the manifest and the data of a member that it was to repair, what was wrong
        # with those may be seen only when it runs again.
        found.changes.append(_settle(place, seat, "start"))
    elif seat.healthy is False:
        found.notes.append(
            f"{place.name}: member {hexadecimal(seat.id)} is not healthy, and its data are there: it counts as lost "
            "in every margin; bring it up, or move its data directory aside, if that is corrupt, to have it repaired"
        )


def _settle(place: Place, seat: Seat, purpose: Purpose) -> Change:
    return Change("settle", purpose, place.name, seat.id, place.peer_url, healthy=seat.healthy)


def _resume(place: Place, seat: Seat) -> Change:
    # One that runs without a manifest of its own, as a withdrawal may leave it, is about to be stopped: it must not
    # vote.
    runs = seat.runs and seat.published and not place.stopped and place.advertised in {"", place.peer_url}
    return Change("resume", "add", place.name, seat.id, place.peer_url, healthy=seat.healthy, runs=runs)


def _add(place: Place, purpose: Purpose) -> Change:
    return Change("add", purpose, place.name, 0, place.peer_url, takes=frozenset({place.name, place.peer_url}))


def _repair(place: Place, seat: Seat) -> tuple[Change, Change]:
    """Return the changes that make a member start anew. Its data go first: what is left then shows what is to be done.

    Otherwise a run that was ended in between would leave a host with the data of a member that is none any more, as a
    host of another cluster has them.
    """
    aside = place.stopped and not isinstance(place.data, Unknown) and place.data.state in {"absent", "empty", "guard"}
    gone = replace(_remove(seat, "repair", place.name), damage=place.damage, clears=not aside)
    new = _add(place, "repair")
    return gone, replace(new, damage=place.damage, takes=new.takes | {hexadecimal(seat.id)})


def _goes(place: Place, seat: Seat | None, cluster_id: int, found: Differences) -> None:
    """Judge a host that shall be no member."""
    data = place.data
    unread = isinstance(data, Unknown)
    if seat is not None:
        found.changes.append(replace(_remove(seat, "remove", place.name), clears=not unread))
    if isinstance(data, Unknown):
        found.notes.append(f"{place.name}: its host could not be read, and is not cleared: {data.reason}")
    elif data.state == "other" or (data.state == "member" and data.cluster_id != cluster_id):
        held = ", ".join(data.content[:5]) if data.state == "other" else f"data of cluster {data.cluster_id:x}"
        found.refusals.append(
            f"{place.name}: its data directory is to be moved aside: wanted data of this cluster, found {held}; look "
            "at it, and move it aside by hand"
        )
    elif seat is None and place.holds:
        found.changes.append(
            Change("clear", "remove", place.name, data.node_id, place.peer_url, votes=False, clears=True)
        )


def _remove(seat: Seat, purpose: Purpose, name: str = "") -> Change:
    return Change(
        kind="remove",
        purpose=purpose,
        name=name or seat.label,
        id=seat.id,
        peer_url=",".join(seat.peer_urls),
        votes=not seat.learner,
        healthy=seat.healthy,
        frees=frozenset({seat.label, hexadecimal(seat.id), *seat.peer_urls}),
    )


def _newcomer(place: Place, found: Differences) -> None:
    """Judge a host that is no member yet."""
    if unfit := _unfit(place):
        found.refusals.append(unfit)
    else:
        found.changes.append(_add(place, "add"))


def _unfit(place: Place) -> str:
    """Return why a member must not be started on a host; empty where its data directory is absent or empty."""
    data = place.data
    if isinstance(data, Unknown):
        return (
            f"{place.name}: wanted to know that its data directory is empty, found that it could not be read: "
            f"{data.reason}; nothing is added on a doubtful observation"
        )
    if data.state == "member":
        return (
            f"{place.name}: wanted an empty data directory, found member {hexadecimal(data.node_id)} of cluster "
            f"{hexadecimal(data.cluster_id)}, which is no member of this cluster; if it is not needed, move it aside"
        )
    if data.state == "other":
        names = ", ".join(data.content[:5])
        return f"{place.name}: wanted an empty data directory, found {names}; look at it and move it aside"
    return ""


def _without_data(place: Place, seat: Seat, found: Differences) -> None:
    """Judge a member, known by its peer URL, whose data are not on its host."""
    who = f"{place.name}: member {hexadecimal(seat.id)}"
    if isinstance(place.data, Unknown) and not seat.learner:
        if not seat.healthy:
            found.notes.append(
                f"{who} is not known to be healthy, and its host could not be read: {place.data.reason}; "
                "it counts as lost in every margin; to replace it, put another host in its place in the inventory"
            )
    elif isinstance(place.data, Unknown) and seat.healthy:
        found.changes.append(_resume(place, seat))
    elif unfit := _unfit(place):
        found.refusals.append(unfit)
    elif seat.learner and not seat.published:
        found.changes.append(_resume(place, seat))
    elif not seat.learner and seat.name and not seat.published:
        found.notes.append(f"{who} has never started, though the cluster was bootstrapped with it; run deploy")
    elif seat.healthy:
        found.refusals.append(
            f"{who} is healthy, and its data directory is absent or empty; look where its data lie (etcd_data_dir)"
        )
    elif seat.healthy is None and not seat.learner:
        found.refusals.append(
            f"{who} has lost its data, and the controller cannot tell whether it serves; stop it first"
        )
    else:
        found.changes += _repair(place, seat)


def _leaving(seats: Sequence[Seat], found: Differences) -> None:
    """Judge members that no host of the inventory is."""
    adds = any(change.kind == "add" for change in found.changes)
    for seat in seats:
        if not seat.learner:
            found.changes.append(_remove(seat, "remove"))
            continue
        told = f"member {seat.label} ({', '.join(seat.peer_urls)}) is a learner that the inventory does not have"
        found.notes.append(f"{told}; it is left alone")
        if adds:
            # --max-learners is 1 (https://etcd.io/docs/v3.5/learning/design-learner/).
            found.refusals.append(
                f"{told}, and etcd takes one learner at a time; see whose it is, and promote it or remove it"
            )


def _replacements(changes: Sequence[Change]) -> list[Change]:
    """Return the changes with a member that leaves and one that comes named as one replacement.

    Those of one name belong together, and a dead member with a host that comes.
    """
    pairs: dict[Change, Change] = {}
    comes = [change for change in changes if change.kind == "add" and change.purpose == "add"]
    leaves = [change for change in changes if change.kind == "remove" and change.purpose == "remove"]
    for same_name in (True, False):
        for gone in leaves:
            fits: Iterator[Change] = (
                one
                for one in comes
                if one not in pairs and (one.name == gone.name if same_name else gone.healthy is False)
            )
            if gone not in pairs and (new := next(fits, None)):
                pairs[gone], pairs[new] = new, gone
    return [
        replace(change, purpose="replace", other=pairs[change].name) if change in pairs else change
        for change in changes
    ]
