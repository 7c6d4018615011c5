"""Migrations of the projections' tables, applied in order and once."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, cast

import psycopg
from psycopg.abc import Query
from psycopg.sql import SQL, Identifier

SCHEMA = "projections"
READERS = ("combine", "relay", "react", "deliver", "query")
MIGRATIONS = files("maplebridge.projections").joinpath("migrations")


def known_migrations(folder: Traversable = MIGRATIONS) -> list[str]:
    """Return the names of all migrations, in their order."""
    return sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))


@cache
def newest() -> str:
    """Return the name of the last migration that this build knows."""
    return known_migrations()[-1]


def migrate(
    connection: psycopg.Connection[Any],
    *,
    schema: str = SCHEMA,
    only: Collection[str] | None = None,
    folder: Traversable = MIGRATIONS,
) -> list[str]:
    """Apply to `schema` what is missing, as the database's owner; return the names applied.

    only: none but these, for tables as they once were. folder: where migrations are.
    A worker that is writing meanwhile finishes its batch first, and then finds that the
    tables are another build's (see `ProjectionStore.write`).
    """
    name = Identifier(schema)
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('maplebridge.migrate'))")
        connection.execute(SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
        connection.execute(SQL("SET LOCAL search_path = {}, pg_temp").format(name))
        for reader in READERS:
            role = Identifier(f"mb_{reader}")
            connection.execute(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(name, role))
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations ("
            "name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        connection.execute(
            SQL("GRANT SELECT ON migrations TO {}").format(
                SQL(", ").join(Identifier(f"mb_{reader}") for reader in READERS)
            )
        )
        done = {row[0] for row in connection.execute("SELECT name FROM migrations")}
        applied = [
            each
            for each in known_migrations(folder)
            if each not in done and (only is None or each in only)
        ]
        if done and applied:
            # a worker holds it from the moment it advances its offsets to its commit
            connection.execute("LOCK TABLE offsets IN EXCLUSIVE MODE")
        for migration in applied:
            text = folder.joinpath(migration).read_text(encoding="utf-8")
            connection.execute(cast(Query, text))
            connection.execute("INSERT INTO migrations (name) VALUES (%s)", (migration,))
        return applied


def drop(connection: psycopg.Connection[Any], *, schema: str) -> None:
    """Remove a schema that `migrate` made, with all its rows."""
    connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
