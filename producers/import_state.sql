-- Which rows of which files were accepted, in the department's store.

-- name: schema
CREATE TABLE IF NOT EXISTS imported (
    event_id BLOB PRIMARY KEY,      -- the 16 bytes of the UUID
    digest   BLOB NOT NULL          -- keyed digest of what the row said, 16 bytes
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS import_secret (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    secret   BLOB NOT NULL
);

-- name: make_secret
INSERT OR IGNORE INTO import_secret VALUES (1, ?);

-- name: secret
SELECT secret FROM import_secret;

-- name: find
SELECT digest FROM imported WHERE event_id = ?;

-- name: add
INSERT OR IGNORE INTO imported VALUES (?, ?);
