"""What is read from the views: lists of workflows, which of them are open, what will wake them, what was given up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from domain.state import PEOPLE_REASONS, StepStatus
from domain.store.covers import CLEAR, Texts
from projections.hidden import NOT_HIDDEN
from projections.rows import UNDO
from projections.sql import Query, shown_tags

PAGE_ROWS: Final = 5_000
"""Rows in one query: a long list is read in pages, so that it needs little memory and holds up nobody."""

LISTED: Final = (
    "workflow_id", "status", "definition", "definition_version", "goal", "waits", "requested_by", "tags",
    "parent_workflow", "forked_from", "started_at", "changed_at", "ended_at", "deadline_at", "reason", "step_count",
    "settled_count", "attempts", "version",
)  # fmt: skip


def list_workflows(
    query: Query,
    *,
    status: str | None = None,
    definition: str | None = None,
    tags: Mapping[str, str] | None = None,
    texts: Texts = CLEAR,
) -> Iterator[dict[str, Any]]:
    """Workflows in the order in which they began; those in a status, of a definition, with all of these tags.

    Handrail's own are left out. `texts` shows what is kept hidden.
    """
    columns = ", ".join(LISTED)
    asked = {name: value for name, value in (("status", status), ("definition", definition)) if value is not None}
    where = "".join(f"AND {name} = ? " for name in asked)
    wanted = dict(tags or {})
    last: tuple[Any, ...] = ("", "")
    while True:
        parameters = [*last, *asked.values(), PAGE_ROWS]
        rows = query(
            f"SELECT {columns} FROM workflows WHERE (started_at, workflow_id) > (?, ?) AND {NOT_HIDDEN} {where}"  # noqa: S608
            "ORDER BY started_at, workflow_id LIMIT ?",
            parameters,
        )
        for values in rows:
            row = dict(zip(LISTED, values, strict=True))
            row["tags"] = shown_tags(row["tags"], texts)
            row["goal"], row["reason"] = texts.show(row["goal"]), texts.show(row["reason"])
            row["waits"] = [
                dict(zip(("step", "reason"), wait.rsplit(":", 1), strict=True)) for wait in row["waits"].split()
            ]
            if wanted.items() <= row["tags"].items():
                yield row
        if len(rows) < PAGE_ROWS:
            return
        last = (rows[-1][LISTED.index("started_at")], rows[-1][0])


def withheld_workflows(query: Query) -> Iterator[dict[str, Any]]:
    """Those of an import that have no row among the workflows, since too much of them is withheld."""
    rows = query(
        "SELECT workflow_id FROM parked_views WHERE workflow_id NOT IN (SELECT workflow_id FROM workflows) "
        "ORDER BY workflow_id",
        (),
    )
    for (name,) in rows:
        unknown: dict[str, Any] = {
            **dict.fromkeys(LISTED),
            "goal": "",
            "tags": {},
            "waits": [],
            "step_count": 0,
            "settled_count": 0,
        }
        yield {**unknown, "workflow_id": name, "status": "withheld"}


def open_workflows(query: Query) -> Iterator[tuple[str, str]]:
    """Ids and statuses of the workflows that have not ended, in the order of their ids."""
    last = ""
    while True:
        rows = query(
            "SELECT workflow_id, status FROM workflows WHERE ended_at IS NULL AND workflow_id > ? "
            "ORDER BY workflow_id LIMIT ?",
            (last, PAGE_ROWS),
        )
        yield from ((row[0], row[1]) for row in rows)
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][0]


def workflows_awaiting_approval(
    query: Query, *, definition: str | None = None, after: str = "", inclusive: bool = False, limit: int = 50
) -> list[str]:
    """Up to `limit` ids of open workflows that wait for an approval, in their order, behind (or from) an id."""
    which = "AND definition = ? " if definition is not None else ""
    rows = query(
        f"SELECT workflow_id FROM workflows WHERE ended_at IS NULL AND workflow_id {'>=' if inclusive else '>'} ? "  # noqa: S608
        f"AND waits LIKE '%:approval%' {which}ORDER BY workflow_id LIMIT ?",
        (after, *([definition] if definition is not None else []), limit),
    )
    return [workflow_id for (workflow_id,) in rows]


def moving_workflows(query: Query) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Open workflows that may go on without a person, each with its status and the reasons it waits for.

    Left out are those that are paused, and the blocked ones that wait for a person: however many they are, they cost
    one query.
    """
    patterns = [f"%:{reason}%" for reason in sorted({*PEOPLE_REASONS, "definition"})]
    people = " OR ".join("waits LIKE ?" for _ in patterns)
    statement = (
        "SELECT workflow_id, status, waits FROM workflows WHERE ended_at IS NULL AND workflow_id > ? "  # noqa: S608
        f"AND status <> 'paused' AND NOT (status = 'blocked' AND ({people})) "
        "AND NOT EXISTS (SELECT 1 FROM parked_views WHERE parked_views.workflow_id = workflows.workflow_id) "
        "ORDER BY workflow_id LIMIT ?"
    )
    last = ""
    while True:
        rows = query(statement, (last, *patterns, PAGE_ROWS))
        for workflow_id, status, waits in rows:
            yield workflow_id, status, frozenset(wait.rsplit(":", 1)[1] for wait in waits.split())
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][0]


