"""The ledger of released tables in PostgreSQL, which is only ever added to."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import psycopg
from psycopg.rows import dict_row

from maplebridge.errors import IntegrityError
from maplebridge.projections.releases.tables import Content
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections.releases", "ledger.sql")

Row = dict[str, Any]


def add(connection: psycopg.Connection[Any], content: Content) -> bool:
    """Freeze a table; False if there is one of its name, period and region already."""
    names = (
        "release_id", "table", "period", "region", "threshold", "noise", "noise_variance", "cells",
        "cells_withheld", "sha256",
    )  # fmt: skip
    wanted = {name: getattr(content, name) for name in names}
    row = connection.execute(SQL["add"], {**wanted, "content": content.encode()}).fetchone()
    return row is not None


def released(
    connection: psycopg.Connection[Any], table: str, period: str, region: str
) -> Content | None:
    """Return a frozen table, None if there is none.

    Raises IntegrityError if it is no longer what its hash says.
    """
    row = connection.execute(
        SQL["content"], {"table": table, "period": period, "region": region}
    ).fetchone()
    if row is None:
        return None
    content, told = row
    if sha256(content).hexdigest() != told:
        raise IntegrityError(
            f"the released table {table} of {period} is not what was frozen.",
            todo="Restore it from a backup; its hash is on mb.control.aggregate.released.",
        )
    return Content.decode(content)


def ledger(
    connection: psycopg.Connection[Any], region: str, *, limit: int | None = None
) -> list[Row]:
    """Return what was released of a region, without the tables themselves."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL["list"], {"region": region, "limit": limit}).fetchall()
