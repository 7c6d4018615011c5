-- What this department has erased by order, in the department's store.

-- name: schema
CREATE TABLE IF NOT EXISTS erasures (
    erasure_id   TEXT PRIMARY KEY,
    next_offset  INTEGER NOT NULL,      -- where to read on, on the topic of orders
    masters      INTEGER NOT NULL,      -- how many were destroyed
    done_at      INTEGER NOT NULL,      -- microseconds since 1970
    acknowledged INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- name: next_offset
SELECT coalesce(max(next_offset), 0) FROM erasures;

-- name: done
-- An order that comes again is answered again, and destroys what came to be since.
INSERT INTO erasures (erasure_id, next_offset, masters, done_at)
VALUES (:erasure_id, :next_offset, :masters, :done_at)
ON CONFLICT (erasure_id) DO UPDATE SET
    next_offset = excluded.next_offset,
    masters = masters + excluded.masters,
    done_at = CASE WHEN excluded.masters THEN excluded.done_at ELSE done_at END,
    acknowledged = 0;

-- name: unanswered
SELECT erasure_id, masters, done_at FROM erasures WHERE NOT acknowledged ORDER BY next_offset;

-- name: answered
UPDATE erasures SET acknowledged = 1 WHERE erasure_id = ?;
