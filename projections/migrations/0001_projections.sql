-- How far each consumer got, in the same transaction as what it made of it.
CREATE TABLE offsets (
    consumer    text   NOT NULL,
    topic       text   NOT NULL,
    partition   int    NOT NULL,
    next_offset bigint NOT NULL,
    epoch       bigint NOT NULL,
    PRIMARY KEY (consumer, topic, partition)
);

-- Every accepted event once: what makes a repeated one harmless, and the history of a case.
CREATE TABLE events (
    event_id    uuid        PRIMARY KEY,
    event_type  text        NOT NULL,
    department  text        NOT NULL,
    community   text        NOT NULL,
    case_ref    text,
    transition  text        NOT NULL,
    state       text,
    unit        text,
    occurred_at timestamptz NOT NULL
);
CREATE INDEX events_of_case ON events (case_ref);

-- What each department last said of a case: a register stamped (occurred_at, event_id).
CREATE TABLE case_parts (
    case_ref    text        NOT NULL,
    event_type  text        NOT NULL,
    department  text        NOT NULL,
    community   text        NOT NULL,
    transition  text        NOT NULL,
    state       text,
    unit        text,
    opened_at   timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    event_id    uuid        NOT NULL,
    events      int         NOT NULL,
    PRIMARY KEY (case_ref, event_type)
) WITH (fillfactor = 60);  -- a row changes with each event of its case: room to do so in place
CREATE INDEX case_parts_of_community ON case_parts (community text_pattern_ops);

-- Towns and counties are summed by code prefix when read, so workers never meet on one row.
CREATE TABLE community_hour_tallies (
    community  text        NOT NULL,
    hour       timestamptz NOT NULL,
    event_type text        NOT NULL,
    transition text        NOT NULL,
    category   text        NOT NULL,
    unit       text        NOT NULL,
    events     bigint      NOT NULL,
    PRIMARY KEY (community, hour, event_type, transition, category, unit)
);

-- What was last said of a warning: the greatest revision holds.
CREATE TABLE warnings (
    warning_id  uuid        PRIMARY KEY,
    rule        text        NOT NULL,
    community   text        NOT NULL,
    category    text        NOT NULL,
    severity    text        NOT NULL,
    window_from timestamptz NOT NULL,
    window_to   timestamptz NOT NULL,
    orders      int         NOT NULL,
    withdrawn   boolean     NOT NULL,
    revision    bigint      NOT NULL
);

-- What waits to go back to Kafka; a row goes when the broker has acknowledged it.
CREATE TABLE outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic   text  NOT NULL,
    key     bytea,
    value   bytea,
    headers jsonb
);

-- Which records were refused; the records themselves are on mb.dlq.<topic>.
CREATE TABLE dead_letters (
    topic     text   NOT NULL,
    partition int    NOT NULL,
    "offset"  bigint NOT NULL,
    reason    text   NOT NULL,
    path      text   NOT NULL,
    schema_id bigint,
    PRIMARY KEY (topic, partition, "offset")
);

-- The orders a reaction's windows are made of: a set, so their order of arrival does not matter.
CREATE TABLE window_orders (
    rule        text        NOT NULL,
    community   text        NOT NULL,
    category    text        NOT NULL,
    order_no    text        NOT NULL,
    event_id    uuid        NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (rule, community, category, order_no)
);
CREATE INDEX window_orders_by_time
    ON window_orders (rule, community, category, occurred_at);

-- The windows the rule holds to be warnings, so that it can tell what changed.
CREATE TABLE window_warnings (
    warning_id  uuid        PRIMARY KEY,
    rule        text        NOT NULL,
    community   text        NOT NULL,
    category    text        NOT NULL,
    window_from timestamptz NOT NULL,
    window_to   timestamptz NOT NULL,
    orders      int         NOT NULL
);
CREATE INDEX window_warnings_by_place
    ON window_warnings (rule, community, category, window_from);
CREATE SEQUENCE warning_revision;

GRANT SELECT, INSERT, UPDATE ON offsets, case_parts,
    community_hour_tallies, warnings TO mb_combine;
GRANT SELECT, INSERT ON events, dead_letters, outbox
    TO mb_combine;
GRANT SELECT, DELETE ON outbox TO mb_relay;
GRANT SELECT, INSERT, UPDATE ON window_orders TO mb_react;
GRANT SELECT, INSERT, UPDATE, DELETE ON window_warnings TO mb_react;
GRANT USAGE ON SEQUENCE warning_revision TO mb_react;
GRANT INSERT ON outbox TO mb_react;
GRANT SELECT ON events, case_parts,
    community_hour_tallies, warnings, dead_letters,
    offsets, outbox TO mb_query;
