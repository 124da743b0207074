"""The views' tables and columns, as data. SQL that SQLite and PostgreSQL share.

`workflows` has a row for each workflow, `steps` for each of its steps, `waits` for each thing that one waits for and
each retry to come, `attempts` for each attempt that ended otherwise than in success, `failures` for each make of
failure, `tallies` for each definition, status and cause that there are workflows of. `parked_views` are the workflows
whose history cannot be folded. Instants are ISO 8601 texts in UTC, which sort as they follow one another.
"""

from __future__ import annotations

from typing import Final

POSITION: Final = "views-2"
"""Name of the views' row in the table of positions. The number rises where rows are folded otherwise than before: the
views then begin again at the first event."""

SHADOW_PREFIX: Final = "shadow_"
"""What the names of the tables begin with that a rebuild folds into, beside the live ones."""
SHADOW_POSITION: Final = "views-shadow"
"""Name of the row in the table of positions that says how far a rebuild has come."""
MENDED: Final = "views-mended"
"""Name of the row in the table of positions that counts how often somebody else than the projector changed rows: the
projector then begins again from what is in the store."""
JUDGED_AT: Final = "views-judged"
"""Name of the row in the table of positions that says when something was judged last, in seconds since 1970."""
UNHEARD_AT: Final = "views-unheard"
"""The same for when it was judged last without what the broker says of a queue that a command lies in."""
JUDGED_BY: Final = "views-thresholds"
"""Name of the row in the table of positions that holds the digest of the thresholds that all rows are looked at by."""

