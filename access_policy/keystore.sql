-- The masters of one department, in its own store. No identifier and no
-- secret is in plain: see keystore.py.

-- name: schema
CREATE TABLE IF NOT EXISTS key_subjects (
    subject_mac BLOB PRIMARY KEY,   -- HMAC-SHA-256 of scope kind and identifier, 16 bytes of it
    subject     INTEGER NOT NULL,
    key_ref     BLOB NOT NULL       -- random; the same in every community and grade domain
) WITHOUT ROWID;

-- Keyed by a growing number, so new masters are appended and not strewn over the file.
CREATE TABLE IF NOT EXISTS key_masters (
    subject      INTEGER NOT NULL,
    grade_domain INTEGER NOT NULL CHECK (grade_domain IN (3, 4)),
    community    TEXT NOT NULL,
    key_id       BLOB NOT NULL,
    version      INTEGER NOT NULL,
    sealed       BLOB NOT NULL,     -- nonce 12 || AES-256-GCM of the secret
    PRIMARY KEY (subject, grade_domain, community)
) WITHOUT ROWID;

-- Batches whose wrap Kafka has not acknowledged: wrapped anew, to the key of the day.
CREATE TABLE IF NOT EXISTS key_pending (
    number   INTEGER PRIMARY KEY,
    masters  INTEGER NOT NULL,
    sealed   BLOB NOT NULL          -- nonce 12 || AES-256-GCM of the batch
);

-- name: masters_of
-- ? holds references as JSON, in hexadecimal
SELECT key_id FROM key_masters WHERE subject IN (
    SELECT subject FROM key_subjects
    WHERE lower(hex(key_ref)) IN (SELECT value FROM json_each(?))
);

-- name: destroy_masters
DELETE FROM key_masters WHERE subject IN (
    SELECT subject FROM key_subjects
    WHERE lower(hex(key_ref)) IN (SELECT value FROM json_each(?))
);

-- name: forget_subjects
DELETE FROM key_subjects WHERE lower(hex(key_ref)) IN (SELECT value FROM json_each(?));

-- name: every_pending
SELECT number, masters, sealed FROM key_pending ORDER BY number;

-- name: drop_pending
DELETE FROM key_pending WHERE number = ?;

-- name: replace_pending
UPDATE key_pending SET masters = ?, sealed = ? WHERE number = ?;

-- name: masters_after
SELECT subject, grade_domain, community, key_id, sealed FROM key_masters
WHERE (subject, grade_domain, community) > (?, ?, ?)
ORDER BY subject, grade_domain, community LIMIT ?;

-- name: move_master
UPDATE key_masters SET sealed = ? WHERE subject = ? AND grade_domain = ? AND community = ?;
