"""A copy of the key broker's database, and the way back into an empty one.

A folder: a file of rows for each table, as PostgreSQL's COPY writes them, and
`manifest.json` with the columns, the count and the SHA-256 of each, sealed by the root.
It has neither the root nor a secret of an epoch: what lies under a destroyed epoch
opens from no copy.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, LiteralString

from psycopg import sql
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs, take_up_files
from maplebridge.access_policy.broker.keywrap import backup_binding
from maplebridge.access_policy.broker.principals import ensure_principals, remove_principal
from maplebridge.access_policy.broker.root import Root
from maplebridge.access_policy.broker.store import Connection, migrate, statement
from maplebridge.access_policy.private_file import write_once
from maplebridge.errors import InputError, IntegrityError

_FORMAT = "maplebridge key broker backup 1"
_MANIFEST = "manifest.json"
TABLES: dict[str, LiteralString] = {
    "broker_secret": "name, wrapped",
    "principal": "name, secret_hash, older_hash, older_until",
    # without `share`: a bundle that was opened since must not open again
    "bundle": "bundle_id, principal, proof_hash, made_at, expires_at, grace, attempts,"
    " opened_at, kafka_mechanism, signing_key_id, ended_at",
    "epoch": "epoch, public_key, created_at",
    "department_key": "epoch, department, kind, wrapped",
    "subject": "department, key_ref, scope_kind, epoch, wrapped",
    "master": "key_id, version, department, key_ref, scope_kind, grade_domain, community,"
    " epoch, wrapped, received_at",
    "erasure": "erasure_id, ground, officers, requested_at, due_at, at_once, announced, number,"
    " executed_at, epochs, report, certificate, completed",
    "erasure_subject": "erasure_id, department, key_ref",
    "erased_ref": "department, key_ref, erasure_id",
    "erased_master": "key_id",
    "hold": "hold_id, case_ref, basis, reason, until, officer, added_at, lifted_at, lifted_by",
    "held_subject": "hold_id, department, key_ref",
}
"""In the order in which they refer to each other."""
_CHUNK_BYTES = 1 << 20


class TableCopy(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: str
    rows: int
    sha256: str


class Manifest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = _FORMAT
    made_at: datetime
    epochs: tuple[str, ...]
    tables: dict[str, TableCopy]


@dataclass(frozen=True)
class RestoredEpoch:
    """is_lost: its file is not here, so that nothing under it opens."""

    epoch: str
    masters: int
    identifiers: int
    is_lost: bool


@dataclass(frozen=True)
class Restored:
    """What a backup gave back.

    unknown: epochs whose files are here, and which began after the backup was made.
    """

    made_at: datetime
    epochs: tuple[RestoredEpoch, ...]
    unknown: tuple[str, ...]


def write_backup(connection: Connection, files: EpochFiles, folder: Path) -> Manifest:
    """Copy the database into a new folder, as it is at one moment.

    connection: the administrator's. The broker goes on meanwhile. Raises InputError if the
    folder is there, IntegrityError if the root is another than the database's.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise InputError(f"{folder} is there already.", todo="Name a new folder.") from None
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        Epochs.load(connection, files)
        (made_at,) = connection.execute("SELECT now()").fetchone() or (None,)
        epochs = connection.execute(statement("epochs")).fetchall()
        tables = {table: _copy_out(connection, folder, table) for table in TABLES}
    manifest = Manifest(made_at=made_at, epochs=tuple(epoch for epoch, _ in epochs), tables=tables)
    text = manifest.model_dump_json(indent=1)
    seal = files.root.wrap(hashlib.sha256(text.encode()).digest(), backup_binding())
    content = {"manifest": text, "seal": base64.b64encode(seal).decode()}
    # the last: a folder without it is no backup
    write_once(folder / _MANIFEST, json.dumps(content).encode())
    return manifest