STUCK: Final = (
    "workflow_id",
    "definition",
    "status",
    "stuck_cause",
    "stuck_since",
    "stuck_step",
    "stuck_key",
    "goal",
    "requested_by",
)


def stuck_workflows(query: Query, *, definition: str | None = None, texts: Texts = CLEAR) -> Iterator[dict[str, Any]]:
    """The workflows that are stuck, those that have been for the longest first."""
    which = "AND definition = ? " if definition is not None else ""
    last = ("", "")
    while True:
        rows = query(
            f"SELECT {', '.join(STUCK)} FROM workflows WHERE stuck_cause IS NOT NULL "  # noqa: S608 - ours
            f"AND (stuck_since, workflow_id) > (?, ?) {which}ORDER BY stuck_since, workflow_id LIMIT ?",
            (*last, *([definition] if definition is not None else []), PAGE_ROWS),
        )
        for values in rows:
            row = dict(zip(STUCK, values, strict=True))
            row["goal"] = texts.show(row["goal"])
            yield row
        if len(rows) < PAGE_ROWS:
            return
        last = (rows[-1][STUCK.index("stuck_since")], rows[-1][0])


TIMERS: Final = ("due_at", "workflow_id", "key", "step", "reason", "definition", "name", "since", "status")
# What is undone has one key for all steps; which one it is, its status says.
_TIMER: Final = (
    f"SELECT due_at, workflow_id, key, CASE WHEN step = '{UNDO}' THEN coalesce((SELECT steps.step FROM steps "  # noqa: S608
    f"WHERE steps.workflow_id = waits.workflow_id AND steps.status = '{StepStatus.COMPENSATING}' LIMIT 1), '') "
    "ELSE step END, reason, definition, name, since, "
    "(SELECT status FROM workflows WHERE workflows.workflow_id = waits.workflow_id) FROM waits "
    f"WHERE due_at IS NOT NULL AND {NOT_HIDDEN} AND due_at >= ? AND (due_at, workflow_id, key) > (?, ?, ?)"
)


def timers(query: Query, *, before: str | None = None, definition: str | None = None) -> Iterator[dict[str, Any]]:
    """What will wake a workflow, and when: what falls due first comes first, so what is overdue before all else.

    These are retries and questions to come, times waited for, and the deadlines of other waits; `before` is an instant
    as columns hold it. `status` is the workflow's: while it is paused nothing wakes it. The time that an attempt under
    way has, and the deadline of a whole workflow, are no waits.
    """
    asked = [(clause, value) for clause, value in (("due_at < ?", before), ("definition = ?", definition))]
    asked = [(clause, value) for clause, value in asked if value is not None]
    where = "".join(f" AND {clause}" for clause, _ in asked)
    last: tuple[Any, ...] = ("", "", "")
    while True:
        rows = query(
            f"{_TIMER}{where} ORDER BY due_at, workflow_id, key LIMIT ?",
            (last[0], *last, *(value for _, value in asked), PAGE_ROWS),
        )
        yield from (dict(zip(TIMERS, values, strict=True)) for values in rows)
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][:3]


