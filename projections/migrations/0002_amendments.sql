-- What a retraction or a correction changes, which entry a repeated one repeats, and what an
-- administrator did about a dead letter. Rows from before know no category: a rebuild
-- (`maplebridge projection rebuild`) gives it to them.
ALTER TABLE events
    ADD COLUMN category text NOT NULL DEFAULT '',
    ADD COLUMN counted boolean NOT NULL DEFAULT true,
    ADD COLUMN repeats uuid;
ALTER TABLE events ALTER COLUMN category DROP DEFAULT;
CREATE INDEX events_repeating ON events (occurred_at) WHERE repeats IS NOT NULL;

-- Which event names which other as void: it has an effect if it is of the same department
-- and of the type it names.
CREATE TABLE amendments (
    target_id   uuid NOT NULL,
    amending_id uuid NOT NULL,
    department  text NOT NULL,
    event_type  text NOT NULL,
    PRIMARY KEY (target_id, amending_id)
);
CREATE INDEX amendments_by_event ON amendments (amending_id);

-- steps: the transitions there were; doubled: some entry repeats another, or may do so.
ALTER TABLE case_parts
    ADD COLUMN steps text[] NOT NULL DEFAULT '{}',
    ADD COLUMN doubled boolean NOT NULL DEFAULT true;
ALTER TABLE case_parts ALTER COLUMN steps DROP DEFAULT, ALTER COLUMN doubled DROP DEFAULT;

-- When the broker took the record.
ALTER TABLE dead_letters ADD COLUMN appended_at timestamptz;

-- What was done about a refused record; no rebuild touches it.
CREATE TABLE dead_letter_actions (
    topic      text        NOT NULL,
    partition  int         NOT NULL,
    "offset"   bigint      NOT NULL,
    state      text        NOT NULL,
    acted_by   text        NOT NULL,
    acted_at   timestamptz NOT NULL,
    note       text        NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

-- Every order that counts, also where one number was received twice; the earliest that was
-- not amended stands for its number.
ALTER TABLE window_orders ADD COLUMN department text NOT NULL DEFAULT 'hotline';
ALTER TABLE window_orders ALTER COLUMN department DROP DEFAULT;
ALTER TABLE window_orders DROP CONSTRAINT window_orders_pkey;
ALTER TABLE window_orders ADD PRIMARY KEY (rule, event_id);
CREATE INDEX window_orders_by_number ON window_orders (rule, community, category, order_no);
CREATE TABLE window_amendments (
    target_id   uuid NOT NULL,
    amending_id uuid NOT NULL,
    department  text NOT NULL,
    PRIMARY KEY (target_id, amending_id)
);

GRANT UPDATE (counted, repeats) ON events TO mb_combine;
GRANT SELECT, INSERT ON amendments TO mb_combine;
GRANT DELETE ON case_parts, community_hour_tallies TO mb_combine;
GRANT SELECT, INSERT ON window_amendments TO mb_react;
GRANT SELECT ON amendments, dead_letter_actions TO mb_query;
