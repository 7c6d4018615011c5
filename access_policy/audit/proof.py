"""Proofs as files that anyone checks without a server, in the texts other tools read.

That a leaf stands in the log: C2SP tlog-proof, with the leaf's bytes as its extra data.
That a log only grew since a checkpoint: the body of a C2SP tlog-witness request, so
what a person checks is what a witness is asked to co-sign.
https://c2sp.org/tlog-proof and https://c2sp.org/tlog-witness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

from maplebridge.access_policy.audit.leaf import Leaf, decode_leaf
from maplebridge.access_policy.audit.store import (
    DATABASE,
    connect,
    last_checkpoint,
    read_frontier,
    read_hashes,
    statement,
    translated,
)
from maplebridge.access_policy.checkpoint import Checkpoint, open_note
from maplebridge.access_policy.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_inclusion,
)
from maplebridge.access_policy.proof_text import (
    Extension,
    join_proof,
    proof_hashes,
    read_number,
    split_proof,
    unreadable,
)
from maplebridge.access_policy.signed_note import Verifier, from_base64, to_base64
from maplebridge.errors import AuditCorrupt, InputError
from maplebridge.settings import Settings

_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class Included:
    """A leaf proven to stand at `index` of the log that `checkpoint` signs."""

    index: int
    leaf: Leaf
    checkpoint: Checkpoint


def prove_leaf(
    settings: Settings, index: int, *, verifier: Verifier, database: str = DATABASE
) -> str:
    """Return the proof that leaf `index` stands in the log its newest checkpoint signs.

    Raises InputError if no checkpoint covers it yet, AuditCorrupt if the log does not give
    the signed root, AuditUnavailable.
    """
    with translated(settings), connect(settings, database=database, timeout_s=60) as connection:
        note, newest = _newest(connection, verifier)
        row = connection.execute(statement("leaf"), {"index": index}).fetchone()
        if not 0 <= index < newest.size or row is None:
            raise InputError(
                f"no signed leaf {index}.",
                todo=f"The newest checkpoint covers {newest.size} leaves, the first is 0.",
            )
        hashes = read_hashes(connection, start=0, limit=newest.size)
    body = str(row[0]).encode()
    if root_of(hashes) != newest.root or leaf_hash(body) != hashes[index]:
        raise AuditCorrupt("the audit log does not give the root that was signed.")
    lines = [_HEADER, f"extra {to_base64(body)}", f"index {index}"]
    return join_proof(lines, inclusion_proof(index, hashes), note)


def prove_extension(
    settings: Settings, since: str, *, verifier: Verifier, database: str = DATABASE
) -> str:
    """Return the proof that the log only grew since the checkpoint of the note `since`.

    Raises AuditCorrupt if it did not, or if a note is not the log's; AuditUnavailable.
    """
    old = open_note(since, verifier)
    with translated(settings), connect(settings, database=database, timeout_s=60) as connection:
        note, newest = _newest(connection, verifier)
        if old.size > newest.size:
            raise AuditCorrupt(
                f"the audit log signs {newest.size} leaves, and signed {old.size} before.",
                index=newest.size,
            )
        extension = extension_to(connection, note, old_size=old.size, size=newest.size)
    if not extension.holds(old, newest):
        raise AuditCorrupt(f"the audit log does not continue the checkpoint at {old.size}.")
    return extension.text()


def extension_to(
    connection: psycopg.Connection[Any], note: str, *, old_size: int, size: int
) -> Extension:
    """Return the claim that the tree of `size` leaves, signed by `note`, continues the old one.

    Raises AuditCorrupt if leaves are missing.
    """
    if old_size in (0, size):
        return Extension(old_size, (), note)
    frontier = read_frontier(connection, old_size)
    added = read_hashes(connection, start=old_size, limit=size - old_size)
    return Extension(old_size, tuple(consistency_proof(frontier, added)), note)


def check_leaf(text: str, *, verifier: Verifier) -> Included:
    """Return what an inclusion proof proves.

    Raises InputError if the text is no proof, AuditCorrupt if it does not hold.
    """
    lines, note = split_proof(text)
    if len(lines) < 3 or lines[0] != _HEADER or not lines[1].startswith("extra "):
        raise unreadable()
    body, index = from_base64(lines[1].removeprefix("extra ")), read_number(lines[2], "index")
    signed = open_note(note, verifier)
    if not verify_inclusion(
        leaf_hash(body),
        index=index,
        size=signed.size,
        proof=proof_hashes(lines[3:]),
        root=signed.root,
    ):
        raise AuditCorrupt(f"the proof does not lead from leaf {index} to the signed root.")
    try:
        leaf = decode_leaf(body.decode(), cover=None)
    except (ValueError, KeyError, TypeError, AttributeError, InputError):
        raise AuditCorrupt(f"leaf {index} is no audit leaf.", index=index) from None
    return Included(index, leaf, signed)


def check_extension(text: str, *, since: str, verifier: Verifier) -> tuple[Checkpoint, Checkpoint]:
    """Return the checkpoint of the note `since` and the later one that is proven to continue it.

    Raises InputError if the text is no proof, AuditCorrupt if it does not hold.
    """
    extension = Extension.parse(text)
    old, new = open_note(since, verifier), open_note(extension.note, verifier)
    if not extension.holds(old, new):
        raise AuditCorrupt(f"the proof does not lead from {old.size} leaves to {new.size}.")
    return old, new


def is_leaf_proof(text: str) -> bool:
    """Tell a proof for `check_leaf` from one for `check_extension`."""
    return text.startswith(_HEADER)


def _newest(connection: psycopg.Connection[Any], verifier: Verifier) -> tuple[str, Checkpoint]:
    stored = last_checkpoint(connection)
    if stored is None:
        raise InputError("the audit log has no checkpoint yet.", todo="Start `audit`.")
    return stored.note, open_note(stored.note, verifier)
