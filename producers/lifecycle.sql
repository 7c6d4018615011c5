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

-- name: steps
SELECT occurred_at, event_id, transition FROM lifecycle_steps
WHERE event_type = ? AND case_ref = ? ORDER BY occurred_at, event_id;

-- name: add
INSERT OR IGNORE INTO lifecycle_steps VALUES (?, ?, ?, ?, ?);

-- name: remove
DELETE FROM lifecycle_steps WHERE event_type = ? AND case_ref = ? AND event_id = ?;
