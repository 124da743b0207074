"""The views' tables, as data, and the statements that write and read their rows. SQL that SQLite and PostgreSQL share.

Rows are written as one upsert a row, however many events changed it since the last time. Instants are ISO 8601 texts
in UTC, which sort as they follow one another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from domain.ports import Cursor
from projections.rows import Standing, StepRow, WorkflowRow

POSITION: Final = "views"
"""Name of the views' row in the table of positions."""

SCHEMA: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS workflows (
        workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, definition TEXT NOT NULL,
        definition_version TEXT NOT NULL, goal TEXT NOT NULL, status TEXT NOT NULL, waits TEXT NOT NULL,
        requested_by TEXT NOT NULL, tags TEXT NOT NULL, parent_workflow TEXT, forked_from TEXT, started_at TEXT,
        changed_at TEXT, ended_at TEXT, deadline_at TEXT, reason TEXT NOT NULL, step_count BIGINT NOT NULL,
        settled_count BIGINT NOT NULL, attempts BIGINT NOT NULL, standing TEXT NOT NULL)""",
    "CREATE INDEX IF NOT EXISTS workflows_begun ON workflows (started_at, workflow_id)",
    "CREATE INDEX IF NOT EXISTS workflows_open ON workflows (workflow_id) WHERE ended_at IS NULL",
    """CREATE TABLE IF NOT EXISTS steps (
        workflow_id TEXT NOT NULL, step TEXT NOT NULL, number BIGINT NOT NULL, kind TEXT NOT NULL, activity TEXT,
        status TEXT NOT NULL, attempts BIGINT NOT NULL, generation BIGINT NOT NULL, failure TEXT, worker TEXT,
        scheduled_at TEXT, started_at TEXT, finished_at TEXT, PRIMARY KEY (workflow_id, step))""",
    """CREATE TABLE IF NOT EXISTS parked_views (
        workflow_id TEXT PRIMARY KEY, position BIGINT NOT NULL, error TEXT NOT NULL)""",
)

TABLES: Final = ("workflows", "steps", "parked_views")

WORKFLOW_COLUMNS: Final = (
    "workflow_id", "version", "definition", "definition_version", "goal", "status", "waits", "requested_by", "tags",
    "parent_workflow", "forked_from", "started_at", "changed_at", "ended_at", "deadline_at", "reason", "step_count",
    "settled_count", "attempts", "standing",
)  # fmt: skip
STEP_COLUMNS: Final = (
    "workflow_id", "step", "number", "kind", "activity", "status", "attempts", "generation", "failure", "worker",
    "scheduled_at", "started_at", "finished_at",
)  # fmt: skip

# What a row has from its beginning and keeps.
_WORKFLOW_FIXED: Final = frozenset(
    {"workflow_id", "definition", "definition_version", "goal", "requested_by", "tags", "parent_workflow",
     "forked_from", "started_at", "deadline_at"}
)  # fmt: skip
_STEP_FIXED: Final = frozenset({"workflow_id", "step", "number", "kind", "activity"})


def _upsert(table: str, columns: Sequence[str], fixed: frozenset[str], key: str) -> str:
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in fixed)
    return f"INSERT INTO {table} ({names}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {changes}"  # noqa: S608


UPSERT_WORKFLOW: Final = _upsert("workflows", WORKFLOW_COLUMNS, _WORKFLOW_FIXED, "workflow_id")
UPSERT_STEP: Final = _upsert("steps", STEP_COLUMNS, _STEP_FIXED, "workflow_id, step")
PARK: Final = (
    "INSERT INTO parked_views (workflow_id, position, error) VALUES (?, ?, ?) ON CONFLICT (workflow_id) DO NOTHING"
)

_STANDING: Final = TypeAdapter(Standing)
_ENDED: Final = ""

Key = TypeVar("Key")
Text = TypeVar("Text", str, str | None)

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs one SELECT; its rows."""

KEYS_PER_QUERY: Final = 200
"""Bound of keys in one query: SQLite takes 999 parameters where it was built long ago."""


class ViewsAlong:
    """The rows of one batch, for the transaction that moves the views' position."""

    def __init__(self, rows: Iterable[WorkflowRow], parked: Sequence[tuple[str, int, str]] = ()) -> None:
        """Take the values of the rows as they are now."""
        self._workflows = []
        self._steps: list[tuple[Any, ...]] = []
        for row in rows:
            self._workflows.append(_workflow_values(row))
            self._steps += [_step_values(row.workflow_id, row.steps[name]) for name in row.changed]
        self._parked = [(workflow_id, position, _shown(error)) for workflow_id, position, error in parked]

    def run(self, cursor: Cursor) -> None:
        """Write them."""
        if self._workflows:
            cursor.executemany(UPSERT_WORKFLOW, self._workflows)
        if self._steps:
            cursor.executemany(UPSERT_STEP, self._steps)
        if self._parked:
            cursor.executemany(PARK, self._parked)


