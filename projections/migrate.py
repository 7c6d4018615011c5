"""Migrations of the projections' tables, applied in order and once."""

from __future__ import annotations

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


@cache
def newest(folder: Traversable = MIGRATIONS) -> str:
    """Return the name of the last migration that this build knows."""
    return _files(folder)[-1].name


def _files(folder: Traversable) -> list[Traversable]:
    found = (each for each in folder.iterdir() if each.name.endswith(".sql"))
    return sorted(found, key=lambda each: each.name)


def migrate(
    connection: psycopg.Connection[Any],
    *,
    schema: str = SCHEMA,
    folder: Traversable = MIGRATIONS,
) -> list[str]:
    """Apply to `schema` what is missing, as the database's owner; return the names applied.

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
        missing = [file for file in _files(folder) if file.name not in done]
        if done and missing:
            # a worker holds it from the moment it advances its offsets to its commit
            connection.execute("LOCK TABLE offsets IN EXCLUSIVE MODE")
        for file in missing:
            connection.execute(cast(Query, file.read_text(encoding="utf-8")))
            connection.execute("INSERT INTO migrations (name) VALUES (%s)", (file.name,))
        return [file.name for file in missing]


def drop(connection: psycopg.Connection[Any], *, schema: str) -> None:
    """Remove a schema that `migrate` made, with all its rows."""
    connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
