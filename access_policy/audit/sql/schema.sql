-- The audit log's database. Run by the administrator; safe to run again.
CREATE SCHEMA IF NOT EXISTS audit;

-- One row: how many leaves there are. Its lock is the sequencer: whoever holds
-- it gives the next indexes, and gives them up on commit, so there are no gaps.
CREATE TABLE IF NOT EXISTS audit.log (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    size bigint NOT NULL DEFAULT 0
);
INSERT INTO audit.log DEFAULT VALUES ON CONFLICT DO NOTHING;

-- `body` is the leaf. What is searched is generated from it, so it cannot say
-- anything else; one column, because each would parse the body again.
CREATE TABLE IF NOT EXISTS audit.leaf (
    index bigint PRIMARY KEY,
    leaf_hash bytea NOT NULL,
    body text NOT NULL,
    content jsonb GENERATED ALWAYS AS (body::jsonb) STORED
);
CREATE INDEX IF NOT EXISTS leaf_by_consumer
    ON audit.leaf ((content ->> 'on_behalf_of'), index);
CREATE INDEX IF NOT EXISTS leaf_by_time ON audit.leaf (((content ->> 'at')::bigint));

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
    tail bytea NOT NULL
);

-- What witnesses wrote below a checkpoint's note, a line each. Beside the note, because
-- they come later than it, and nothing that was written is changed.
CREATE TABLE IF NOT EXISTS audit.cosignature (
    size bigint NOT NULL,
    witness text NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (size, witness)
);

-- Appends leaves and returns the index of the first. The hash is computed here:
-- no writer can store one that is not its body's.
CREATE OR REPLACE FUNCTION audit.append(bodies text[], salts bytea[], commitments bytea[])
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    first bigint;
BEGIN
    IF coalesce(cardinality(bodies), 0) = 0
        OR cardinality(salts) <> cardinality(bodies)
        OR cardinality(commitments) <> cardinality(bodies) THEN
        RAISE EXCEPTION 'as many salts and commitments as bodies, and at least one';
    END IF;
    UPDATE audit.log SET size = size + cardinality(bodies)
        RETURNING size - cardinality(bodies) INTO STRICT first;
    INSERT INTO audit.leaf (index, leaf_hash, body)
        SELECT first + given.nth - 1,
            sha256('\x00'::bytea || convert_to(given.body, 'UTF8')),
            given.body
        FROM unnest(bodies) WITH ORDINALITY AS given (body, nth);
    INSERT INTO audit.cover (index, salt, commitments)
        SELECT first + given.nth - 1, given.salt, given.commitments
        FROM unnest(salts, commitments) WITH ORDINALITY AS given (salt, commitments, nth)
        WHERE given.salt IS NOT NULL;
    RETURN first;
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON FUNCTION audit.append(text[], bytea[], bytea[]) FROM PUBLIC;
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
GRANT SELECT ON audit.log, audit.leaf, audit.cover, audit.checkpoint, audit.cosignature
    TO mb_audit, mb_query;
GRANT INSERT ON audit.checkpoint, audit.cosignature TO mb_audit;
