"""Migrations of the projections' tables, applied in order and once."""

from __future__ import annotations

from collections.abc import Collection
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, cast

import psycopg
from psycopg.abc import Query
from psycopg.sql import SQL, Identifier

SCHEMA = "projections"
READERS = ("combine", "relay", "react", "deliver", "query")


def known_migrations() -> list[str]:
    """Return the names of all migrations, in their order."""
    return sorted(each.name for each in _folder().iterdir() if each.name.endswith(".sql"))


def migrate(
    connection: psycopg.Connection[Any],
    *,
    schema: str = SCHEMA,
    only: Collection[str] | None = None,
) -> list[str]:
    """Apply to `schema` what is missing, as the database's owner; return the names applied.

    only: none but these, for tables as they once were.
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
        done = {row[0] for row in connection.execute("SELECT name FROM migrations")}
        applied = []
        for migration in known_migrations():
            if migration not in done and (only is None or migration in only):
                text = _folder().joinpath(migration).read_text(encoding="utf-8")
                connection.execute(cast(Query, text))
                connection.execute("INSERT INTO migrations (name) VALUES (%s)", (migration,))
                applied.append(migration)
        return applied


def drop(connection: psycopg.Connection[Any], *, schema: str) -> None:
    """Remove a schema that `migrate` made, with all its rows."""
    connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))


def _folder() -> Traversable:
    return files("maplebridge.projections").joinpath("migrations")
