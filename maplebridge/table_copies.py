"""Tables copied to files as PostgreSQL's COPY writes them, and back, with a checksum of each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import psycopg
from psycopg import sql
from pydantic import BaseModel, ConfigDict

from maplebridge.errors import InputError, IntegrityError

_CHUNK_BYTES = 1 << 20


class TableCopy(BaseModel):
    """What a table's file holds. columns: their names, with commas between."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: str
    rows: int
    sha256: str


def new_folder(folder: Path) -> None:
    """Make a folder for its owner alone; raises InputError if it is there."""
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise InputError(f"{folder} is there already.", todo="Name a new folder.") from None


def copy_out(
    connection: psycopg.Connection[Any], folder: Path, schema: str, table: str, columns: str
) -> TableCopy:
    """Write a table's rows to `<table>.copy`, on the disk when this returns."""
    # of a query, as a table with partitions has no rows of its own
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT").format(
        _names(columns), sql.Identifier(schema, table)
    )
    digest = hashlib.sha256()
    with _create(folder / f"{table}.copy") as file, connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for data in copy:
                digest.update(data)
                file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return TableCopy(columns=columns, rows=cursor.rowcount, sha256=digest.hexdigest())


def copy_in(
    connection: psycopg.Connection[Any], folder: Path, schema: str, table: str, columns: str
) -> None:
    query = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(schema, table), _names(columns)
    )
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for data in _chunks(folder / f"{table}.copy"):
            copy.write(data)


def check_copies(folder: Path, tables: Mapping[str, TableCopy]) -> None:
    """Raises IntegrityError if a file is missing or is not what it was when it was written."""
    for table, told in tables.items():
        digest = hashlib.sha256()
        for data in _chunks(folder / f"{table}.copy"):
            digest.update(data)
        if digest.hexdigest() != told.sha256:
            raise IntegrityError(
                f"{table}.copy of the backup {folder} was altered or cut.",
                todo="Take another backup; nothing was restored.",
            )


def _names(columns: str) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns.split(", ")))


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while data := file.read(_CHUNK_BYTES):
                yield data
    except FileNotFoundError:
        raise IntegrityError(f"{path} is missing from the backup.") from None
