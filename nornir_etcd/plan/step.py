"""What a plan is made of. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Action = Literal[
    "make-ca",
    "make-etcd-ca",
    "add-ca",  # a CA rotation: trust a new CA of etcd's own beside the one that signs
    "switch-signer",  # a CA rotation: the new CA signs
    "retire-ca",  # a CA rotation: the former CA is trusted no more
    "issue-client",
    "issue-certificate",
    "issue-apiserver",  # the client certificate of the API server on a host
    "pull-image",
    "place-files",
    "place-apiserver-files",
    "replace-apiserver",  # its manifest
    "replace-etcd-servers",  # in that: the endpoints that it asks
    "prepare-member",  # place-files, and the data directory of a first start
    "start-member",
    "await-member",
    "await-restart",  # of a member whose manifest was changed before
    "move-leader",
    "save-snapshot",
    "enable-downgrade",
    "upgrade-member",
    "finish-upgrade",  # of a member whose manifest was changed before
    "roll-back-member",
    "replace-manifest",
    "add-learner",
    "start-learner",
    "promote-member",
    "remove-member",
    "clear-member",  # static Pod and certificates removed, data directory moved aside
    "set-data-aside",  # static Pod removed, data directory moved aside
    "update-peer-url",
    "readdress-member",  # files and manifest for another address
    "disarm-alarm",  # CORRUPT, of a member that was removed
]

BY_RPC: tuple[Action, ...] = ("add-learner", "promote-member", "remove-member", "update-peer-url", "disarm-alarm")
"""Actions that etcd carries out: another member is asked for them."""


AUTHORITY_ACTIONS: tuple[Action, ...] = ("make-ca", "make-etcd-ca", "add-ca", "switch-signer", "retire-ca")
ISSUING_ACTIONS: tuple[Action, ...] = ("issue-client", "issue-certificate", "issue-apiserver")
CONTROLLER_ACTIONS: tuple[Action, ...] = (*AUTHORITY_ACTIONS, *ISSUING_ACTIONS)
"""Actions that touch no host, in the order in which they come."""


@dataclass(frozen=True)
class Step:
    """One change, with what must hold before it, what shows that it worked, and what undoes it."""

    host: str  # empty: the controller
    action: Action
    reason: str
    precondition: str
    proof: str
    undo: str
    disruptive: bool = False
    margin: str = ""
    diff: str = field(default="", repr=False)
    member_id: int = 0  # of a change of membership: whom it is about; 0 where etcd gives it the ID
    peer_url: str = ""  # of a change of membership: the one that is added, or that the member gets

    @property
    def id(self) -> str:
        """A name that is unique within the plan."""
        return f"{self.host or 'controller'}/{self.action}"


@dataclass(frozen=True)
class Consent:
    """What an operator has to agree to before a plan is carried out.

    Attributes:
        kind: no-margin: one more failure would stop the cluster on the way. repair: data of a member are given up.
        subject: cluster or host.
        text: what happens, in a sentence.
    """

    kind: Literal["no-margin", "repair"]
    subject: str
    text: str


@dataclass(frozen=True)
class Plan:
    """Ordered waves of steps. The steps of one wave run side by side; a wave starts when the one before has its proof.

    A plan with refusals has no waves: what is asked for is done whole or not at all.
    """

    waves: tuple[tuple[Step, ...], ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again: bool = False  # observe and plan again after these waves: what follows hangs on what they mend
    horizon: int | None = None  # how many waves are carried out before that; all where it is None
    consents: tuple[Consent, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(step for wave in self.waves for step in wave)


def waves(issue: Sequence[Step], hosts: Sequence[tuple[Step, ...]]) -> tuple[tuple[Step, ...], ...]:
    """Return steps in order: the controller's own by kind (CA, client, members), then the hosts'; none is empty."""
    own = [tuple(step for step in issue if step.action == action) for action in CONTROLLER_ACTIONS]
    return tuple(wave for wave in [*own, *hosts] if wave)
