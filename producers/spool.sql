-- What a department has accepted and Kafka has not acknowledged, in the department's store.
-- Bodies are Avro with the fields of L3 and L4 sealed; nothing of a person is in plain here.

-- name: schema
CREATE TABLE IF NOT EXISTS spool_streams (
    stream      INTEGER PRIMARY KEY,
    topic       TEXT NOT NULL,
    event_type  TEXT NOT NULL,
    ce_type     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    schema      TEXT NOT NULL,          -- so that what waits can be sent after an upgrade too
    schema_id   INTEGER,                -- the registry's, once it was asked
    UNIQUE (topic, fingerprint)
);
CREATE TABLE IF NOT EXISTS spool (
    seq         INTEGER PRIMARY KEY,    -- the order of acceptance
    stream      INTEGER NOT NULL,
    event_id    TEXT NOT NULL,
    event_key   TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,       -- microseconds since 1970
    body        BLOB NOT NULL           -- without frame, its last field `proof` null
);
CREATE TABLE IF NOT EXISTS spool_refused (
    seq         INTEGER PRIMARY KEY,
    stream      INTEGER NOT NULL,
    event_id    TEXT NOT NULL,
    event_key   TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    body        BLOB NOT NULL,
    refused_at  INTEGER NOT NULL,       -- microseconds since 1970
    reason      TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS remembered (
    name        TEXT PRIMARY KEY,
    value       TEXT NOT NULL
) WITHOUT ROWID;

-- name: totals
SELECT count(*), coalesce(sum(length(body)), 0), coalesce(max(seq), 0) FROM spool;

-- name: last_refused
SELECT coalesce(max(seq), 0) FROM spool_refused;

-- name: find_stream
SELECT stream FROM spool_streams WHERE topic = ? AND fingerprint = ?;

-- name: add_stream
INSERT INTO spool_streams (topic, event_type, ce_type, fingerprint, schema)
VALUES (?, ?, ?, ?, ?) RETURNING stream;

-- name: stream
SELECT topic, event_type, ce_type, schema, schema_id FROM spool_streams WHERE stream = ?;

-- name: set_schema_id
UPDATE spool_streams SET schema_id = ? WHERE stream = ?;

-- name: add
INSERT INTO spool VALUES (?, ?, ?, ?, ?, ?);

-- name: read
SELECT seq, stream, event_id, event_key, occurred_at, body FROM spool
WHERE seq > ? ORDER BY seq LIMIT ?;

-- name: remove
DELETE FROM spool WHERE seq BETWEEN ? AND ?;

-- name: refuse
INSERT INTO spool_refused
SELECT seq, stream, event_id, event_key, occurred_at, body, ?, ? FROM spool WHERE seq = ?;

-- name: refused
SELECT r.seq, r.event_id, s.event_type, r.refused_at, r.reason
FROM spool_refused AS r JOIN spool_streams AS s USING (stream) ORDER BY r.seq LIMIT ?;

-- name: count_refused
SELECT count(*) FROM spool_refused;

-- name: waiting
SELECT s.event_type, count(*), min(w.seq) FROM spool AS w JOIN spool_streams AS s USING (stream)
GROUP BY s.event_type ORDER BY s.event_type;

-- name: refused_with_id
SELECT seq FROM spool_refused WHERE event_id = ?;

-- name: find
SELECT seq FROM spool WHERE event_id IN (SELECT value FROM json_each(?));

-- name: holds
SELECT EXISTS (SELECT 1 FROM spool WHERE seq IN (SELECT value FROM json_each(?)));

-- name: fates
SELECT event_id, NULL FROM spool WHERE event_id IN (SELECT value FROM json_each(:ids))
UNION ALL
SELECT event_id, reason FROM spool_refused
WHERE event_id IN (SELECT value FROM json_each(:ids));

-- name: retry
INSERT INTO spool
SELECT ?, stream, event_id, event_key, occurred_at, body FROM spool_refused WHERE seq = ?;

-- name: discard
DELETE FROM spool_refused WHERE seq = ? RETURNING event_id;

-- name: recall
SELECT value FROM remembered WHERE name = ?;

-- name: remember
INSERT INTO remembered VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value;