DEAD: Final = (
    "ended_at", "workflow_id", "step", "kind", "attempt", "activity", "failure", "definition", "status", "step_status",
    "waits_for",
)  # fmt: skip
_DEAD_KEYS: Final = 5
_OF_WORKFLOW: Final = "FROM workflows WHERE workflows.workflow_id = attempts.workflow_id"
_DEAD: Final = (
    "SELECT ended_at, workflow_id, step, kind, attempt, activity, failure, "  # noqa: S608 - ours
    f"(SELECT definition {_OF_WORKFLOW}), (SELECT status {_OF_WORKFLOW}), "
    "(SELECT steps.status FROM steps WHERE steps.workflow_id = attempts.workflow_id AND steps.step = attempts.step), "
    "(SELECT min(reason) FROM waits WHERE waits.workflow_id = attempts.workflow_id AND (waits.step IN "
    f"(attempts.step, '') OR (waits.step = '{UNDO}' AND attempts.kind = 'compensate'))) "
    "FROM attempts WHERE outcome = 'dead_lettered' AND ended_at >= ?"
)
_AFTER_DEAD: Final = " AND ended_at <= ? AND (ended_at, workflow_id, step, kind, attempt) < (?, ?, ?, ?, ?)"

_LAST_FIRST: Final = "ORDER BY ended_at DESC, workflow_id DESC, step DESC, kind DESC, attempt DESC"


def dead_lettered(
    query: Query, *, since: str = "", definition: str | None = None, texts: Texts = CLEAR
) -> Iterator[dict[str, Any]]:
    """The attempts whose command the transport gave up, the last one first; those since an instant, of a definition.

    `failure` is why, as it was recorded; `step_status` where the step stands now (None: one of the engine's own), and
    `waits_for` what it, or the whole workflow, waits for (None: nothing).
    """
    which = (
        f" AND EXISTS (SELECT 1 {_OF_WORKFLOW} AND {NOT_HIDDEN}{'' if definition is None else ' AND definition = ?'})"
    )
    named = [] if definition is None else [definition]
    last: tuple[Any, ...] = ()
    while True:
        after = _AFTER_DEAD if last else ""
        rows = query(
            f"{_DEAD}{after}{which} {_LAST_FIRST} LIMIT ?",
            (since, *last[:1], *last, *named, PAGE_ROWS),
        )
        for values in rows:
            row = dict(zip(DEAD, values, strict=True))
            row["failure"] = texts.show(row["failure"] or "")
            yield row
        if len(rows) < PAGE_ROWS:
            return
        last = rows[-1][:_DEAD_KEYS]


def tallies(query: Query) -> list[tuple[str, str, str, int]]:
    """How many workflows there are of each definition, status and cause (empty: not stuck); none that count nothing."""
    rows = query(f"SELECT definition, status, cause, number FROM tallies WHERE number <> 0 AND {NOT_HIDDEN}", ())  # noqa: S608
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def has_definition(query: Query, definition: str) -> bool:
    """Whether there is, or was, a workflow of this definition."""
    return bool(query("SELECT 1 FROM tallies WHERE definition = ? LIMIT 1", (definition,)))


def definitions_known(query: Query) -> list[str]:
    """The definitions that there are, or were, workflows of, without Handrail's own; as many as a page has."""
    rows = query(
        f"SELECT DISTINCT definition FROM tallies WHERE {NOT_HIDDEN} ORDER BY definition LIMIT ?",  # noqa: S608 - ours
        (PAGE_ROWS,),
    )
    return [name for (name,) in rows]


def count_statuses(query: Query) -> dict[str, int]:
    """How many workflows there are in each status."""
    rows = query(f"SELECT status, count(*) FROM workflows WHERE {NOT_HIDDEN} GROUP BY status", ())  # noqa: S608 - ours
    return {row[0]: row[1] for row in rows}
