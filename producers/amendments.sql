-- What this department's own events correct or retract, in the department's store.

-- name: schema
CREATE TABLE IF NOT EXISTS amendments (
    amending_id TEXT NOT NULL UNIQUE,
    target_id   TEXT NOT NULL,
    retracts    INTEGER NOT NULL,               -- 0 where it takes the place of its target
    aside       INTEGER NOT NULL DEFAULT 0      -- 1 while it was refused and is put aside
);
CREATE INDEX IF NOT EXISTS amendments_target ON amendments (target_id);

-- name: corrected_by
SELECT amending_id FROM amendments
WHERE target_id = ? AND NOT retracts AND NOT aside ORDER BY rowid DESC LIMIT 1;

-- name: retracted_by
SELECT amending_id FROM amendments WHERE target_id = ? AND retracts AND NOT aside LIMIT 1;

-- name: target
SELECT target_id FROM amendments WHERE amending_id = ?;

-- name: add
INSERT INTO amendments (amending_id, target_id, retracts) VALUES (?, ?, ?)
ON CONFLICT (amending_id) DO UPDATE SET aside = 0;

-- name: set_aside
UPDATE amendments SET aside = ? WHERE amending_id = ?;

-- name: discard
DELETE FROM amendments WHERE amending_id = ? AND aside;

-- name: every
SELECT amending_id, target_id, retracts FROM amendments WHERE NOT aside ORDER BY rowid;
