"""Reading the read models; who may read which rows is decided before."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import dict_row

from maplebridge.errors import InputError
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "queries.sql")
READ_MODELS = {
    "cases": "cases",
    "community_hour_tallies": "tallies",
    "warnings": "warnings",
}
"""Read model -> the statement that reads it."""

Row = dict[str, Any]


def read_model(
    connection: psycopg.Connection[Any],
    name: str,
    *,
    prefix: str,
    former: Collection[str] = (),
    case_ref: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int | None = None,
) -> list[Row]:
    """Return rows of a read model in the communities whose codes begin with `prefix`.

    former: other codes under which events of these communities stand, from before a split
    or a merger.
    limit: None for all. case_ref: one case only, with its history. since, until: hours of
    the tallies, half open.
    Raises InputError if there is no such read model.
    """
    if name not in READ_MODELS:
        raise InputError(
            f"there is no read model {name}.", todo=f"Read models: {', '.join(READ_MODELS)}."
        )
    wanted = {
        "prefix": prefix,
        "former": sorted(former),
        "case_ref": case_ref,
        "since": since,
        "until": until,
        "limit": limit,
    }
    rows = _rows(connection, READ_MODELS[name], wanted)
    if name == "cases" and case_ref is not None:
        for row in rows:
            row["history"] = _rows(connection, "history", {**wanted, "case_ref": row["case_ref"]})
    return rows


def dead_letters(connection: psycopg.Connection[Any], *, limit: int = 500) -> list[Row]:
    """Return which records were refused and why; the records are on `mb.dlq.<topic>`."""
    return _rows(connection, "dead_letters", {"limit": limit})


def totals(connection: psycopg.Connection[Any]) -> Mapping[str, int]:
    """Return how many events were combined and refused, warnings held, rows waiting to be sent."""
    return _rows(connection, "totals", {})[0]


def _rows(
    connection: psycopg.Connection[Any], statement: str, wanted: Mapping[str, Any]
) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(SQL[statement], wanted).fetchall()
