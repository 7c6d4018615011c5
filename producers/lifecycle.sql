-- What this department itself has sent of each case, in the department's store.

-- name: schema
CREATE TABLE IF NOT EXISTS lifecycle_steps (
    event_type  TEXT NOT NULL,
    case_ref    TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,       -- microseconds since 1970
    event_id    TEXT NOT NULL,
    transition  TEXT NOT NULL,
    PRIMARY KEY (event_type, case_ref, occurred_at, event_id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS lifecycle_event ON lifecycle_steps (event_id);
CREATE TABLE IF NOT EXISTS lifecycle_aside (    -- of events that were refused and put aside
    event_type  TEXT NOT NULL,
    case_ref    TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    event_id    TEXT NOT NULL,
    transition  TEXT NOT NULL,
    PRIMARY KEY (event_id, event_type, case_ref, occurred_at)
) WITHOUT ROWID;

-- name: steps
SELECT occurred_at, event_id, transition FROM lifecycle_steps
WHERE event_type = ? AND case_ref = ? ORDER BY occurred_at, event_id;

-- name: every
SELECT event_type, case_ref, occurred_at, event_id, transition FROM lifecycle_steps;

-- name: case
SELECT event_type, case_ref FROM lifecycle_steps WHERE event_id = ? LIMIT 1;

-- name: told
SELECT event_type, transition FROM lifecycle_steps WHERE event_id = ? LIMIT 1;

-- name: add
INSERT OR IGNORE INTO lifecycle_steps VALUES (?, ?, ?, ?, ?);

-- name: remove
DELETE FROM lifecycle_steps WHERE event_id = ?;

-- name: put_aside
INSERT OR IGNORE INTO lifecycle_aside SELECT * FROM lifecycle_steps WHERE event_id = ?;

-- name: bring_back
INSERT OR IGNORE INTO lifecycle_steps SELECT * FROM lifecycle_aside WHERE event_id = ?;

-- name: discard
DELETE FROM lifecycle_aside WHERE event_id = ?;
