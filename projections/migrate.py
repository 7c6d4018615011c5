"""Migrations of the projections' database, applied in order and once."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, LiteralString, cast

import psycopg


def migrate(connection: psycopg.Connection[Any]) -> list[str]:
    """Apply what is missing, as the database's owner; return the names applied."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('maplebridge.migrate'))")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations ("
            "name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = {row[0] for row in connection.execute("SELECT name FROM migrations")}
        applied = []
        folder = files("maplebridge.projections").joinpath("migrations")
        for file in sorted(folder.iterdir(), key=lambda each: each.name):
            if not file.name.endswith(".sql") or file.name in done:
                continue
            connection.execute(cast(LiteralString, file.read_text(encoding="utf-8")))
            connection.execute("INSERT INTO migrations (name) VALUES (%s)", (file.name,))
            applied.append(file.name)
        return applied
