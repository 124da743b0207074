"""The views' tables and the statements that write them: once for the live ones, once for the shadow of a rebuild.

Both sets have the same columns. The shadow's are part of the schema, and empty but while views are built anew: whoever
runs Handrail need not have the right to make tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from projections.schema import (
    ARCHIVED_FAILURES,
    ATTEMPT_COLUMNS,
    FAILURE_COLUMNS,
    POSITION,
    SHADOW_POSITION,
    SHADOW_PREFIX,
    STEP_COLUMNS,
    TABLES,
    WAIT_COLUMNS,
    WORKFLOW_COLUMNS,
)

# What a row has from its beginning and keeps.
_WORKFLOW_FIXED: Final = frozenset(
    {"workflow_id", "definition", "definition_version", "goal", "requested_by", "tags", "parent_workflow",
     "forked_from", "started_at", "deadline_at"}
)  # fmt: skip
_STEP_FIXED: Final = frozenset({"workflow_id", "step", "number", "kind", "activity"})


@dataclass(frozen=True, slots=True)
class Tables:
    """One set of the views' tables: what their names begin with, the position they are folded up to, statements.

    `count_archived` adds what archived workflows failed with: their events are gone, and what they counted stays.
    """

    prefix: str
    position: str
    names: tuple[str, ...]
    upsert_workflow: str
    upsert_step: str
    upsert_wait: str
    end_wait: str
    upsert_attempt: str
    count_failure: str
    count: str
    park: str
    count_archived: str


def _insert(table: str, columns: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - ours


def _upsert(table: str, columns: Sequence[str], fixed: frozenset[str], key: str) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in fixed)
    return f"{_insert(table, columns)} ON CONFLICT ({key}) DO UPDATE SET {changes}"


def count_failure(table: str) -> str:
    """The statement that adds a make of failure to what a table has counted of it."""
    return f"{_insert(table, FAILURE_COLUMNS)} {_added(table)}"


def _added(table: str) -> str:
    return (
        f"ON CONFLICT (fingerprint) DO UPDATE SET number = {table}.number + excluded.number, first_seen = "
        f"CASE WHEN excluded.first_seen < {table}.first_seen THEN excluded.first_seen ELSE {table}.first_seen "
        "END, last_seen = "
        f"CASE WHEN excluded.last_seen > {table}.last_seen THEN excluded.last_seen ELSE {table}.last_seen END"
    )


def _tables(prefix: str, position: str) -> Tables:
    attempts, failures, tallies = f"{prefix}attempts", f"{prefix}failures", f"{prefix}tallies"
    return Tables(
        prefix=prefix,
        position=position,
        names=tuple(f"{prefix}{name}" for name in TABLES),
        upsert_workflow=_upsert(f"{prefix}workflows", WORKFLOW_COLUMNS, _WORKFLOW_FIXED, "workflow_id"),
        upsert_step=_upsert(f"{prefix}steps", STEP_COLUMNS, _STEP_FIXED, "workflow_id, step"),
        upsert_wait=_upsert(f"{prefix}waits", WAIT_COLUMNS, frozenset(WAIT_COLUMNS[:5]), "workflow_id, key"),
        end_wait=f"DELETE FROM {prefix}waits WHERE workflow_id = ? AND key = ?",  # noqa: S608 - names of ours
        upsert_attempt=f"{_insert(attempts, ATTEMPT_COLUMNS)} "
        "ON CONFLICT (workflow_id, step, kind, attempt) DO UPDATE SET outcome = excluded.outcome, "
        f"ended_at = excluded.ended_at, failure = coalesce(excluded.failure, {attempts}.failure), "
        f"fingerprint = coalesce(excluded.fingerprint, {attempts}.fingerprint) "
        # What follows from it that a command was given up says less than that it was.
        f"WHERE NOT ({attempts}.outcome = 'dead_lettered' AND excluded.outcome IN ('timed_out', 'unknown'))",
        count_failure=count_failure(failures),
        count=f"{_insert(tallies, ('definition', 'status', 'cause', 'number'))} "
        f"ON CONFLICT (definition, status, cause) DO UPDATE SET number = {tallies}.number + excluded.number",
        park=f"{_insert(f'{prefix}parked_views', ('workflow_id', 'position', 'error'))} "
        "ON CONFLICT (workflow_id) DO NOTHING",
        # Without a condition SQLite would take the conflict's ON for that of a join.
        count_archived=f"INSERT INTO {failures} ({', '.join(FAILURE_COLUMNS)}) "  # noqa: S608 - names of ours
        f"SELECT {', '.join(FAILURE_COLUMNS)} FROM {ARCHIVED_FAILURES} WHERE 1 = 1 {_added(failures)}",
    )


LIVE: Final = _tables("", POSITION)
SHADOW: Final = _tables(SHADOW_PREFIX, SHADOW_POSITION)
