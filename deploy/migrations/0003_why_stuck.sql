-- The views tell what every workflow is held by, since when, and why it is stuck; they begin again at the first event.

ALTER TABLE workflows ADD COLUMN IF NOT EXISTS since TEXT;

ALTER TABLE workflows ADD COLUMN IF NOT EXISTS since_minute BIGINT;

ALTER TABLE workflows ADD COLUMN IF NOT EXISTS look_at TEXT;

ALTER TABLE workflows ADD COLUMN IF NOT EXISTS stuck_cause TEXT;

ALTER TABLE workflows ADD COLUMN IF NOT EXISTS stuck_since TEXT;

ALTER TABLE workflows ADD COLUMN IF NOT EXISTS stuck_step TEXT;

ALTER TABLE workflows ADD COLUMN IF NOT EXISTS stuck_key TEXT;

ALTER TABLE steps ADD COLUMN IF NOT EXISTS fingerprint TEXT;

CREATE INDEX IF NOT EXISTS workflows_oldest ON workflows (definition, since_minute) WHERE ended_at IS NULL;

CREATE INDEX IF NOT EXISTS workflows_to_look_at ON workflows (look_at) WHERE look_at IS NOT NULL;

CREATE INDEX IF NOT EXISTS workflows_stuck ON workflows (stuck_since, workflow_id) WHERE stuck_cause IS NOT NULL;

CREATE INDEX IF NOT EXISTS steps_failed ON steps (fingerprint, workflow_id) WHERE status = 'failed';

CREATE TABLE IF NOT EXISTS waits (
        workflow_id TEXT NOT NULL, key TEXT NOT NULL, step TEXT NOT NULL, reason TEXT NOT NULL,
        definition TEXT NOT NULL, name TEXT NOT NULL, since TEXT NOT NULL, due_at TEXT,
        PRIMARY KEY (workflow_id, key));

CREATE INDEX IF NOT EXISTS waits_by_reason ON waits (reason, definition, since);

CREATE INDEX IF NOT EXISTS waits_due ON waits (due_at) WHERE due_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS attempts (
        workflow_id TEXT NOT NULL, step TEXT NOT NULL, kind TEXT NOT NULL, attempt BIGINT NOT NULL,
        activity TEXT NOT NULL, outcome TEXT NOT NULL, scheduled_at TEXT, started_at TEXT, ended_at TEXT NOT NULL,
        worker TEXT, failure TEXT, fingerprint TEXT, PRIMARY KEY (workflow_id, step, kind, attempt));

CREATE INDEX IF NOT EXISTS attempts_by_outcome ON attempts (outcome, ended_at) WHERE outcome = 'dead_lettered';

CREATE TABLE IF NOT EXISTS failures (
        fingerprint TEXT PRIMARY KEY, activity TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
        number BIGINT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS replay_mismatches (
        workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, words TEXT NOT NULL, since TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS tallies (
        definition TEXT NOT NULL, status TEXT NOT NULL, cause TEXT NOT NULL, number BIGINT NOT NULL,
        PRIMARY KEY (definition, status, cause));

CREATE TABLE IF NOT EXISTS shadow_workflows (
        workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, definition TEXT NOT NULL,
        definition_version TEXT NOT NULL, goal TEXT NOT NULL, status TEXT NOT NULL, waits TEXT NOT NULL,
        requested_by TEXT NOT NULL, tags TEXT NOT NULL, parent_workflow TEXT, forked_from TEXT, started_at TEXT,
        changed_at TEXT, ended_at TEXT, deadline_at TEXT, reason TEXT NOT NULL, step_count BIGINT NOT NULL,
        settled_count BIGINT NOT NULL, attempts BIGINT NOT NULL, standing TEXT NOT NULL, since TEXT,
        since_minute BIGINT, look_at TEXT, stuck_cause TEXT, stuck_since TEXT, stuck_step TEXT, stuck_key TEXT);

CREATE TABLE IF NOT EXISTS shadow_steps (
        workflow_id TEXT NOT NULL, step TEXT NOT NULL, number BIGINT NOT NULL, kind TEXT NOT NULL, activity TEXT,
        status TEXT NOT NULL, attempts BIGINT NOT NULL, generation BIGINT NOT NULL, failure TEXT, worker TEXT,
        scheduled_at TEXT, started_at TEXT, finished_at TEXT, fingerprint TEXT, PRIMARY KEY (workflow_id, step));

CREATE TABLE IF NOT EXISTS shadow_waits (
        workflow_id TEXT NOT NULL, key TEXT NOT NULL, step TEXT NOT NULL, reason TEXT NOT NULL,
        definition TEXT NOT NULL, name TEXT NOT NULL, since TEXT NOT NULL, due_at TEXT,
        PRIMARY KEY (workflow_id, key));

CREATE TABLE IF NOT EXISTS shadow_attempts (
        workflow_id TEXT NOT NULL, step TEXT NOT NULL, kind TEXT NOT NULL, attempt BIGINT NOT NULL,
        activity TEXT NOT NULL, outcome TEXT NOT NULL, scheduled_at TEXT, started_at TEXT, ended_at TEXT NOT NULL,
        worker TEXT, failure TEXT, fingerprint TEXT, PRIMARY KEY (workflow_id, step, kind, attempt));

CREATE TABLE IF NOT EXISTS shadow_failures (
        fingerprint TEXT PRIMARY KEY, activity TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
        number BIGINT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS shadow_parked_views (
        workflow_id TEXT PRIMARY KEY, position BIGINT NOT NULL, error TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS shadow_tallies (
        definition TEXT NOT NULL, status TEXT NOT NULL, cause TEXT NOT NULL, number BIGINT NOT NULL,
        PRIMARY KEY (definition, status, cause));
