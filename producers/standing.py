"""What the relay holds back and what timers are set to, for whoever asks why a workflow does not go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from domain.ports import Queries

_KEYS_PER_QUERY: Final = 200


def parked_since(queries: Queries, workflow_ids: Sequence[str]) -> dict[str, float]:
    """Since when the relay could not carry on something of these workflows, in seconds since 1970."""
    return _of_workflows(
        queries,
        "SELECT workflow_id, min(since) FROM relay_parked WHERE workflow_id IN ({}) GROUP BY workflow_id",
        workflow_ids,
    )


def timers_due(queries: Queries, workflow_ids: Sequence[str]) -> dict[str, float]:
    """What the timers of these workflows are set to, in seconds since 1970."""
    return _of_workflows(
        queries,
        "SELECT workflow_id, due_at FROM timers WHERE workflow_id IN ({}) AND due_at IS NOT NULL",
        workflow_ids,
    )


def _of_workflows(queries: Queries, statement: str, workflow_ids: Sequence[str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for ids in _chunks(workflow_ids):
        # Filled up, so that few different statements are prepared.
        filled = [*ids, *[ids[-1]] * (_KEYS_PER_QUERY - len(ids))]
        found.update(
            (row[0], float(row[1])) for row in queries.query(statement.format(", ".join("?" * len(filled))), filled)
        )
    return found


def _chunks(keys: Sequence[str]) -> Iterable[Sequence[str]]:
    for start in range(0, len(keys), _KEYS_PER_QUERY):
        yield keys[start : start + _KEYS_PER_QUERY]
