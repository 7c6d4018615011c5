"""Migrations of the projections' tables, applied in order and once."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, cast

import psycopg
from psycopg.abc import Query
from psycopg.sql import SQL, Identifier

SCHEMA = "projections"
READERS = ("combine", "relay", "react", "deliver", "query")


def migrate(connection: psycopg.Connection[Any], *, schema: str = SCHEMA) -> list[str]:
    """Apply to `schema` what is missing, as the database's owner; return the names applied."""
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
        folder = files("maplebridge.projections").joinpath("migrations")
        for file in sorted(folder.iterdir(), key=lambda each: each.name):
            if file.name.endswith(".sql") and file.name not in done:
                connection.execute(cast(Query, file.read_text(encoding="utf-8")))
                connection.execute("INSERT INTO migrations (name) VALUES (%s)", (file.name,))
                applied.append(file.name)
        return applied


def drop(connection: psycopg.Connection[Any], *, schema: str) -> None:
    """Remove a schema that `migrate` made, with all its rows."""
    connection.execute(SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(Identifier(schema)))
