"""Reading the rows of a query against PostgreSQL: a cursor on the server, reading only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from maplebridge.errors import InputError, MappingInvalid, StoreUnavailable
from maplebridge.producers.mapping.source import QuerySource
from maplebridge.producers.postgresql_errors import not_connected
from maplebridge.producers.rejects import JsonRejects
from maplebridge.producers.sources.rows import SourceRow
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.producers.sources", "postgresql.sql")
CONNECT_TIMEOUT_S = 10
_ROWS_AT_ONCE = 2_000


class QueryRows:
    """The rows of one query, in one snapshot of the database."""

    share = None
    unseen: tuple[str, ...] = ()

    def __init__(self, source: QuerySource, *, mark: str, environment: Mapping[str, str]) -> None:
        """mark: that of an earlier run, or empty. The password is taken from the variable
        that the mapping names, else found by libpq (PGPASSWORD, ~/.pgpass).

        Raises StoreUnavailable, AccessDenied if the login is refused, MappingInvalid if
        PostgreSQL refuses the query.
        """
        self._source = source
        self._before = self.mark = mark
        self._greatest: Any = None
        self._connection = _connect(source, environment)
        info = self._connection.info
        self._address = f"{info.host}:{info.port}"
        self._cursor = self._connection.cursor(name="import_rows")
        self._cursor.itersize = _ROWS_AT_ONCE
        try:
            self._cursor.execute(self._statement())
            self.header = tuple(each.name for each in self._cursor.description or ())
        except psycopg.Error as exc:
            self.close()
            raise self._refused(exc) from exc

    def rejects(self, path: Path) -> JsonRejects:
        return JsonRejects(path)

    def close(self) -> None:
        with suppress(psycopg.Error):
            self._cursor.close()
        self._connection.close()

    def __iter__(self) -> Iterator[SourceRow]:
        since = self._source.since
        place = self.header.index(since.column) if since and since.column in self.header else None
        number = 0
        try:
            for values in self._cursor:
                number += 1
                if place is not None and values[place] is not None:
                    self._greatest = values[place]
                cells = [_cell(value) for value in values]
                yield SourceRow(number, cells, "", dict(zip(self.header, cells, strict=True)))
        except psycopg.Error as exc:
            raise self._refused(exc) from exc
        self.mark = self._next_mark()

    def _statement(self) -> sql.Composed:
        # the department's own, run as the department's own user, reading only
        inner = sql.SQL(self._source.query)
        since = self._source.since
        if since is None:
            return sql.SQL(SQL["all"]).format(query=inner)
        column = sql.Identifier(since.column)
        if not self._before:
            return sql.SQL(SQL["in_order"]).format(query=inner, column=column)
        return sql.SQL(SQL["since"]).format(
            query=inner, column=column, mark=sql.Literal(self._before)
        )

    def _next_mark(self) -> str:
        greatest, since = self._greatest, self._source.since
        if greatest is None or since is None:
            return self._before
        if isinstance(greatest, datetime | date):
            return (greatest - since.overlap).isoformat()
        return str(greatest)

    def _refused(self, exc: psycopg.Error) -> InputError | StoreUnavailable:
        if isinstance(exc, psycopg.OperationalError) and not exc.sqlstate:
            return StoreUnavailable(self._address, type(exc).__name__, todo=_TODO)
        # the server's message may hold values of rows
        return MappingInvalid(
            f"PostgreSQL refuses the query ({type(exc).__name__}, {exc.sqlstate}).",
            todo="Try it with psql as the same user.",
        )


def _connect(source: QuerySource, environment: Mapping[str, str]) -> psycopg.Connection[Any]:
    password = None
    if source.password_env:
        if not environment.get(source.password_env):
            raise InputError(
                f"the environment variable {source.password_env} is not set.",
                todo="The mapping says that it holds the database's password.",
            )
        password = environment[source.password_env]
    try:
        connection = psycopg.connect(
            source.connection, connect_timeout=CONNECT_TIMEOUT_S, password=password
        )
    except psycopg.OperationalError as exc:
        raise not_connected(exc, source.connection, todo=_TODO) from exc
    except psycopg.ProgrammingError as exc:
        raise MappingInvalid(
            "the connection in the mapping is no connection string of PostgreSQL.", todo=_TODO
        ) from exc
    connection.read_only = True
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    return connection


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if type(value) is str:
        return value.strip()
    if isinstance(value, Decimal):
        return int(value) if value.is_finite() and value == int(value) else str(value)
    if isinstance(value, bool | int | float | date | list | dict):
        return value
    return str(value)


_TODO = "Check the connection in the mapping, and the password in the environment."
