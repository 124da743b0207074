-- Payloads may be covered: of each workflow the key that covers them, wrapped, and what is left of those erased.

ALTER TABLE workflow_keys ADD COLUMN IF NOT EXISTS key_id TEXT;

ALTER TABLE workflow_keys ADD COLUMN IF NOT EXISTS wrapped TEXT;

ALTER TABLE workflow_keys ADD COLUMN IF NOT EXISTS clear_upto BIGINT;

CREATE TABLE IF NOT EXISTS erasures (
    workflow_id TEXT PRIMARY KEY, version BIGINT NOT NULL, erased_at DOUBLE PRECISION NOT NULL,
    erased_by TEXT NOT NULL, reason TEXT NOT NULL, left_over TEXT NOT NULL);
