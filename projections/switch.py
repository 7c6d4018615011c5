"""Putting tables that were built beside the live ones in their place."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.sql import SQL, Identifier

from maplebridge.projections.store import REBUILT

WAIT_MS = 1000


def switch_tables(connection: psycopg.Connection[Any], *, source: str) -> bool:
    """Put the tables of the schema `source` in the place of those of the same names.

    In the caller's transaction: whoever reads waits until it ends, and sees the new ones then.
    Returns False, with nothing changed, if somebody reads for longer than a second.
    """
    try:
        with connection.transaction():
            connection.execute(f"SET LOCAL lock_timeout = {WAIT_MS}")
            (own,) = connection.execute("SELECT current_schema()").fetchone() or (None,)
            for table in REBUILT:
                old, new = Identifier(table), Identifier(source, table)
                connection.execute(SQL("DROP TABLE {}").format(old))
                connection.execute(
                    SQL("ALTER TABLE {} SET SCHEMA {}").format(new, Identifier(str(own)))
                )
    except psycopg.errors.LockNotAvailable:
        return False
    return True
