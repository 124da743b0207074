"""Looking into the store: pending approvals, workflows, and what became of a message.

The view of workflows only says where to look; what is shown and decided on is the workflow's own state in the store,
so that an approval that has just been decided is not shown any more, however far behind the view is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from deploy.http.desk import Answer, Page, PendingApproval
from domain import events as e
from domain.errors import StoreError, StoreUnavailable, WorkflowUnknown
from domain.ports import Aside
from domain.recorded import RecordedEvent
from domain.state import State, wait_key
from domain.store.application import WorkflowStore
from domain.store.aside import inline
from domain.store.positions import position_of
from projections.queries import workflows_awaiting_approval
from projections.schema import POSITION

PAGE_BYTES: Final = 4_000_000
"""About how large a page of approvals may become: one that passes this bound is the page's last."""

CANDIDATES: Final = 50
"""Workflows that are asked for at once."""

MOST_LOOKED_AT: Final = 5 * CANDIDATES
"""Workflows loaded for one page at most: a view that is far behind names many that wait for nobody any more."""


class Look:
    """The store as the endpoint reads it."""

    def __init__(self, store: WorkflowStore, aside: Aside = inline) -> None:
        """`aside` runs what would hold up the event loop where the store is a server."""
        self._store = store
        self._aside = aside

    async def workflow(self, workflow_id: str) -> State:
        """The newest state of a workflow; raises WorkflowUnknown, StoreError, StoreUnavailable."""
        return await self._aside(lambda: self._store.load(workflow_id))

    async def exists(self, workflow_id: str) -> bool:
        """Whether the store has the workflow."""
        return await self._aside(lambda: self._store.exists(workflow_id))

    async def receipt(self, message_id: str) -> str | None:
        """The digest under which a message was received; None where it was not."""
        rows = await self._aside(
            lambda: self._store.query("SELECT digest FROM inbox WHERE message_id = ?", (message_id,))
        )
        return None if not rows else rows[0][0] or ""

    async def events(self, workflow_id: str, after: int = 0) -> list[RecordedEvent]:
        """A workflow's events behind a version; none where there is no such workflow."""
        return await self._aside(lambda: self._events(workflow_id, after))

    def _events(self, workflow_id: str, after: int) -> list[RecordedEvent]:
        rows = self._store.recorder.select_since({workflow_id: after}).get(workflow_id, [])
        return [self._store.mapper.read(*row) for row in rows]

    async def answer(self, workflow_id: str, cause: str, *, after: int = 0) -> Answer | None:
        """What a workflow recorded, behind a version, because of a message; None where it recorded nothing."""
        caused = [recorded for recorded in await self.events(workflow_id, after) if recorded.cause == cause]
        return answer_of(caused, await self.workflow(workflow_id)) if caused else None

    async def pending(self, *, definition: str | None, after: str, limit: int) -> Page:
        """A page of pending approvals; `after` is empty, or what the page before ended with."""
        page = await self._aside(lambda: self._page(definition, after, limit))
        return replace(page, behind=await self._aside(self._behind))

    def _behind(self) -> int:
        with self._store.reading() as cursor:
            seen = position_of(cursor, POSITION)
        return max(0, self._store.newest() - seen)

    def _page(self, definition: str | None, after: str, limit: int) -> Page:
        begun, _, seen = after.partition("/")
        found: list[PendingApproval] = []
        unreadable: list[str] = []
        size = 0
        # A workflow of which some approvals were shown is looked at again.
        last, again = begun, bool(seen)
        for _ in range(MOST_LOOKED_AT // CANDIDATES):
            ids = workflows_awaiting_approval(
                self._store.query, definition=definition, after=last, inclusive=again, limit=CANDIDATES
            )
            for workflow_id in ids:
                try:
                    state = self._store.load(workflow_id)
                except (StoreUnavailable, WorkflowUnknown):
                    raise
                except StoreError:
                    unreadable.append(workflow_id)
                    continue
                for one in _open_approvals(state, seen if workflow_id == begun else ""):
                    if len(found) == limit or size > PAGE_BYTES:
                        return Page(found, _place(found[-1]), unreadable)
                    found.append(one)
                    size += len(str(one.ballot.request.action)) + len(str(one.ballot.request.evidence))
            if len(ids) < CANDIDATES:
                return Page(found, None, unreadable)
            last, again = ids[-1], False
        return Page(found, last, unreadable)


def answer_of(events: Sequence[RecordedEvent], state: State) -> Answer:
    """What a decision's events say about the act that they were decided on."""
    effect = "applied"
    for recorded in events:
        event: Any = recorded.event
        if isinstance(event, e.DecisionRefused):
            return Answer("refused", state.workflow_id, "", event.reason, str(state.status), state.version)
        if isinstance(event, e.ApprovalRecorded):
            effect = "counted"
        elif isinstance(event, e.ApprovalGranted):
            effect = "granted"
        elif isinstance(event, e.ApprovalRejected):
            effect = "rejected"
    return Answer("done", state.workflow_id, effect, "", str(state.status), state.version)


def _open_approvals(state: State, seen: str) -> list[PendingApproval]:
    """A workflow's open approvals behind one, in the order of their ids."""
    ballots = sorted(state.ballots.values(), key=lambda one: one.request.approval_id)
    return [
        PendingApproval(state, ballot, state.waits.get(wait_key(ballot.request.step, "approval")))
        for ballot in ballots
        if ballot.request.approval_id > seen
    ]


def _place(one: PendingApproval) -> str:
    return f"{one.state.workflow_id}/{one.ballot.request.approval_id}"
