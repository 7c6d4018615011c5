"""A copy of the projections' tables as they are at one moment, and the way back into empty ones.

Every table of the schema is in it, whatever migrations have made: read models, what was seen and
how far, what waits to be sent, the windows of rules, what was done about refused records.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg.sql import SQL as Statement
from psycopg.sql import Identifier
from pydantic import BaseModel, ConfigDict

from maplebridge.errors import InputError, IntegrityError
from maplebridge.projections.migrate import drop, known_migrations, migrate
from maplebridge.projections.store import offsets_of, state_hash
from maplebridge.projections.verify import snapshot
from maplebridge.sql import load_queries
from maplebridge.table_copies import TableCopy, check_copies, copy_in, copy_out

SQL = load_queries("maplebridge.projections", "backup.sql")
SCHEMA = "projections"
CONSUMER = "combine"

Offsets = dict[str, dict[int, int]]
"""topic -> partition -> next offset"""


class ProjectionsCopy(BaseModel):
    """What a copy holds.

    migrations: those its tables had. offsets: how far the record had been combined.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_at: datetime
    migrations: tuple[str, ...]
    tables: dict[str, TableCopy]
    offsets: Offsets
    state_hash: str


def copy_projections(
    connection: psycopg.Connection[Any],
    folder: Path,
    *,
    schema: str = SCHEMA,
    consumer: str = CONSUMER,
) -> ProjectionsCopy:
    """Write every table of `schema` to `folder`, all as of one moment; services go on meanwhile.

    connection: the administrator's, whose search path is `schema`.
    """
    with snapshot(connection):
        (made_at,) = connection.execute(SQL["made_at"]).fetchone() or (None,)
        return ProjectionsCopy(
            made_at=made_at,
            migrations=tuple(name for (name,) in connection.execute(SQL["migrations"])),
            tables={
                table: copy_out(connection, folder, schema, table, columns)
                for table, columns in _tables(connection, schema).items()
            },
            offsets=by_topic(offsets_of(connection, consumer)),
            state_hash=state_hash(connection),
        )


def check_projections(folder: Path, copied: ProjectionsCopy) -> None:
    """Raises IntegrityError if a file was altered or cut, InputError if the copy is too new."""
    unknown = sorted(set(copied.migrations) - set(known_migrations()))
    if unknown:
        raise InputError(
            f"the backup {folder} is of a newer version: {', '.join(unknown)}.",
            todo="Restore it with the version of Maple Bridge that made it, or a later one.",
        )
    check_copies(folder, copied.tables)


def refuse_unless_empty(connection: psycopg.Connection[Any], *, schema: str = SCHEMA) -> None:
    """Raises InputError if a table of `schema` has a row."""
    for table in _tables(connection, schema):
        row = Statement("SELECT EXISTS (SELECT FROM {})").format(Identifier(schema, table))
        if connection.execute(row).fetchone() == (True,):
            raise InputError(
                f"the projections are not empty: {table} has rows.",
                todo="Stop the services and restore into a new database; nothing was changed.",
            )


def restore_projections(
    connection: psycopg.Connection[Any],
    folder: Path,
    copied: ProjectionsCopy,
    *,
    schema: str = SCHEMA,
) -> list[str]:
    """Give empty tables the rows of a copy, in one transaction.

    Tables are made as they were for the copy and then migrated to today's; returns the
    migrations that this took. What is numbered goes on from the present microsecond: whatever
    number was given out after the copy is smaller. Raises InputError if the tables are not
    empty, IntegrityError if their state is not the copy's; nothing is changed then.
    """
    with connection.transaction():
        connection.execute(SQL["exclude"])
        refuse_unless_empty(connection, schema=schema)
        drop(connection, schema=schema)
        migrate(connection, schema=schema, only=copied.migrations)
        for table, told in copied.tables.items():
            copy_in(connection, folder, schema, table, told.columns)
        connection.execute(SQL["begin_sequences"], {"schema": schema})
        applied = migrate(connection, schema=schema)
        if not applied and state_hash(connection) != copied.state_hash:
            raise IntegrityError(
                f"the state that {folder} gives is not the one it was made of.",
                todo="Take another backup; nothing was restored.",
            )
    return applied


def by_topic(offsets: Mapping[tuple[str, int], int]) -> Offsets:
    """Return offsets of places as a copy writes them down."""
    found: Offsets = {}
    for (topic, partition), offset in sorted(offsets.items()):
        found.setdefault(topic, {})[partition] = offset
    return found


def _tables(connection: psycopg.Connection[Any], schema: str) -> dict[str, str]:
    """Return the tables that have rows of their own, with their columns."""
    return dict(connection.execute(SQL["tables"], {"schema": schema}).fetchall())
