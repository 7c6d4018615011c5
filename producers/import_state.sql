-- Which rows of which files were accepted, in the department's store.

-- name: schema
CREATE TABLE IF NOT EXISTS imported (
    event_id BLOB PRIMARY KEY,      -- the 16 bytes of the UUID
    digest   BLOB NOT NULL          -- keyed digest of what the row said, 16 bytes
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS imported_aside (  -- of events that were refused and put aside
    event_id BLOB PRIMARY KEY,
    digest   BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS import_secret (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    secret   BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS import_marks (
    source BLOB PRIMARY KEY,        -- digest of what is read, and for which events
    mark   TEXT NOT NULL            -- where its last import ended
) WITHOUT ROWID;

-- name: run_schema
CREATE TEMP TABLE IF NOT EXISTS import_read (   -- rows that the run at work has read
    event_id BLOB PRIMARY KEY
) WITHOUT ROWID;
DELETE FROM import_read;

-- name: note_read
INSERT OR IGNORE INTO import_read VALUES (?);

-- name: was_read
SELECT 1 FROM import_read WHERE event_id = ?;

-- name: make_secret
INSERT OR IGNORE INTO import_secret VALUES (1, ?);

-- name: secret
SELECT secret FROM import_secret;

-- name: set_secret
UPDATE import_secret SET secret = ?;

-- name: every
SELECT event_id, digest FROM imported;

-- name: find
-- :ids holds 16 bytes for each
WITH RECURSIVE numbers(n) AS (
    SELECT 0 WHERE length(:ids) > 0
    UNION ALL
    SELECT n + 1 FROM numbers WHERE (n + 1) * 16 < length(:ids)
)
SELECT event_id, digest
FROM numbers CROSS JOIN imported ON event_id = substr(:ids, n * 16 + 1, 16);

-- name: add
INSERT OR IGNORE INTO imported VALUES (?, ?);

-- name: remove
DELETE FROM imported WHERE event_id = ?;

-- name: put_aside
INSERT OR REPLACE INTO imported_aside SELECT * FROM imported WHERE event_id = ?;

-- name: bring_back
INSERT OR IGNORE INTO imported SELECT * FROM imported_aside WHERE event_id = ?;

-- name: discard
DELETE FROM imported_aside WHERE event_id = ?;

-- name: mark
SELECT mark FROM import_marks WHERE source = ?;

-- name: set_mark
INSERT INTO import_marks VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET mark = excluded.mark;
