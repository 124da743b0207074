-- The first migration: all tables, as they were when stores were first migrated.
--
-- It is frozen, for stores have it behind them: what changes afterwards is a migration of its own.

CREATE TABLE IF NOT EXISTS stored_events (
    id BIGSERIAL PRIMARY KEY, originator_id TEXT NOT NULL, originator_version BIGINT NOT NULL,
    topic TEXT NOT NULL, state BYTEA NOT NULL, UNIQUE (originator_id, originator_version));

CREATE TABLE IF NOT EXISTS stored_snapshots (
    originator_id TEXT, originator_version BIGINT, topic TEXT, state BYTEA,
    PRIMARY KEY (originator_id, originator_version));

CREATE TABLE IF NOT EXISTS store_facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS workflow_keys (workflow_id TEXT PRIMARY KEY, key TEXT NOT NULL);

CREATE TABLE IF NOT EXISTS positions (name TEXT PRIMARY KEY, position BIGINT NOT NULL);

CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL);

CREATE TABLE IF NOT EXISTS inbox (
    message_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    version BIGINT,
    digest TEXT,
    state TEXT NOT NULL,
    owner TEXT,
    lease_until DOUBLE PRECISION,
    issue_after DOUBLE PRECISION,
    issued BIGINT NOT NULL DEFAULT 0,
    issued_at DOUBLE PRECISION,
    expires_at DOUBLE PRECISION,
    queue TEXT,
    sender TEXT,
    cancel TEXT,
    limited TEXT,
    due_at DOUBLE PRECISION
);

CREATE INDEX IF NOT EXISTS inbox_claimed ON inbox (lease_until) WHERE state = 'claimed';

CREATE INDEX IF NOT EXISTS inbox_open ON inbox (issue_after) WHERE state = 'open';

CREATE INDEX IF NOT EXISTS inbox_expiring ON inbox (expires_at) WHERE state = 'open';

CREATE INDEX IF NOT EXISTS inbox_handed_over ON inbox (expires_at) WHERE state = 'handed_over';

CREATE INDEX IF NOT EXISTS inbox_limited ON inbox (limited) WHERE state = 'claimed' AND limited IS NOT NULL;

CREATE INDEX IF NOT EXISTS inbox_deferred ON inbox (limited, due_at) WHERE state = 'open' AND due_at IS NOT NULL;

CREATE TABLE IF NOT EXISTS activity_limits (
    name TEXT PRIMARY KEY,
    starts TEXT NOT NULL,
    outcomes BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    open_until DOUBLE PRECISION,
    mean_seconds DOUBLE PRECISION NOT NULL
);

CREATE TABLE IF NOT EXISTS timers (workflow_id TEXT PRIMARY KEY, due_at DOUBLE PRECISION, definition TEXT);

CREATE INDEX IF NOT EXISTS timers_due ON timers (due_at) WHERE due_at IS NOT NULL;

CREATE INDEX IF NOT EXISTS timers_definition ON timers (definition) WHERE definition IS NOT NULL;

CREATE TABLE IF NOT EXISTS subscriptions (
    workflow_id TEXT NOT NULL,
    step TEXT NOT NULL,
    name TEXT NOT NULL,
    correlation TEXT NOT NULL,
    PRIMARY KEY (workflow_id, step)
);

CREATE INDEX IF NOT EXISTS subscriptions_signal ON subscriptions (name, correlation);

CREATE TABLE IF NOT EXISTS signals (
    message_id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    correlation TEXT NOT NULL,
    payload TEXT NOT NULL,
    sender TEXT NOT NULL,
    kept_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL
);

CREATE INDEX IF NOT EXISTS signals_wanted ON signals (name, correlation, kept_at);

CREATE INDEX IF NOT EXISTS signals_expiring ON signals (expires_at);

CREATE TABLE IF NOT EXISTS signals_taken (
    message_id TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    PRIMARY KEY (message_id, workflow_id)
);

