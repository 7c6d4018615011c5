-- What a case across departments is judged by: who handles it, until when, whether it is done.
-- Rows from before know none of it: a rebuild (`maplebridge projection rebuild`)
-- gives it to them.
ALTER TABLE events
    ADD COLUMN level text,
    ADD COLUMN urgency text,
    ADD COLUMN due_at timestamptz,
    ADD COLUMN backfill boolean NOT NULL DEFAULT false;
ALTER TABLE events ALTER COLUMN backfill DROP DEFAULT;

-- Of the last event: level, urgency, due_at, backfill. begun_at: when the matter was last opened;
-- closed_at: when it was last closed; returned: how often a unit gave it back.
ALTER TABLE case_parts
    ADD COLUMN level text,
    ADD COLUMN urgency text,
    ADD COLUMN due_at timestamptz,
    ADD COLUMN backfill boolean NOT NULL DEFAULT false,
    ADD COLUMN begun_at timestamptz,
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN returned int NOT NULL DEFAULT 0;
ALTER TABLE case_parts ALTER COLUMN backfill DROP DEFAULT, ALTER COLUMN returned DROP DEFAULT;
