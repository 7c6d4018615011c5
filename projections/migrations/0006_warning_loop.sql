-- The closed loop of a warning: before whom it was put, what was answered, and how far it climbed.
-- What a warning counts is events of any kind.
ALTER TABLE warnings RENAME COLUMN orders TO events;
ALTER TABLE window_warnings RENAME COLUMN orders TO events;

CREATE TABLE warning_pushes (
    warning_id uuid        NOT NULL,
    level      text        NOT NULL,
    unit       text        NOT NULL,
    pushed_at  timestamptz NOT NULL,
    answer_by  timestamptz,
    PRIMARY KEY (warning_id, level)
);

-- answers that nobody took back
CREATE TABLE warning_responses (
    event_id    uuid        NOT NULL,
    department  text        NOT NULL,
    warning_id  uuid        NOT NULL,
    transition  text        NOT NULL,
    occurred_at timestamptz NOT NULL,
    PRIMARY KEY (event_id, department)
);
CREATE INDEX warning_responses_of_warning ON warning_responses (warning_id);

-- react's own: the level a warning was last pushed to, and when it is to be looked at next
CREATE TABLE window_climbs (
    warning_id uuid        PRIMARY KEY,
    level      text,
    due_at     timestamptz NOT NULL,
    waiting    boolean     NOT NULL
);
CREATE INDEX window_climbs_waiting ON window_climbs (due_at) WHERE waiting;

GRANT SELECT, INSERT ON warning_pushes TO mb_combine;
GRANT SELECT, INSERT, DELETE ON warning_responses TO mb_combine;
GRANT SELECT ON warning_pushes, warning_responses TO mb_query;
GRANT SELECT ON warning_responses TO mb_react;
GRANT SELECT, INSERT, UPDATE ON window_climbs TO mb_react;
