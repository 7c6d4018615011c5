-- The key broker's database. Run by the administrator; safe to run again.
-- Every secret in it is wrapped, under what is in a file: root > epoch > department > master,
-- identifier.
CREATE SCHEMA IF NOT EXISTS keys;

-- The secrets of an epoch are in its file.
CREATE TABLE IF NOT EXISTS keys.epoch (
    epoch      text PRIMARY KEY,        -- ISO week, 2026-W47
    public_key text NOT NULL,           -- what departments wrap new masters to
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What the service may do for an epoch: begin this week's, once, by the database's clock.
CREATE OR REPLACE FUNCTION keys.begin_epoch(week text, public_key text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
AS $$
    INSERT INTO keys.epoch (epoch, public_key)
    SELECT week, begin_epoch.public_key
    WHERE week = to_char(now() AT TIME ZONE 'UTC', 'IYYY"-W"IW')
    ON CONFLICT DO NOTHING
$$;

-- kind: L3 and L4 for masters of that grade domain, subjects for identifiers.
CREATE TABLE IF NOT EXISTS keys.department_key (
    epoch      text NOT NULL REFERENCES keys.epoch,
    department text NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('L3', 'L4', 'subjects')),
    wrapped    bytea NOT NULL,          -- under the epoch's key
    PRIMARY KEY (epoch, department, kind)
);

-- Whatever is wrapped names the key it is under, so no key goes while something needs it, and
-- nothing is stored under a key that is gone.
CREATE TABLE IF NOT EXISTS keys.master (
    key_id       bytea PRIMARY KEY CHECK (octet_length(key_id) = 16),
    version      bigint NOT NULL,
    department   text NOT NULL,
    key_ref      text NOT NULL,
    scope_kind   text NOT NULL CHECK (scope_kind IN ('subject', 'case')),
    grade_domain smallint NOT NULL CHECK (grade_domain IN (3, 4)),
    community    text NOT NULL,
    epoch        text NOT NULL,
    wrapped      bytea NOT NULL,        -- under the department's key of that grade domain
    received_at  timestamptz NOT NULL DEFAULT now(),
    kind         text NOT NULL
        GENERATED ALWAYS AS (CASE grade_domain WHEN 4 THEN 'L4' ELSE 'L3' END) STORED,
    FOREIGN KEY (epoch, department, kind) REFERENCES keys.department_key
);
CREATE INDEX IF NOT EXISTS master_by_subject ON keys.master (department, key_ref);
CREATE INDEX IF NOT EXISTS master_by_epoch ON keys.master (epoch, department, kind);

CREATE TABLE IF NOT EXISTS keys.subject (
    department text NOT NULL,
    key_ref    text NOT NULL,
    scope_kind text NOT NULL,
    epoch      text NOT NULL,
    wrapped    bytea NOT NULL,          -- the identifier, under the department's subjects key
    kind       text NOT NULL GENERATED ALWAYS AS ('subjects'::text) STORED,
    PRIMARY KEY (department, key_ref),
    FOREIGN KEY (epoch, department, kind) REFERENCES keys.department_key
);
CREATE INDEX IF NOT EXISTS subject_by_epoch ON keys.subject (epoch, department, kind);

CREATE TABLE IF NOT EXISTS keys.broker_secret (
    name    text PRIMARY KEY,
    wrapped bytea NOT NULL              -- under the root
);

-- Secrets are 256 random bits, so a plain hash gives no guess an advantage.
-- older: a renewed principal's secret before, until that ends.
CREATE TABLE IF NOT EXISTS keys.principal (
    name        text PRIMARY KEY,
    secret_hash bytea NOT NULL,
    older_hash  bytea,
    older_until timestamptz
);

-- Half of what opens a bundle; worth nothing without the code.
CREATE TABLE IF NOT EXISTS keys.bundle (
    bundle_id  uuid PRIMARY KEY,
    principal  text NOT NULL,
    share      bytea,                   -- null once given out, withdrawn or burnt
    proof_hash bytea NOT NULL,
    made_at    timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    grace      interval NOT NULL,       -- of the login before, from the opening on
    attempts   smallint NOT NULL DEFAULT 0,
    opened_at  timestamptz,
    -- what its principal logs in and signs with who has opened it, until that was ended
    kafka_mechanism text NOT NULL,
    signing_key_id  bytea NOT NULL,
    ended_at        timestamptz
);
CREATE INDEX IF NOT EXISTS bundle_by_principal ON keys.bundle (principal, made_at);

-- What else it may do for one: destroy it when its week is over, if nothing needs its keys.
-- The administrator may do so sooner.
CREATE OR REPLACE FUNCTION keys.destroy_epoch(week text)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog
AS $$ BEGIN
    IF session_user = 'mb_key_broker'
        AND (to_date(left(week, 8), 'IYYY"-W"IW') + 7)::timestamp AT TIME ZONE 'UTC' > now() THEN
        RAISE EXCEPTION 'epoch % is not over', week USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- whoever stores under its keys ends first: each of its rows locks one of them
    LOCK TABLE keys.department_key IN EXCLUSIVE MODE;
    DELETE FROM keys.department_key WHERE epoch = week;
    DELETE FROM keys.epoch WHERE epoch = week;
END $$;
-- An erasure from its request to its certificate. report: what was destroyed and what was left.
CREATE TABLE IF NOT EXISTS keys.erasure (
    erasure_id   uuid PRIMARY KEY,
    ground       text NOT NULL,
    officers     text[] NOT NULL,
    requested_at timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    at_once      boolean NOT NULL,      -- the epoch is turned for it
    announced    boolean NOT NULL DEFAULT false, -- the request is an event and an audit leaf
    number       bigint UNIQUE,         -- in the order of execution; null before
    executed_at  timestamptz,
    epochs       text[],                -- under whose keys a copy of what was destroyed may lie
    report       jsonb,
    certificate  text,
    completed    boolean NOT NULL DEFAULT false  -- the certificate is an event and an audit leaf
);

-- Whose: only until it is executed, since it says that subjects of several departments are one.
CREATE TABLE IF NOT EXISTS keys.erasure_subject (
    erasure_id uuid NOT NULL REFERENCES keys.erasure,
    department text NOT NULL,
    key_ref    text NOT NULL,
    PRIMARY KEY (erasure_id, department, key_ref)
);

-- References of which no master is taken in any more. erasure_id: until its certificate.
CREATE TABLE IF NOT EXISTS keys.erased_ref (
    department text NOT NULL,
    key_ref    text NOT NULL,
    erasure_id uuid REFERENCES keys.erasure,
    PRIMARY KEY (department, key_ref)
);
CREATE INDEX IF NOT EXISTS erased_ref_by_erasure ON keys.erased_ref (erasure_id);

-- Keys that are gone for good: who asks for one need not ask again.
CREATE TABLE IF NOT EXISTS keys.erased_master (key_id bytea PRIMARY KEY);

-- What may not be erased: a case (case_ref), or a subject (held_subject).
CREATE TABLE IF NOT EXISTS keys.hold (
    hold_id   uuid PRIMARY KEY,
    case_ref  text,
    basis     text NOT NULL,
    reason    text NOT NULL,
    until     timestamptz NOT NULL,
    officer   text NOT NULL,
    added_at  timestamptz NOT NULL DEFAULT now(),
    lifted_at timestamptz,
    lifted_by text
);
CREATE TABLE IF NOT EXISTS keys.held_subject (
    hold_id    uuid NOT NULL REFERENCES keys.hold,
    department text NOT NULL,
    key_ref    text NOT NULL,
    PRIMARY KEY (hold_id, department, key_ref)
);

REVOKE ALL ON SCHEMA keys FROM PUBLIC;
GRANT USAGE ON SCHEMA keys TO mb_key_broker;
GRANT SELECT ON ALL TABLES IN SCHEMA keys TO mb_key_broker;
GRANT INSERT ON keys.department_key, keys.master, keys.subject, keys.erased_master TO mb_key_broker;
GRANT UPDATE (epoch, wrapped) ON keys.master, keys.subject TO mb_key_broker;
GRANT UPDATE (share, attempts, opened_at) ON keys.bundle TO mb_key_broker;
GRANT UPDATE (older_until) ON keys.principal TO mb_key_broker;
REVOKE ALL ON FUNCTION keys.begin_epoch, keys.destroy_epoch FROM PUBLIC;
GRANT EXECUTE ON FUNCTION keys.begin_epoch, keys.destroy_epoch TO mb_key_broker;
