"""The schema of a database that has one file of SQL, applied when that has changed."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Identifier, Literal


def apply_schema(connection: psycopg.Connection[Any], name: str, text: LiteralString) -> None:
    """Run the statements that make the schema `name`, unless it was made by the very same.

    Most of them lock tables even where there is nothing to do, and would stop, or be stopped
    by, a service that runs. The schema's comment has the SHA-256 of what made it and of the
    database and the cluster it was made in: a dump has the comment, but not what the database
    itself permits.
    """
    with connection.transaction():
        database = connection.execute(
            "SELECT oid::text, (SELECT system_identifier::text FROM pg_control_system())"
            " FROM pg_database WHERE datname = current_database()"
        ).fetchone()
        digest = sha256(f"{database}\0{text}".encode()).hexdigest()
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('maplebridge.migrate'))")
        made = connection.execute(
            "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s",
            [name],
        ).fetchone()
        if made == (digest,):
            return
        connection.execute(text)
        connection.execute(
            SQL("COMMENT ON SCHEMA {} IS {}").format(Identifier(name), Literal(digest))
        )