class Forget:
    """Empties the views, so that they are built anew from the beginning of the log."""

    def run(self, cursor: Cursor) -> None:
        """Delete every row."""
        for table in TABLES:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours


def load_workflows(query: Query, workflow_ids: Sequence[str]) -> dict[str, WorkflowRow]:
    """The rows of these workflows, as far as there are any, without their steps."""
    found: dict[str, WorkflowRow] = {}
    for ids in _chunks(workflow_ids, KEYS_PER_QUERY):
        marks = ", ".join("?" * len(ids))
        columns = ", ".join(WORKFLOW_COLUMNS)
        statement = f"SELECT {columns} FROM workflows WHERE workflow_id IN ({marks})"  # noqa: S608
        for values in query(statement, ids):
            row = _workflow_row(dict(zip(WORKFLOW_COLUMNS, values, strict=True)))
            found[row.workflow_id] = row
    return found


def load_steps(query: Query, keys: Sequence[tuple[str, str]]) -> list[tuple[str, StepRow]]:
    """The rows of these steps, given and answered with their workflow's id; those that there are."""
    found: list[tuple[str, StepRow]] = []
    for some in _chunks(keys, KEYS_PER_QUERY):
        marks = ", ".join("(?, ?)" for _ in some)
        columns = ", ".join(STEP_COLUMNS)
        statement = f"SELECT {columns} FROM steps WHERE (workflow_id, step) IN (VALUES {marks})"  # noqa: S608
        found += [_step_row(values) for values in query(statement, [part for key in some for part in key])]
    return found


def load_parked(query: Query) -> dict[str, str]:
    """The parked workflows, each with what was wrong."""
    return {row[0]: row[1] for row in query("SELECT workflow_id, error FROM parked_views", ())}


def _chunks(keys: Sequence[Key], size: int) -> Iterable[Sequence[Key]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    # The same text in half the time: there are several instants in a row.
    return f"{moment.replace(tzinfo=None).isoformat()}+00:00" if moment.tzinfo is UTC else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _shown(text: Text) -> Text:
    """A text as every database keeps it: PostgreSQL keeps no NUL, and the words of an error may hold one."""
    return text.replace("\0", "␀") if text else text


def _workflow_values(row: WorkflowRow) -> tuple[Any, ...]:
    return (
        row.workflow_id,
        row.version,
        row.definition,
        row.definition_version,
        _shown(row.goal),
        row.status,
        " ".join(row.standing.waits),
        _shown(row.requested_by),
        json.dumps(row.tags, ensure_ascii=False) if row.tags else "{}",
        row.parent_workflow,
        row.forked_from,
        _text(row.started_at),
        _text(row.changed_at),
        _text(row.ended_at),
        _text(row.deadline_at),
        _shown(row.reason),
        row.step_count,
        row.settled_count,
        row.attempts,
        _standing_text(row.standing),
    )


def _standing_text(standing: Standing) -> str:
    if standing.ended is not None and not standing.waits:
        return _ENDED  # nothing of it but the status, which has a column of its own
    return _STANDING.dump_json(standing, exclude_defaults=True).decode()


def _standing(text: str, status: str) -> Standing:
    return Standing(ended=status, planning=False) if text == _ENDED else _STANDING.validate_json(text)


def _workflow_row(values: dict[str, Any]) -> WorkflowRow:
    return WorkflowRow(
        workflow_id=values["workflow_id"],
        version=values["version"],
        definition=values["definition"],
        definition_version=values["definition_version"],
        goal=values["goal"],
        requested_by=values["requested_by"],
        tags=json.loads(values["tags"]),
        parent_workflow=values["parent_workflow"],
        forked_from=values["forked_from"],
        started_at=_moment(values["started_at"]),
        changed_at=_moment(values["changed_at"]),
        ended_at=_moment(values["ended_at"]),
        deadline_at=_moment(values["deadline_at"]),
        reason=values["reason"],
        step_count=values["step_count"],
        settled_count=values["settled_count"],
        attempts=values["attempts"],
        standing=_standing(values["standing"], values["status"]),
    )


def _step_values(workflow_id: str, step: StepRow) -> tuple[Any, ...]:
    return (
        workflow_id,
        step.step,
        step.number,
        step.kind,
        step.activity,
        step.status,
        step.attempts,
        step.generation,
        _shown(step.failure),
        _shown(step.worker),
        _text(step.scheduled_at),
        _text(step.started_at),
        _text(step.finished_at),
    )


def _step_row(values: Sequence[Any]) -> tuple[str, StepRow]:
    return values[0], StepRow(
        step=values[1],
        number=values[2],
        kind=values[3],
        activity=values[4],
        status=values[5],
        attempts=values[6],
        generation=values[7],
        failure=values[8],
        worker=values[9],
        scheduled_at=_moment(values[10]),
        started_at=_moment(values[11]),
        finished_at=_moment(values[12]),
    )
