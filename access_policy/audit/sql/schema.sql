-- The audit log's database. Run by the administrator; safe to run again.
CREATE SCHEMA IF NOT EXISTS audit;

-- One row: how many leaves there are. Its lock is the sequencer: whoever holds
-- it gives the next indexes, and gives them up on commit, so there are no gaps.
-- `anchored`: the leaves behind the newest checkpoint that a quorum of witnesses co-signed.
-- `waiting_since`: no later than the oldest leaf that is not, NULL if all are.
CREATE TABLE IF NOT EXISTS audit.log (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    size bigint NOT NULL DEFAULT 0,
    anchored bigint NOT NULL DEFAULT 0,
    waiting_since timestamptz,
    quorum integer NOT NULL DEFAULT 0,
    overdue_s double precision NOT NULL DEFAULT 0
);
INSERT INTO audit.log DEFAULT VALUES ON CONFLICT DO NOTHING;

-- `body` is the leaf. What is searched stands beside it, read from it by audit.append, so no
-- writer can have it say anything else.
CREATE TABLE IF NOT EXISTS audit.leaf (
    index bigint PRIMARY KEY,
    leaf_hash bytea NOT NULL,
    body text NOT NULL,
    at bigint NOT NULL,
    who text NOT NULL,
    on_behalf_of text NOT NULL,
    resource text NOT NULL,
    decision text NOT NULL
);
CREATE INDEX IF NOT EXISTS leaf_by_consumer ON audit.leaf (on_behalf_of, index);
-- Leaves come nearly in the order of their times: a few pages tell where a time stands.
CREATE INDEX IF NOT EXISTS leaf_by_time ON audit.leaf USING brin (at);

-- Salted commitments to the rows a leaf covers. Beside the log, not in it: an
-- erasure deletes salts here and breaks no hash.
CREATE TABLE IF NOT EXISTS audit.cover (
    index bigint PRIMARY KEY,
    salt bytea NOT NULL,
    commitments bytea NOT NULL
);

-- `tail` repeats the hashes of the leaves since the previous checkpoint. The
-- signed root vouches for them, and they say exactly which leaf was altered.
CREATE TABLE IF NOT EXISTS audit.checkpoint (
    size bigint PRIMARY KEY,
    note text NOT NULL,
    frontier bytea NOT NULL,
    tail bytea NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- What witnesses wrote below a checkpoint's note, a line each. Beside the note, because
-- they come later than it, and nothing that was written is changed.
CREATE TABLE IF NOT EXISTS audit.cosignature (
    size bigint NOT NULL,
    witness text NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (size, witness)
);
-- A checkpoint's note with the lines of the witnesses that co-signed it.
CREATE OR REPLACE VIEW audit.cosigned_checkpoint AS
SELECT size,
    note || coalesce(
        (SELECT string_agg(line, '' ORDER BY witness)
        FROM audit.cosignature WHERE cosignature.size = checkpoint.size),
        ''
    ) AS note,
    frontier, tail
FROM audit.checkpoint;

-- How far the log has been brought to Kafka: the next leaf, the last checkpoint's size.
CREATE TABLE IF NOT EXISTS audit.relayed (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    leaves bigint NOT NULL DEFAULT 0,
    checkpoint bigint NOT NULL DEFAULT 0
);
INSERT INTO audit.relayed DEFAULT VALUES ON CONFLICT DO NOTHING;

-- Appends leaves and returns the index of the first. The hash is computed here:
-- no writer can store one that is not its body's. Every writer comes through here, so here
-- stands that nothing is appended, and so nothing released, while anchoring is overdue.
CREATE OR REPLACE FUNCTION audit.append(bodies text[], salts bytea[], commitments bytea[])
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first bigint;
    since timestamptz;
    limit_s double precision;
    waited_s double precision;
BEGIN
    IF coalesce(cardinality(bodies), 0) = 0
        OR cardinality(salts) <> cardinality(bodies)
        OR cardinality(commitments) <> cardinality(bodies) THEN
        RAISE EXCEPTION 'as many salts and commitments as bodies, and at least one';
    END IF;
    UPDATE audit.log SET
        size = size + cardinality(bodies),
        waiting_since = coalesce(waiting_since, clock_timestamp())
        RETURNING size - cardinality(bodies), waiting_since, overdue_s
        INTO STRICT first, since, limit_s;
    IF limit_s > 0 THEN
        waited_s := extract(epoch FROM clock_timestamp() - since);
        -- below zero the clock went back: how long it has been is not known
        IF waited_s NOT BETWEEN 0 AND limit_s THEN
            RAISE EXCEPTION '%', round(waited_s) USING ERRCODE = 'MB001';
        END IF;
    END IF;
    INSERT INTO audit.leaf (index, leaf_hash, body, at, who, on_behalf_of, resource, decision)
        SELECT first + given.nth - 1,
            sha256('\x00'::bytea || convert_to(given.body, 'UTF8')),
            given.body,
            said.*
        FROM unnest(bodies) WITH ORDINALITY AS given (body, nth),
            LATERAL json_to_record(given.body::json) AS said (
                at bigint, who text, on_behalf_of text, resource text, decision text
            );
    INSERT INTO audit.cover (index, salt, commitments)
        SELECT first + given.nth - 1, given.salt, given.commitments
        FROM unnest(salts, commitments) WITH ORDINALITY AS given (salt, commitments, nth)
        WHERE given.salt IS NOT NULL;
    RETURN first;
END
$$;

-- Notes how far checkpoints reach that have their quorum. The signatures themselves were
-- checked by whoever stored them, and are checked again by whoever verifies.
CREATE OR REPLACE FUNCTION audit.anchor() RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    needed integer;
    reached bigint;
    newest record;
BEGIN
    SELECT quorum, anchored INTO STRICT needed, reached FROM audit.log;
    SELECT checkpoint.size, checkpoint.signed_at INTO newest
        FROM audit.checkpoint
        WHERE checkpoint.size > reached AND needed <= (
            SELECT count(*) FROM audit.cosignature WHERE cosignature.size = checkpoint.size
        )
        ORDER BY checkpoint.size DESC LIMIT 1;
    IF FOUND THEN
        UPDATE audit.log SET
            anchored = newest.size,
            waiting_since = CASE WHEN size > newest.size THEN newest.signed_at END;
    END IF;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.append(text[], bytea[], bytea[]), audit.anchor() FROM PUBLIC;
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO mb_audit, mb_key_broker, mb_deliver, mb_query',
        current_database()
    );
END
$$;
GRANT USAGE ON SCHEMA audit TO mb_audit, mb_key_broker, mb_deliver, mb_query;
GRANT EXECUTE ON FUNCTION audit.append(text[], bytea[], bytea[])
    TO mb_key_broker, mb_deliver, mb_query;
GRANT SELECT ON audit.log, audit.leaf, audit.cover, audit.checkpoint, audit.cosignature,
    audit.cosigned_checkpoint
    TO mb_audit, mb_query;
GRANT INSERT ON audit.checkpoint, audit.cosignature TO mb_audit;
GRANT EXECUTE ON FUNCTION audit.anchor() TO mb_audit;
GRANT SELECT, UPDATE ON audit.relayed TO mb_audit;