CREATE TABLE IF NOT EXISTS relay_parked (
    workflow_id TEXT NOT NULL,
    version BIGINT NOT NULL,
    reason TEXT NOT NULL,
    since DOUBLE PRECISION NOT NULL,
    tries BIGINT NOT NULL DEFAULT 0,
    next_try DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (workflow_id, version)
);

CREATE INDEX IF NOT EXISTS relay_parked_due ON relay_parked (next_try);

CREATE TABLE IF NOT EXISTS approvals_pending (
    workflow_id TEXT NOT NULL,
    step TEXT NOT NULL,
    version BIGINT NOT NULL,
    told BIGINT NOT NULL DEFAULT 1,
    tell_after DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (workflow_id, step)
);

CREATE INDEX IF NOT EXISTS approvals_pending_due ON approvals_pending (tell_after);

CREATE TABLE IF NOT EXISTS tokens (
    token_id TEXT PRIMARY KEY, name TEXT NOT NULL, roles TEXT NOT NULL, digest TEXT NOT NULL,
    created_by TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION, revoked_by TEXT);

CREATE TABLE IF NOT EXISTS dead_acts (
    act_id TEXT PRIMARY KEY, act TEXT NOT NULL, message_id TEXT NOT NULL, queue TEXT NOT NULL, fault TEXT NOT NULL,
    wire_type TEXT NOT NULL, exchange TEXT NOT NULL, routing_key TEXT NOT NULL, user_id TEXT NOT NULL,
    body_digest TEXT NOT NULL, body_bytes BIGINT NOT NULL, replays BIGINT NOT NULL, acted_by TEXT NOT NULL,
    reason TEXT NOT NULL, acted_at DOUBLE PRECISION NOT NULL);

CREATE INDEX IF NOT EXISTS dead_acts_by_time ON dead_acts (acted_at);

CREATE TABLE IF NOT EXISTS goals_held (
    receipt TEXT PRIMARY KEY, sender TEXT NOT NULL, message_id TEXT NOT NULL, digest TEXT NOT NULL,
    body TEXT NOT NULL, body_bytes BIGINT NOT NULL, held_at DOUBLE PRECISION NOT NULL, times BIGINT NOT NULL,
    next_try DOUBLE PRECISION NOT NULL);

CREATE INDEX IF NOT EXISTS goals_held_due ON goals_held (next_try);

CREATE TABLE IF NOT EXISTS workflows (
    workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, definition TEXT NOT NULL,
    definition_version TEXT NOT NULL, goal TEXT NOT NULL, status TEXT NOT NULL, waits TEXT NOT NULL,
    requested_by TEXT NOT NULL, tags TEXT NOT NULL, parent_workflow TEXT, forked_from TEXT, started_at TEXT,
    changed_at TEXT, ended_at TEXT, deadline_at TEXT, reason TEXT NOT NULL, step_count BIGINT NOT NULL,
    settled_count BIGINT NOT NULL, attempts BIGINT NOT NULL, standing TEXT NOT NULL);

CREATE INDEX IF NOT EXISTS workflows_begun ON workflows (started_at, workflow_id);

CREATE INDEX IF NOT EXISTS workflows_open ON workflows (workflow_id) WHERE ended_at IS NULL;

CREATE TABLE IF NOT EXISTS steps (
    workflow_id TEXT NOT NULL, step TEXT NOT NULL, number BIGINT NOT NULL, kind TEXT NOT NULL, activity TEXT,
    status TEXT NOT NULL, attempts BIGINT NOT NULL, generation BIGINT NOT NULL, failure TEXT, worker TEXT,
    scheduled_at TEXT, started_at TEXT, finished_at TEXT, PRIMARY KEY (workflow_id, step));

CREATE TABLE IF NOT EXISTS parked_views (
    workflow_id TEXT PRIMARY KEY, position BIGINT NOT NULL, error TEXT NOT NULL);
