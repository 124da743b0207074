-- What is left of workflows that were archived, and what keeps their ids from being given again.

CREATE TABLE IF NOT EXISTS tombstones (
        workflow_id TEXT PRIMARY KEY, definition TEXT NOT NULL, definition_version TEXT NOT NULL, status TEXT NOT NULL,
        version BIGINT NOT NULL, head TEXT NOT NULL, began BIGINT NOT NULL, position BIGINT NOT NULL, started_at TEXT,
        ended_at TEXT NOT NULL, archived_at TEXT NOT NULL, archived_by TEXT NOT NULL, reason TEXT NOT NULL,
        file TEXT NOT NULL, root TEXT NOT NULL);

CREATE INDEX IF NOT EXISTS tombstones_began ON tombstones (began);

CREATE OR REPLACE FUNCTION stored_events_guard() RETURNS TRIGGER LANGUAGE plpgsql AS 'BEGIN IF EXISTS (SELECT 1 FROM tombstones WHERE workflow_id = NEW.originator_id) THEN RAISE EXCEPTION ''this workflow was archived'' USING ERRCODE = ''unique_violation''; END IF; RETURN NEW; END';

DO 'BEGIN IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgname = ''stored_events_guard'' AND tgrelid = ''stored_events''::regclass) THEN CREATE TRIGGER stored_events_guard BEFORE INSERT ON stored_events FOR EACH ROW EXECUTE FUNCTION stored_events_guard(); END IF; END';

CREATE TABLE IF NOT EXISTS archived_failures (
        fingerprint TEXT PRIMARY KEY, activity TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL,
        number BIGINT NOT NULL, first_seen TEXT NOT NULL, last_seen TEXT NOT NULL);

CREATE INDEX IF NOT EXISTS workflows_parent ON workflows (parent_workflow) WHERE parent_workflow IS NOT NULL;
