-- Answers that were given under an idempotency key, in a file of the department's own.

-- name: schema
CREATE TABLE IF NOT EXISTS answers (
    number   INTEGER PRIMARY KEY,
    key      BLOB NOT NULL UNIQUE,   -- keyed digest of event type and key
    body     BLOB NOT NULL,          -- keyed digest of the body
    given_at REAL NOT NULL,
    answer   TEXT                    -- null until it was given
);
CREATE TABLE IF NOT EXISTS answers_secret (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    secret   BLOB NOT NULL
);

CREATE TABLE IF NOT EXISTS answers_checks (
    only_one INTEGER PRIMARY KEY CHECK (only_one = 1),
    count    INTEGER NOT NULL        -- grows, since SQLite writes no page that stays the same
);

-- name: check
INSERT INTO answers_checks VALUES (1, 1)
ON CONFLICT (only_one) DO UPDATE SET count = count + 1;

-- name: make_secret
INSERT OR IGNORE INTO answers_secret VALUES (1, ?);

-- name: secret
SELECT secret FROM answers_secret;

-- name: find
SELECT body, answer FROM answers WHERE key = ?;

-- name: reserve
INSERT INTO answers (key, body, given_at) VALUES (?, ?, ?);

-- name: give
UPDATE answers SET answer = ? WHERE key = ?;

-- name: prune
DELETE FROM answers
WHERE given_at < :oldest OR number IN (
    SELECT number FROM (
        SELECT number, row_number() OVER newest AS place,
               sum(length(coalesce(answer, ''))) OVER newest AS size
        FROM answers WINDOW newest AS (ORDER BY number DESC)
    ) WHERE place > :most OR size > :most_chars
);
