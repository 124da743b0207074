"""The statements that write and read the views' rows.

Rows are written as one upsert a row, however many events changed it since the last time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from domain.ports import Cursor
from domain.store.covers import CLEAR, Texts
from projections.causes import Cause, Stuck
from projections.moves import REASON_CHARACTERS
from projections.rows import AttemptNote, Counted, Hold, Standing, StepRow, WorkflowRow
from projections.schema import JUDGED_AT, STEP_COLUMNS, UNHEARD_AT, WORKFLOW_COLUMNS
from projections.tables import LIVE, Tables

DUE: Final = (
    "SELECT mended.number, due.workflow_id FROM "
    "(SELECT coalesce(max(position), 0) AS number FROM positions WHERE name = ?) AS mended LEFT JOIN "
    "(SELECT workflow_id, look_at FROM workflows WHERE look_at <= ? ORDER BY look_at, workflow_id LIMIT ?) AS due "
    "ON 1 = 1 ORDER BY due.look_at, due.workflow_id"
)
"""Who is due, the longest first, and beside each how often rows were changed: at least one row, where nobody is."""
OPEN: Final = (
    "SELECT workflow_id FROM workflows WHERE ended_at IS NULL AND workflow_id > ? ORDER BY workflow_id LIMIT ?"
)
LOOK: Final = "UPDATE workflows SET look_at = ? WHERE workflow_id = ?"
NOTE_JUDGED: Final = (
    "INSERT INTO positions (name, position) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET position = excluded.position"
)

_STANDING: Final = TypeAdapter(Standing)
_ENDED: Final = ""
_HIDDEN_TAGS: Final = ""

Key = TypeVar("Key")
Text = TypeVar("Text", str, str | None)

Query = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]
"""Runs one SELECT; its rows."""

KEYS_PER_QUERY: Final = 200
"""Bound of keys in one query: SQLite takes 999 parameters where it was built long ago."""
_JUDGED_SIZES: Final = (1, 8, 40, 160)
JUDGED_PER_STATEMENT: Final = _JUDGED_SIZES[-1]
"""Six values each, within the same bound."""


class ViewsAlong:
    """The rows of one batch, for the transaction that moves the views' position."""

    def __init__(
        self,
        rows: Sequence[WorkflowRow],
        parked: Sequence[tuple[str, int, str]] = (),
        tables: Tables = LIVE,
        texts: Texts = CLEAR,
    ) -> None:
        """Take the values of the rows as they are now; `tables` are those that they go into.

        `texts` is how what authors and people wrote is kept.
        """
        self._texts = texts
        self._tables = tables
        self._workflows = []
        self._steps: list[tuple[Any, ...]] = []
        self._waits: list[tuple[Any, ...]] = []
        self._ended_waits: list[tuple[str, str]] = []
        self._attempts: list[tuple[Any, ...]] = []
        self._failures: dict[str, list[Any]] = {}
        for row in rows:
            self._workflows.append(_workflow_values(row, texts))
            if row.noted or row.standing.waits or row.standing.pending:
                self._take_waits(row)
            if row.notes:
                self._take_notes(row)
            self._steps += [_step_values(row.workflow_id, row.steps[name], texts) for name in row.changed]
        self._tallies = moved_tallies(rows)
        self._parked = [(workflow_id, position, texts.hide(_shown(error))) for workflow_id, position, error in parked]

    def _take_waits(self, row: WorkflowRow) -> None:
        now = awaited(row)
        self._ended_waits += [(row.workflow_id, key) for key in row.noted if key not in now]
        self._waits += [_wait_values(row, key, hold) for key, hold in now.items() if row.noted.get(key) != hold]

    def _take_notes(self, row: WorkflowRow) -> None:
        for note in row.notes:
            if isinstance(note, AttemptNote):
                self._attempts.append(_attempt_values(row.workflow_id, note, self._texts))
                continue
            failure, at = note.failure, text_of(note.at)
            # A failure's row is of many workflows: where texts are hidden, each may be erased, and the row stays.
            shown = _shown(failure.message[:REASON_CHARACTERS]) if self._texts is CLEAR else ""
            values = [failure.fingerprint, note.activity, failure.kind.value, shown, 0, at, at]
            counted = self._failures.setdefault(failure.fingerprint, values)
            counted[4] += 1
            counted[5] = min(counted[5], at)
            counted[6] = max(counted[6], at)

    def run(self, cursor: Cursor) -> None:
        """Write them."""
        tables = self._tables
        if self._workflows:
            cursor.executemany(tables.upsert_workflow, self._workflows)
        if self._steps:
            cursor.executemany(tables.upsert_step, self._steps)
        if self._ended_waits:
            cursor.executemany(tables.end_wait, self._ended_waits)
        if self._waits:
            cursor.executemany(tables.upsert_wait, self._waits)
        if self._attempts:
            cursor.executemany(tables.upsert_attempt, self._attempts)
        if self._failures:
            cursor.executemany(tables.count_failure, sorted(self._failures.values()))
        if self._tallies:
            cursor.executemany(tables.count, self._tallies)
        if self._parked:
            cursor.executemany(tables.park, self._parked)


