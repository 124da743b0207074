"""The desk: what the HTTP endpoint needs done, as a small protocol. One decides here, one sends messages.

`LocalDesk` decides within a runtime on a home. `RemoteDesk` publishes the same messages as any other service, and looks
in the store for what became of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from domain.ids import workflow_id_from_message
from domain.state import Ballot, State, Wait
from domain.triggers import Intervention, RecordDecision


@dataclass(frozen=True, slots=True)
class PendingApproval:
    """One open approval, with the workflow that it is of."""

    state: State
    ballot: Ballot
    wait: Wait | None


@dataclass(frozen=True, slots=True)
class Page:
    """Pending approvals in the order of their workflows' ids; `after` leads to the next page, None behind the last.

    A page may have fewer than were asked for, or none, and still lead on: one page looks at so many workflows only.
    """

    approvals: list[PendingApproval]
    after: str | None
    unreadable: list[str] = field(default_factory=list)
    """Workflows that wait for an approval and cannot be read: damaged, or written by a newer Handrail."""
    behind: int = 0
    """Events that the view of workflows lacks: what they ask for is not in the list yet."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal as it was handed in. `digest` is that of its content, by which the same is told from another."""

    message_id: str
    digest: str
    goal: str
    requested_by: str
    definition: str | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    deadline: datetime | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A goal is safe. `stored` says where: its workflow is in the store, or only its message with the broker.

    `repeated` says that the goal had been handed in before.
    """

    workflow_id: str
    stored: bool
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """A person's act on a workflow: a decision, or an intervention. `digest` is that of its content.

    `version` is the workflow's when the act was asked for, `definition` the name of what it runs.
    """

    message_id: str
    digest: str
    workflow_id: str
    definition: str
    version: int
    trigger: RecordDecision | Intervention
    person: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an act.

    `done` and `refused` are recorded, `ignored` had nothing to change, `sent` is with the broker and not decided yet.
    `effect` says what was done: `granted`, `rejected`, `counted` (further votes are needed), or `applied`.
    """

    outcome: Literal["done", "refused", "ignored", "sent"]
    workflow_id: str
    effect: str = ""
    reason: str = ""
    status: str = ""
    version: int = 0
    repeated: bool = False


class KeyReused(Exception):
    """A message id came again with other content."""


class Desk(Protocol):
    """Does what the endpoint is asked for. Every method may raise StoreUnavailable or StoreError."""

    async def pending(self, *, definition: str | None, after: str, limit: int) -> Page:
        """Up to `limit` pending approvals behind `after`, of one definition where it is given."""
        ...

    async def workflow(self, workflow_id: str) -> State:
        """The newest state of a workflow; raises WorkflowUnknown."""
        ...

    async def submit(self, goal: Goal) -> Accepted:
        """Accept a goal, once for a message id.

        Raises KeyReused, WorkflowConflict, InputInvalid, DefinitionUnknown, BrokerUnavailable.
        """
        ...

    async def act(self, act: Act) -> Answer:
        """Carry out a person's act, once for a message id; raises KeyReused, WorkflowUnknown, BrokerUnavailable."""
        ...


def workflow_id_for(sender: str, message_id: str) -> str:
    """The id that a goal's workflow has, wherever it is looked for."""
    return workflow_id_from_message(sender, message_id)