def restore_backup(
    connection: Connection,
    files: EpochFiles,
    folder: Path,
    *,
    principals: Mapping[str, str | SecretStr],
    revoked: Collection[str],
    then: Callable[[], None] = lambda: None,
) -> Restored:
    """Give an empty database the rows of a backup; what provisioning made there is replaced.

    connection: the administrator's, in autocommit. principals: those of today, whose secrets
    hold, and revoked: whoever must not come back, whatever the backup says. then: what must
    be done before anything opens, in the transaction that restores. Raises
    InputError if the database keeps masters or the folder is no backup, IntegrityError if
    the backup was altered or is of another root; nothing is changed then.
    """
    manifest = read_manifest(files.root, folder)
    _check(folder, manifest)
    migrate(connection)
    with connection.transaction():
        connection.execute(statement("lock_epochs"))
        if connection.execute(statement("keeps_anything")).fetchone() == (True,):
            raise InputError(
                "the key broker's database is not empty.",
                todo="Restore into a new database; nothing was changed.",
            )
        connection.execute(statement("unprovision"))
        for table in TABLES:
            _copy_in(connection, folder, table)
        ensure_principals(connection, principals)
        for name in revoked:
            remove_principal(connection, name)
        unknown = take_up_files(connection, files)
        then()
        lost = Epochs.load(connection, files).lost
        counted = connection.execute(statement("count_by_epoch")).fetchall()
    return Restored(
        manifest.made_at,
        tuple(
            RestoredEpoch(epoch, masters, identifiers, is_lost=epoch in lost)
            for epoch, masters, identifiers in counted
            if epoch not in unknown
        ),
        tuple(unknown),
    )


def _copy_out(connection: Connection, folder: Path, table: str) -> TableCopy:
    columns, digest = TABLES[table], hashlib.sha256()
    query = sql.SQL("COPY keys.{} ({}) TO STDOUT").format(sql.Identifier(table), sql.SQL(columns))
    with _create(folder / f"{table}.copy") as file, connection.cursor() as cursor:
        with cursor.copy(query) as copy:
            for data in copy:
                digest.update(data)
                file.write(data)
        file.flush()
        os.fsync(file.fileno())
        return TableCopy(columns=columns, rows=cursor.rowcount, sha256=digest.hexdigest())


def _copy_in(connection: Connection, folder: Path, table: str) -> None:
    query = sql.SQL("COPY keys.{} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(TABLES[table])
    )
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        for data in _chunks(folder / f"{table}.copy"):
            copy.write(data)


def _check(folder: Path, manifest: Manifest) -> None:
    for table, told in manifest.tables.items():
        digest = hashlib.sha256()
        for data in _chunks(folder / f"{table}.copy"):
            digest.update(data)
        if digest.hexdigest() != told.sha256:
            raise IntegrityError(
                f"{table}.copy of the backup {folder} was altered or cut.",
                todo="Take another backup; nothing was restored.",
            )
    if {table: told.columns for table, told in manifest.tables.items()} != TABLES:
        raise InputError(f"the backup {folder} is of another version of Maple Bridge.")


def read_manifest(root: Root, folder: Path) -> Manifest:
    """Return what a backup says it is.

    Raises InputError if it is none, IntegrityError if it was not made under this root.
    """
    try:
        content = json.loads((folder / _MANIFEST).read_bytes())
        text, seal = content["manifest"], base64.b64decode(content["seal"], validate=True)
        manifest = Manifest.model_validate_json(text)
    except FileNotFoundError:
        raise InputError(f"{folder} has no {_MANIFEST}: it is no whole backup.") from None
    except (KeyError, TypeError, ValueError, ValidationError):
        raise IntegrityError(f"{folder / _MANIFEST} cannot be read.") from None
    digest = hashlib.sha256(text.encode()).digest()
    try:
        is_sealed = root.unwrap(seal, backup_binding()) == digest
    except IntegrityError:
        is_sealed = False
    if not is_sealed:
        raise IntegrityError(
            f"the backup {folder} was altered, or made under another root.",
            todo="Put back the root that it was made under, or take another backup.",
        )
    return manifest


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _chunks(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while data := file.read(_CHUNK_BYTES):
                yield data
    except FileNotFoundError:
        raise IntegrityError(f"{path} is missing from the backup.") from None
