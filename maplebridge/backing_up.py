"""A backup of the projections with what they go on from, and the way back onto an empty stack.

A folder: a file of rows for each table, the secret of released tables, and `manifest.txt`, a
signed note by the audit log's key that says what each file holds, how far Kafka had been read, and
under which ids the registry had the schemas of the record. Neither Kafka nor the registry is
copied: both are asked whether they are what the backup goes on from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from maplebridge.access_policy.audit import signing_key_path
from maplebridge.access_policy.checkpoint import open_text
from maplebridge.access_policy.private_file import write_once
from maplebridge.access_policy.signed_note import Verifier, load_signing_key
from maplebridge.cell_secret import check_secret, copy_secret, restore_secret
from maplebridge.errors import AuditCorrupt, InputError, IntegrityError
from maplebridge.kafka_positions import KafkaPositions
from maplebridge.projections.backup import (
    Offsets,
    ProjectionsCopy,
    check_projections,
    copy_projections,
    refuse_unless_empty,
    restore_projections,
)
from maplebridge.projections.store import connect, translated
from maplebridge.schemas import RegistryClient
from maplebridge.settings import Profile, Settings
from maplebridge.table_copies import new_folder

KIND = "maplebridge-backup"
MANIFEST = "manifest.txt"
REACT = "react"
"""The group whose progress Kafka keeps and whose memory the projections' tables are."""


class Manifest(BaseModel):
    """reacted: how far `react` was sure to have read. schemas: fingerprints by id.

    cell_keys: SHA-256 of the secret of released tables, hex; None if nothing was released.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["maplebridge backup 1"] = "maplebridge backup 1"
    cluster_id: str
    reacted: Offsets
    schemas: dict[int, str]
    cell_keys: str | None
    projections: ProjectionsCopy


@dataclass(frozen=True, slots=True)
class Kept:
    """What a backup holds. migrations: those that a restored older one took to be of today."""

    made_at: datetime
    events: int
    waiting: int
    state_hash: str
    migrations: tuple[str, ...] = ()


def backup(profile: Profile, folder: Path) -> Kept:
    """Write a new folder with all tables as of one moment; the services go on meanwhile.

    Raises InputError if the folder is there, StoreUnavailable, KafkaUnavailable,
    RegistryUnavailable.
    """
    admin = profile.settings("admin")
    signer = load_signing_key(signing_key_path(profile.home))
    kafka = KafkaPositions(admin)
    # before the tables: what react has acknowledged by now is in them, and repeats are harmless
    cluster_id, reacted = kafka.cluster_id(), kafka.committed(REACT)
    new_folder(folder)
    with translated(admin), connect(admin) as connection:
        copied = copy_projections(connection, folder)
    # after them: of every event in them the registry has the schema by now
    schemas = _schemas(admin)
    # and every table that was released among them has its secret
    cell_keys = copy_secret(profile.home, folder)
    manifest = Manifest(
        cluster_id=cluster_id,
        reacted=reacted,
        schemas=schemas,
        cell_keys=cell_keys,
        projections=copied,
    )
    note = signer.sign(f"{KIND}\n{manifest.model_dump_json()}\n")
    # the last: a folder without it is no backup
    write_once(folder / MANIFEST, note.encode())
    return _kept(copied)


def restore(profile: Profile, folder: Path, *, key: str = "") -> Kept:
    """Bring a backup back into empty projections; the services must not run.

    key: the verifier key of the audit log beside which it was made, the profile's if not given.
    Raises IntegrityError if it was altered or cut, InputError if it is no whole backup, of a
    newer version, of another Kafka or registry, or if the projections are not empty; nothing
    is changed then. Raises StoreUnavailable, KafkaUnavailable, RegistryUnavailable.
    """
    admin = profile.settings("admin")
    manifest = read_manifest(folder, Verifier.parse(key or profile.audit_public_key))
    copied = manifest.projections
    check_projections(folder, copied)
    check_secret(profile.home, folder, manifest.cell_keys)
    kafka = KafkaPositions(admin)
    _check_kafka(kafka, manifest)
    _check_registry(admin, manifest)
    with translated(admin), connect(admin) as connection:
        refuse_unless_empty(connection)
        # first: whatever fails after it, to read again what it has seen changes nothing
        kafka.set_back(REACT, manifest.reacted)
        restore_secret(profile.home, folder, manifest.cell_keys)
        applied = restore_projections(connection, folder, copied)
    return _kept(copied, tuple(applied))


def read_manifest(folder: Path, verifier: Verifier) -> Manifest:
    """Return what a backup says it is.

    Raises InputError if it is no whole one, IntegrityError if `verifier` did not sign it.
    """
    try:
        note = (folder / MANIFEST).read_text("utf-8")
        kind, _, text = open_text(note, verifier).partition("\n")
        if kind == KIND:
            return Manifest.model_validate_json(text)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"{folder} has no {MANIFEST}: it is no whole backup.") from None
    except ValidationError:
        raise InputError(f"the backup {folder} is of another version of Maple Bridge.") from None
    except (AuditCorrupt, UnicodeDecodeError):
        pass
    raise IntegrityError(
        f"{folder / MANIFEST} was altered, or signed by another key than {verifier.name}'s.",
        todo="Give the verifier key of the audit log it was made beside, or take another backup.",
    )


def _check_kafka(kafka: KafkaPositions, manifest: Manifest) -> None:
    if kafka.cluster_id() != manifest.cluster_id:
        raise InputError(
            f"the backup goes on from another Kafka, the cluster {manifest.cluster_id}.",
            todo="Bring its Kafka back first; nothing was changed.",
        )
    wanted = manifest.projections.offsets
    ends = kafka.ends(wanted)
    short = [
        f"{topic}[{partition}]"
        for topic, partitions in wanted.items()
        for partition, offset in partitions.items()
        if ends[topic][partition] < offset
    ]
    if short:
        raise InputError(
            f"Kafka holds less than the backup has read of {', '.join(short)}.",
            todo="Bring the whole record back first; nothing was changed.",
        )


def _check_registry(admin: Settings, manifest: Manifest) -> None:
    held = _schemas(admin)
    other = sorted(each for each, told in manifest.schemas.items() if held.get(each) != told)
    if other:
        raise InputError(
            f"the registry has other schemas under the ids {', '.join(map(str, other))}.",
            todo="Bring its database back first; nothing was changed.",
        )


def _schemas(admin: Settings) -> dict[int, str]:
    registry = RegistryClient(admin.registry_url, tls_ca=admin.tls_ca)
    try:
        return registry.fingerprints()
    finally:
        registry.close()


def _kept(copied: ProjectionsCopy, applied: tuple[str, ...] = ()) -> Kept:
    rows = {table: each.rows for table, each in copied.tables.items()}
    return Kept(copied.made_at, rows["events"], rows["outbox"], copied.state_hash, applied)
