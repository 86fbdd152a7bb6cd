"""What a plan is made of. Pure: no I/O."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

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
    "remove-member",
    "add-learner",
    "promote-member",
    "update-peer-url",
]


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

    @property
    def id(self) -> str:
        """A name that is unique within the plan."""
        return f"{self.host or 'controller'}/{self.action}"


@dataclass(frozen=True)
class Plan:
    """Ordered waves of steps. The steps of one wave run side by side; a wave starts when the one before has its proof.

    A plan with refusals has no waves: what is asked for is done whole or not at all.
    """

    waves: tuple[tuple[Step, ...], ...] = ()
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    again: bool = False  # observe and plan again after these waves: what follows hangs on what they mend

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps in order."""
        return tuple(step for wave in self.waves for step in wave)
