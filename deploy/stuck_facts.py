"""The facts that say why a workflow does not go on, beside the views: of inbox, relay, timer and broker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from consumers.standing import commands_standing
from domain.ports import Aside, Queries
from domain.store.aside import inline
from producers.standing import ParkedStanding, parked_standing, timers_due
from projections.mismatches import mismatched_since
from projections.rows import WorkflowRow
from projections.stuck import CommandFacts, Facts, QueueFacts

QueuesNow = Callable[[Collection[str]], Mapping[str, QueueFacts]]
"""What is known of these queues now; one that is not there was not asked about."""


class StoreFacts:
    """Asks the store, with a few statements for some hundreds of workflows."""

    def __init__(self, store: Queries, queues: QueuesNow, aside: Aside = inline) -> None:
        """`queues` says what the broker says."""
        self._store = store
        self._queues = queues
        self._aside = aside

    async def __call__(self, rows: Sequence[WorkflowRow]) -> Facts:
        """What is known of these workflows. Raises StoreError."""
        queues = self._queues({hold.queue for row in rows for hold in row.standing.live.values()})
        return await self._aside(lambda: facts_of(self._store, rows, queues))


def facts_of(store: Queries, rows: Sequence[WorkflowRow], queues: Mapping[str, QueueFacts]) -> Facts:
    """What the store knows of these workflows, beside what the broker says of queues."""
    names = [row.workflow_id for row in rows]
    live = {hold.message_id: row.workflow_id for row in rows for hold in row.standing.live.values()}
    commands = commands_standing(store, live)
    # A command that was issued again meanwhile, and taken, holds nobody up.
    is_open = {(live[name], one.version) for name, one in commands.items() if one.state == "open"}
    parked = parked_standing(store, names)
    return Facts(
        commands={
            message_id: CommandFacts(one.state, one.issued, _moment(one.lease_until), one.deferred)
            for message_id, one in commands.items()
        },
        queues=queues,
        parked=_moments(_earliest(one for one in parked if one.command and (one.workflow_id, one.version) in is_open)),
        unasked=_moments(_earliest(one for one in parked if not one.command)),
        due=_moments(timers_due(store, names)),
        mismatched=mismatched_since(store.query, names),
    )


def _earliest(parked: Iterable[ParkedStanding]) -> Mapping[str, float]:
    """Since when something of each workflow is held back."""
    since: dict[str, float] = {}
    for one in parked:
        since[one.workflow_id] = min(one.since, since.get(one.workflow_id, one.since))
    return since


def _moments(seconds: Mapping[str, float]) -> dict[str, datetime]:
    return {name: datetime.fromtimestamp(one, UTC) for name, one in seconds.items()}


def _moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