class JudgedAlong:
    """What was judged of workflows, with the tallies that move."""

    def __init__(self, rows: Sequence[WorkflowRow], *, unheard: bool) -> None:
        """Take the values of the rows as they are now; `unheard` says that the broker did not say all of it."""
        self._unheard = unheard
        self._rows = [(row.workflow_id, text_of(row.look_at), *_stuck_values(row.stuck)) for row in rows]
        self._tallies = moved_tallies(rows)

    def run(self, cursor: Cursor) -> None:
        """Write them."""
        for some in _chunks(self._rows, JUDGED_PER_STATEMENT):
            size = next(size for size in _JUDGED_SIZES if size >= len(some))
            # Filled up to a few sizes, so that few statements are prepared: the same row once more changes nothing.
            filled = [*some, *[some[-1]] * (size - len(some))]
            cursor.execute(judge_statement(size), [value for row in filled for value in row])
        if self._tallies:
            cursor.executemany(LIVE.count, self._tallies)
        now = int(cursor.now())
        cursor.execute(NOTE_JUDGED, (JUDGED_AT, now))
        if self._unheard:
            cursor.execute(NOTE_JUDGED, (UNHEARD_AT, now))


def judge_statement(rows: int) -> str:
    """SQL that writes what was judged of so many workflows: one statement for many costs less than one for each."""
    return (
        "WITH judged (workflow_id, look_at, cause, since, step, key) AS "  # noqa: S608 - fixed parts
        f"(VALUES {', '.join(['(?, ?, ?, ?, ?, ?)'] * rows)}) "
        "UPDATE workflows SET look_at = judged.look_at, stuck_cause = judged.cause, stuck_since = judged.since, "
        "stuck_step = judged.step, stuck_key = judged.key FROM judged "
        "WHERE workflows.workflow_id = judged.workflow_id"
    )


def moved_tallies(rows: Iterable[WorkflowRow]) -> list[tuple[str, str, str, int]]:
    """By how much the tallies move; in one order, so that two who write never wait for one another."""
    moved: Counter[Counted] = Counter()
    for row in rows:
        if row.counted != (counts_as := row.counts_as):
            moved[counts_as] += 1
            if row.counted is not None:
                moved[row.counted] -= 1
    return [(*counted, number) for counted, number in sorted(moved.items()) if number]


class Forget:
    """Empties the views, so that they are built anew from the beginning of the log."""

    def __init__(self, tables: Tables = LIVE) -> None:
        """Which tables."""
        self._tables = tables

    def run(self, cursor: Cursor) -> None:
        """Delete every row; what archived workflows failed with is counted from the beginning."""
        for table in self._tables.names:
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - names of ours
        if self._tables is LIVE:
            cursor.execute(LIVE.count_archived)


def awaited(row: WorkflowRow) -> dict[str, Hold]:
    """What a workflow waits for: its waits, and the retries and probes to come."""
    return {**row.standing.waits, **row.standing.pending}


def load_workflows(query: Query, workflow_ids: Sequence[str], tables: Tables = LIVE) -> dict[str, WorkflowRow]:
    """The rows of these workflows, as far as there are any, without their steps."""
    found: dict[str, WorkflowRow] = {}
    for ids in _chunks(workflow_ids, KEYS_PER_QUERY):
        marks = ", ".join("?" * len(ids))
        columns = ", ".join(WORKFLOW_COLUMNS)
        statement = f"SELECT {columns} FROM {tables.prefix}workflows WHERE workflow_id IN ({marks})"  # noqa: S608
        for values in query(statement, ids):
            row = _workflow_row(dict(zip(WORKFLOW_COLUMNS, values, strict=True)))
            found[row.workflow_id] = row
    return found


def load_steps(query: Query, keys: Sequence[tuple[str, str]], tables: Tables = LIVE) -> list[tuple[str, StepRow]]:
    """The rows of these steps, given and answered with their workflow's id; those that there are."""
    found: list[tuple[str, StepRow]] = []
    for some in _chunks(keys, KEYS_PER_QUERY):
        marks = ", ".join("(?, ?)" for _ in some)
        columns = ", ".join(STEP_COLUMNS)
        statement = f"SELECT {columns} FROM {tables.prefix}steps WHERE (workflow_id, step) IN (VALUES {marks})"  # noqa: S608
        found += [_step_row(values) for values in query(statement, [part for key in some for part in key])]
    return found


def load_parked(query: Query, tables: Tables = LIVE) -> dict[str, str]:
    """The parked workflows, each with what was wrong."""
    return {row[0]: row[1] for row in query(f"SELECT workflow_id, error FROM {tables.prefix}parked_views", ())}  # noqa: S608


