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
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs, take_up_files
from maplebridge.access_policy.broker.keywrap import backup_binding
from maplebridge.access_policy.broker.principals import ensure_principals, remove_principal
from maplebridge.access_policy.broker.root import Root
from maplebridge.access_policy.broker.store import Connection, migrate, statement
from maplebridge.access_policy.private_file import write_once
from maplebridge.errors import InputError, IntegrityError
from maplebridge.table_copies import TableCopy, check_copies, copy_in, copy_out, new_folder

_FORMAT = "maplebridge key broker backup 1"
_MANIFEST = "manifest.json"
TABLES: dict[str, str] = {
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
    new_folder(folder)
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        Epochs.load(connection, files)
        (made_at,) = connection.execute("SELECT now()").fetchone() or (None,)
        epochs = connection.execute(statement("epochs")).fetchall()
        tables = {
            table: copy_out(connection, folder, "keys", table, columns)
            for table, columns in TABLES.items()
        }
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
        for table, columns in TABLES.items():
            copy_in(connection, folder, "keys", table, columns)
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


def _check(folder: Path, manifest: Manifest) -> None:
    check_copies(folder, manifest.tables)
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
