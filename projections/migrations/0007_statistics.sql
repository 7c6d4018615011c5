-- What statistics are made of: what callers answered, and whose matters they are. Rows from before
-- know none of it: a rebuild (`maplebridge projection rebuild`) gives it to them.
-- subjects: key references of the persons of an event, which are random.
ALTER TABLE events
    ADD COLUMN contacted boolean,
    ADD COLUMN resolved boolean,
    ADD COLUMN subjects text[] NOT NULL DEFAULT '{}';
ALTER TABLE events ALTER COLUMN subjects DROP DEFAULT;
-- events come nearly in the order of time: a few bytes for every hundred pages
CREATE INDEX events_by_time ON events USING brin (occurred_at) WITH (pages_per_range = 32);
CREATE INDEX events_of_deadline ON events (due_at) WHERE event_type = 'responsibility.task';

-- Released tables, frozen: what was published once stays as it was. No rebuild touches them.
-- content: canonical JSON. sha256: of content, hex.
CREATE TABLE releases (
    release_id     text PRIMARY KEY,
    "table"        text NOT NULL,
    period         text NOT NULL,
    region         text NOT NULL,
    released_at    timestamptz NOT NULL DEFAULT now(),
    threshold      int NOT NULL,
    noise          text NOT NULL,
    noise_variance double precision NOT NULL,
    cells          int NOT NULL,
    cells_withheld int NOT NULL,
    sha256         text NOT NULL,
    content        bytea NOT NULL,
    UNIQUE ("table", period, region)
);
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a released table is never changed or deleted';
END $$;
CREATE TRIGGER frozen_rows BEFORE UPDATE OR DELETE ON releases
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER frozen_table BEFORE TRUNCATE ON releases
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
GRANT SELECT ON releases TO mb_query;