_LIVE: Final[tuple[str, ...]] = (
    """CREATE TABLE IF NOT EXISTS workflows (
        workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, definition TEXT NOT NULL,
        definition_version TEXT NOT NULL, goal TEXT NOT NULL, status TEXT NOT NULL, waits TEXT NOT NULL,
        requested_by TEXT NOT NULL, tags TEXT NOT NULL, parent_workflow TEXT, forked_from TEXT, started_at TEXT,
        changed_at TEXT, ended_at TEXT, deadline_at TEXT, reason TEXT NOT NULL, step_count BIGINT NOT NULL,
        settled_count BIGINT NOT NULL, attempts BIGINT NOT NULL, standing TEXT NOT NULL, since TEXT,
        since_minute BIGINT, look_at TEXT, stuck_cause TEXT, stuck_since TEXT, stuck_step TEXT, stuck_key TEXT)""",
    "CREATE INDEX IF NOT EXISTS workflows_begun ON workflows (started_at, workflow_id)",
    "CREATE INDEX IF NOT EXISTS workflows_open ON workflows (workflow_id) WHERE ended_at IS NULL",
    "CREATE INDEX IF NOT EXISTS workflows_oldest ON workflows (definition, since_minute) WHERE ended_at IS NULL",
    "CREATE INDEX IF NOT EXISTS workflows_to_look_at ON workflows (look_at) WHERE look_at IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS workflows_parent ON workflows (parent_workflow) WHERE parent_workflow IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS workflows_stuck ON workflows (stuck_since, workflow_id) WHERE stuck_cause IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS steps (
        workflow_id TEXT NOT NULL, step TEXT NOT NULL, number BIGINT NOT NULL, kind TEXT NOT NULL, activity TEXT,
        status TEXT NOT NULL, attempts BIGINT NOT NULL, generation BIGINT NOT NULL, failure TEXT, worker TEXT,
        scheduled_at TEXT, started_at TEXT, finished_at TEXT, fingerprint TEXT, PRIMARY KEY (workflow_id, step))""",
    "CREATE INDEX IF NOT EXISTS steps_failed ON steps (fingerprint, workflow_id) WHERE status = 'failed'",
    """CREATE TABLE IF NOT EXISTS waits (
        workflow_id TEXT NOT NULL, key TEXT NOT NULL, step TEXT NOT NULL, reason TEXT NOT NULL,
        definition TEXT NOT NULL, name TEXT NOT NULL, since TEXT NOT NULL, due_at TEXT,
        PRIMARY KEY (workflow_id, key))""",
    "CREATE INDEX IF NOT EXISTS waits_by_reason ON waits (reason, definition, since)",
    "CREATE INDEX IF NOT EXISTS waits_due ON waits (due_at) WHERE due_at IS NOT NULL",
    """CREATE TABLE IF NOT EXISTS attempts (
        workflow_id TEXT NOT NULL, step TEXT NOT NULL, kind TEXT NOT NULL, attempt BIGINT NOT NULL,
        activity TEXT NOT NULL, outcome TEXT NOT NULL, scheduled_at TEXT, started_at TEXT, ended_at TEXT NOT NULL,
        worker TEXT, failure TEXT, fingerprint TEXT, PRIMARY KEY (workflow_id, step, kind, attempt))""",
    "CREATE INDEX IF NOT EXISTS attempts_by_outcome ON attempts (outcome, ended_at) WHERE outcome = 'dead_lettered'",
    """CREATE TABLE IF NOT EXISTS failures (
        fingerprint TEXT PRIMARY KEY, activity TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
        number BIGINT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS parked_views (
        workflow_id TEXT PRIMARY KEY, position BIGINT NOT NULL, error TEXT NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS tallies (
        definition TEXT NOT NULL, status TEXT NOT NULL, cause TEXT NOT NULL, number BIGINT NOT NULL,
        PRIMARY KEY (definition, status, cause))""",
)

TABLES: Final = ("workflows", "steps", "waits", "attempts", "failures", "parked_views", "tallies")

_MAKE: Final = "CREATE TABLE IF NOT EXISTS "

ARCHIVED_FAILURES: Final = "archived_failures"
ARCHIVED: Final = "views-archived"
"""Name of the row in the table of positions that counts the transactions which archived workflows."""

_ARCHIVED: Final = """CREATE TABLE IF NOT EXISTS archived_failures (
        fingerprint TEXT PRIMARY KEY, activity TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
        number BIGINT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL)"""
"""What workflows that were archived had added to `failures`, where it stays: whoever folds the log anew adds it."""

SCHEMA: Final[tuple[str, ...]] = (
    *_LIVE,
    _ARCHIVED,
    *(one.replace(_MAKE, f"{_MAKE}{SHADOW_PREFIX}", 1) for one in _LIVE if one.startswith(_MAKE)),
)
"""All tables: each view's, and beside it the one of the same shape that a rebuild folds into."""

WORKFLOW_COLUMNS: Final = (
    "workflow_id", "version", "definition", "definition_version", "goal", "status", "waits", "requested_by", "tags",
    "parent_workflow", "forked_from", "started_at", "changed_at", "ended_at", "deadline_at", "reason", "step_count",
    "settled_count", "attempts", "standing", "since", "since_minute", "look_at", "stuck_cause", "stuck_since",
    "stuck_step", "stuck_key",
)  # fmt: skip
STEP_COLUMNS: Final = (
    "workflow_id", "step", "number", "kind", "activity", "status", "attempts", "generation", "failure", "worker",
    "scheduled_at", "started_at", "finished_at", "fingerprint",
)  # fmt: skip
WAIT_COLUMNS: Final = ("workflow_id", "key", "step", "reason", "definition", "name", "since", "due_at")
ATTEMPT_COLUMNS: Final = (
    "workflow_id", "step", "kind", "attempt", "activity", "outcome", "scheduled_at", "started_at", "ended_at", "worker",
    "failure", "fingerprint",
)  # fmt: skip
FAILURE_COLUMNS: Final = ("fingerprint", "activity", "kind", "message", "number", "first_seen", "last_seen")
JUDGED: Final = frozenset({"look_at", "stuck_cause", "stuck_since", "stuck_step", "stuck_key"})
"""Columns of `workflows` that are judged now and then, beside what its events say."""
