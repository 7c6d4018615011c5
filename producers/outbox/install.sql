-- What the relay of Maple Bridge needs beside the outbox table; run once by its owner, in one
-- transaction: no row can slip between the trigger and the rows that are already there.
BEGIN;

-- Which rows wait to be relayed, in the order in which their transactions were committed.
CREATE TABLE {queue} (
    position  bigint PRIMARY KEY,
    id        uuid NOT NULL,
    queued_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE SEQUENCE {sequence} OWNED BY {queue}.position;

-- Which rows were refused and why; never what they say.
CREATE TABLE {rejects} (
    id          uuid PRIMARY KEY,
    position    bigint NOT NULL,  -- where it stood in the queue: refused rows keep their order
    path        text NOT NULL,
    reason      text NOT NULL,
    rejected_at timestamptz NOT NULL DEFAULT now()
);

CREATE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    -- runs at COMMIT; PostgreSQL lets go of the lock only once the transaction is visible, so
    -- whoever takes the next position commits after this one, and is seen after it
    PERFORM pg_advisory_xact_lock({lock_class}, {queue_name}::regclass::oid::int4);
    INSERT INTO {queue} (position, id) VALUES (nextval({sequence_name}), NEW.{id});
    RETURN NULL;
END
$body$;
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;

CREATE CONSTRAINT TRIGGER {trigger}
AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION {function}();

-- In what order these were committed is not known any more: they go as the table holds them.
INSERT INTO {queue} (position, id) SELECT nextval({sequence_name}), {id} FROM {table};

GRANT USAGE ON SCHEMA {schema} TO {role};
GRANT {rights} ON {table} TO {role};
GRANT SELECT, INSERT, DELETE ON {queue}, {rejects} TO {role};
GRANT USAGE ON SEQUENCE {sequence} TO {role};
COMMIT;
