"""What is read of failures: those of one make together, and which steps wait for a person because of one.

A make of failure is its fingerprint. How often there was one is counted by the views; how many steps are failed with it
now, and for how many of them a person is asked, is looked up when it is read.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from projections.hidden import not_hidden
from projections.sql import Query

# What a step waits for a person because of: what it failed with; where it is undone, or is one of the engine's own,
# what its last attempt failed with.
_CAUSE: Final = (
    "coalesce("
    "(SELECT steps.fingerprint FROM steps WHERE steps.workflow_id = waits.workflow_id AND steps.step = waits.step "
    "AND steps.status = 'failed'), "
    "(SELECT attempts.fingerprint FROM attempts WHERE attempts.workflow_id = waits.workflow_id "
    "AND attempts.step = waits.step ORDER BY attempts.attempt DESC LIMIT 1))"
)
_OF_ALL: Final = (
    "SELECT fingerprint, activity, kind, message, number, first_seen, last_seen FROM failures "  # noqa: S608 - ours
    f"WHERE last_seen >= ? AND {not_hidden('activity')} ORDER BY last_seen DESC, fingerprint"
)
# A failure that no attempt has, such as of an input that does not fit, is its step's.
_OF_ONE: Final = (
    "SELECT failures.fingerprint, failures.activity, failures.kind, failures.message, count(*), min(seen.at), "
    "max(seen.at) FROM ("
    "SELECT attempts.fingerprint AS fingerprint, attempts.ended_at AS at FROM attempts "
    "JOIN workflows ON workflows.workflow_id = attempts.workflow_id "
    "WHERE workflows.definition = ? AND attempts.fingerprint IS NOT NULL "
    "UNION ALL "
    "SELECT steps.fingerprint, steps.finished_at FROM steps "
    "JOIN workflows ON workflows.workflow_id = steps.workflow_id "
    "WHERE workflows.definition = ? AND steps.status = 'failed' AND steps.fingerprint IS NOT NULL AND NOT EXISTS ("
    "SELECT 1 FROM attempts WHERE attempts.workflow_id = steps.workflow_id AND attempts.step = steps.step "
    "AND attempts.fingerprint = steps.fingerprint)"
    ") AS seen JOIN failures ON failures.fingerprint = seen.fingerprint "
    "GROUP BY failures.fingerprint, failures.activity, failures.kind, failures.message "
    "HAVING max(seen.at) >= ? ORDER BY max(seen.at) DESC, failures.fingerprint"
)


@dataclass(frozen=True, slots=True)
class FailureMake:
    """Failures of one fingerprint: how many attempts ended so, when the first and the last did, and what is left."""

    fingerprint: str
    activity: str
    kind: str
    message: str
    count: int
    first_seen: str
    last_seen: str
    failed: int = 0
    """Steps that are failed with it now, those of workflows that have ended too."""
    waiting: int = 0
    """Steps that wait for a person with it: those that would be retried."""

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class WaitingStep:
    """A step that a person is asked about, and since when."""

    workflow_id: str
    step: str
    definition: str
    since: str


def failures(query: Query, *, definition: str | None = None, since: str = "") -> list[FailureMake]:
    """The makes of failure that were seen since an instant, the last seen first; of one definition, counted in it."""
    rows = query(_OF_ALL, (since,)) if definition is None else query(_OF_ONE, (definition, definition, since))
    failed, waiting = _failed(query, definition), _waiting(query, definition)
    return [FailureMake(*(*row, failed.get(row[0], 0), waiting.get(row[0], 0))) for row in rows]


def fingerprints_seen(query: Query, limit: int) -> list[str]:
    """The fingerprints of what failed, the last seen first."""
    return [name for (name,) in query("SELECT fingerprint FROM failures ORDER BY last_seen DESC LIMIT ?", (limit,))]


def is_known(query: Query, fingerprint: str) -> bool:
    """Whether there was ever a failure of this make."""
    return bool(query("SELECT 1 FROM failures WHERE fingerprint = ?", (fingerprint,)))


def steps_waiting_with(query: Query, fingerprint: str, limit: int) -> list[WaitingStep]:
    """Up to `limit` steps that wait for a person with this failure, the longest waiting first."""
    rows = query(
        "SELECT workflow_id, step, definition, since FROM waits WHERE reason = 'intervention' "  # noqa: S608 - ours
        f"AND {_CAUSE} = ? ORDER BY since, workflow_id, step LIMIT ?",
        (fingerprint, limit),
    )
    return [WaitingStep(*row) for row in rows]


def _failed(query: Query, definition: str | None) -> dict[str, int]:
    which = (
        ""
        if definition is None
        else "AND EXISTS (SELECT 1 FROM workflows WHERE workflows.workflow_id = steps.workflow_id "
        "AND workflows.definition = ?) "
    )
    rows = query(
        f"SELECT fingerprint, count(*) FROM steps WHERE status = 'failed' AND fingerprint IS NOT NULL {which}"  # noqa: S608
        "GROUP BY fingerprint",
        () if definition is None else (definition,),
    )
    return {row[0]: row[1] for row in rows}


def _waiting(query: Query, definition: str | None) -> dict[str, int]:
    which = "" if definition is None else "AND definition = ? "
    rows = query(
        f"SELECT cause, count(*) FROM (SELECT {_CAUSE} AS cause FROM waits "  # noqa: S608 - ours
        f"WHERE reason = 'intervention' {which}) AS causes WHERE cause IS NOT NULL GROUP BY cause",
        () if definition is None else (definition,),
    )
    return {row[0]: row[1] for row in rows}