def _chunks(keys: Sequence[Key], size: int) -> Iterable[Sequence[Key]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def text_of(moment: datetime | None) -> str | None:
    """An instant as the columns hold it."""
    if moment is None:
        return None
    # The same text in half the time: there are several instants in a row.
    return f"{moment.replace(tzinfo=None).isoformat()}+00:00" if moment.tzinfo is UTC else moment.isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _shown(text: Text) -> Text:
    """A text as every database keeps it: PostgreSQL keeps no NUL, and the words of an error may hold one."""
    return text.replace("\0", "␀") if text else text


def hidden_tags(tags: Mapping[str, str], texts: Texts) -> str:
    """Tags as the column holds them: JSON; hidden, they are one text under a name that no tag has."""
    if not tags:
        return "{}"
    if texts is not CLEAR and _HIDDEN_TAGS not in tags:
        tags = {_HIDDEN_TAGS: texts.hide(json.dumps(dict(tags), ensure_ascii=False))}
    return json.dumps(dict(tags), ensure_ascii=False)


def shown_tags(column: str, texts: Texts) -> dict[str, str]:
    """The tags of a column."""
    tags: dict[str, str] = json.loads(column)
    hidden = tags.get(_HIDDEN_TAGS)
    if hidden is None:
        return tags
    try:
        shown: dict[str, str] = json.loads(texts.show(hidden))
    except ValueError:
        return {}
    return shown


def _hidden(text: str | None, texts: Texts) -> str | None:
    return None if text is None else texts.hide(text)


def _workflow_values(row: WorkflowRow, texts: Texts = CLEAR) -> tuple[Any, ...]:
    since = row.since
    return (
        row.workflow_id,
        row.version,
        row.definition,
        row.definition_version,
        texts.hide(_shown(row.goal)),
        row.status,
        " ".join(row.standing.waits),
        _shown(row.requested_by),
        hidden_tags(row.tags, texts),
        row.parent_workflow,
        row.forked_from,
        text_of(row.started_at),
        text_of(row.changed_at),
        text_of(row.ended_at),
        text_of(row.deadline_at),
        texts.hide(_shown(row.reason)),
        row.step_count,
        row.settled_count,
        row.attempts,
        _standing_text(row.standing),
        text_of(since),
        None if since is None else int(since.timestamp() // 60),
        text_of(row.look_at),
        *_stuck_values(row.stuck),
    )


def _stuck_values(stuck: Stuck | None) -> tuple[str | None, ...]:
    if stuck is None:
        return None, None, None, None
    return stuck.cause.value, text_of(stuck.since), stuck.step, stuck.key


def _standing_text(standing: Standing) -> str:
    if standing.ended is not None and not standing.waits:
        return _ENDED  # nothing of it but the status, which has a column of its own
    return _STANDING.dump_json(standing, exclude_defaults=True).decode()


def _standing(text: str, status: str) -> Standing:
    return Standing(ended=status, planning=False) if text == _ENDED else _STANDING.validate_json(text)


def _wait_values(row: WorkflowRow, key: str, hold: Hold) -> tuple[Any, ...]:
    reason, _, step = key.partition(":") if key in row.standing.pending else key.rpartition(":")[::-1]
    return (
        row.workflow_id,
        key,
        step,
        reason,
        row.definition,
        _shown(hold.name),
        text_of(hold.since),
        text_of(hold.due_at),
    )


def _attempt_values(workflow_id: str, note: AttemptNote, texts: Texts) -> tuple[Any, ...]:
    return (
        workflow_id,
        note.step,
        note.kind,
        note.attempt,
        note.activity,
        note.outcome,
        text_of(note.scheduled_at),
        text_of(note.started_at),
        text_of(note.ended_at),
        _shown(note.worker),
        _hidden(_shown(note.failure), texts),
        note.fingerprint,
    )


def _workflow_row(values: dict[str, Any]) -> WorkflowRow:
    row = WorkflowRow(
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
        look_at=_moment(values["look_at"]),
        stuck=_stuck(values),
        counted=(values["definition"], values["status"], values["stuck_cause"] or ""),
    )
    row.noted = awaited(row)
    return row


def _stuck(values: Mapping[str, Any]) -> Stuck | None:
    cause, since = values["stuck_cause"], _moment(values["stuck_since"])
    if cause is None or since is None:
        return None
    return Stuck(Cause(cause), since, values["stuck_step"], values["stuck_key"])


def _step_values(workflow_id: str, step: StepRow, texts: Texts = CLEAR) -> tuple[Any, ...]:
    return (
        workflow_id,
        step.step,
        step.number,
        step.kind,
        step.activity,
        step.status,
        step.attempts,
        step.generation,
        _hidden(_shown(step.failure), texts),
        _shown(step.worker),
        text_of(step.scheduled_at),
        text_of(step.started_at),
        text_of(step.finished_at),
        step.fingerprint,
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
        fingerprint=values[13],
    )
