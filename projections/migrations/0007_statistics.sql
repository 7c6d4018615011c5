-- What statistics are made of: what callers answered, and whose matters they are. Rows from before
-- know none of it: a rebuild (`maplebridge projection rebuild --replace`) gives it to them.
-- subjects: key references of the persons of an event, which are random.
ALTER TABLE events
    ADD COLUMN contacted boolean,
    ADD COLUMN resolved boolean,
    ADD COLUMN subjects text[] NOT NULL DEFAULT '{}';
ALTER TABLE events ALTER COLUMN subjects DROP DEFAULT;
-- events come nearly in the order of time: a few bytes for every hundred pages
CREATE INDEX events_by_time ON events USING brin (occurred_at) WITH (pages_per_range = 32);
CREATE INDEX events_of_deadline ON events (due_at) WHERE event_type = 'responsibility.task';
