"""Reading a state of the projections as a whole, and where two states first differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import psycopg
from psycopg.sql import SQL as Statement
from psycopg.sql import Identifier

from maplebridge.projections.store import HASHED, REBUILT, SQL


@dataclass(frozen=True, slots=True)
class Difference:
    """The first row that a live and a replayed state do not have alike.

    key: its ids and codes. live, replayed: whether it is there.
    """

    table: str
    key: tuple[str, ...]
    live: bool
    replayed: bool


@contextmanager
def snapshot(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Read all tables as of one moment, and let none be switched meanwhile."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # before the first query: a table that is switched after that would seem to be empty
        tables = Statement(", ").join(map(Identifier, REBUILT))
        connection.execute(Statement("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))
        yield


def first_difference(
    live: psycopg.Connection[Any], replayed: psycopg.Connection[Any]
) -> Difference | None:
    """Return the first row, of the first table, that is in one state alone or differs."""
    for table, width in HASHED.items():
        statement = SQL[f"hash_{table}"]
        with (
            live.cursor().copy(statement) as one,
            replayed.cursor().copy(statement) as other,
        ):
            found = _first(table, width, one, other)
        if found is not None:
            return found
    return None


def _first(table: str, width: int, one: psycopg.Copy, other: psycopg.Copy) -> Difference | None:
    """Both are in the order of their keys, and are read to their ends: COPY is not left early."""
    found: Difference | None = None
    for row, replayed in zip_longest(one.rows(), other.rows()):
        if found is None and row != replayed:
            keys = [None if each is None else each[:width] for each in (row, replayed)]
            first = min(key for key in keys if key is not None)
            key = tuple(str(each) for each in first)
            found = Difference(table, key, keys[0] == first, keys[1] == first)
    return found
