-- Messages that wait for a process which has their workflow's definition.

CREATE TABLE IF NOT EXISTS messages_held (
    receipt TEXT PRIMARY KEY, queue TEXT NOT NULL, message_id TEXT NOT NULL, sender TEXT NOT NULL,
    definition TEXT NOT NULL, digest TEXT NOT NULL, properties TEXT NOT NULL, body TEXT NOT NULL,
    body_bytes BIGINT NOT NULL, held_at DOUBLE PRECISION NOT NULL, next_try DOUBLE PRECISION NOT NULL);

CREATE INDEX IF NOT EXISTS messages_held_wanted ON messages_held (definition, next_try);

CREATE INDEX IF NOT EXISTS messages_held_since ON messages_held (held_at);
