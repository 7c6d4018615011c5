"""The audit log as a file of JSON lines, and verifying it from there or the database.

Each line is one leaf or one checkpoint: {"leaf": {...}} or {"checkpoint": {...}};
hashes and salts are hexadecimal. Covers are left out unless asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from maplebridge.access_policy.audit.checkpoint import Verifier
from maplebridge.access_policy.audit.store import (
    DATABASE,
    StoredCheckpoint,
    StoredLeaf,
    connect,
    read_checkpoints,
    read_leaves,
    to_cover,
    translated,
)
from maplebridge.access_policy.audit.verify import Report, verify
from maplebridge.errors import InputError
from maplebridge.settings import Settings


def export_lines(
    leaves: Iterable[StoredLeaf],
    checkpoints: Iterable[StoredCheckpoint],
    *,
    covers: bool = False,
) -> Iterator[str]:
    """Yield the lines of an export, checkpoints first."""
    for checkpoint in checkpoints:
        content = {
            "size": checkpoint.size,
            "note": checkpoint.note,
            "frontier": checkpoint.frontier.hex(),
            "tail": checkpoint.tail.hex(),
        }
        yield json.dumps({"checkpoint": content}, ensure_ascii=False)
    for leaf in leaves:
        entry: dict[str, Any] = {
            "index": leaf.index,
            "leaf_hash": leaf.leaf_hash.hex(),
            "body": leaf.body,
        }
        if covers and leaf.cover is not None:
            entry["salt"] = leaf.cover.salt.hex()
            entry["commitments"] = b"".join(leaf.cover.commitments).hex()
        yield json.dumps({"leaf": entry}, ensure_ascii=False)


def write_export(
    settings: Settings, path: Path, *, covers: bool = False, database: str = DATABASE
) -> int:
    """Write the log to `path` and return the number of leaves.

    Raises AuditUnavailable.
    """
    count = 0
    with (
        translated(settings),
        connect(settings, database=database, timeout_s=60) as connection,
        path.open("w", encoding="utf-8") as file,
    ):
        checkpoints = read_checkpoints(connection)
        for line in export_lines(read_leaves(connection), checkpoints, covers=covers):
            count += line.startswith('{"leaf"')
            file.write(line + "\n")
    return count


def read_export(path: Path) -> tuple[Iterator[StoredLeaf], list[StoredCheckpoint]]:
    """Return the leaves (read as they are needed) and the checkpoints of an export.

    Raises InputError if the file is missing, or a line of it is no export.
    """
    checkpoints = [
        StoredCheckpoint(entry["size"], entry["note"], _hex(entry["frontier"]), _hex(entry["tail"]))
        for kind, entry in _entries(path)
        if kind == "checkpoint"
    ]
    leaves = (
        StoredLeaf(
            entry["index"],
            _hex(entry["leaf_hash"]),
            entry["body"],
            to_cover(
                _hex(entry["salt"]) if "salt" in entry else None,
                _hex(entry["commitments"]) if "salt" in entry else None,
            ),
        )
        for kind, entry in _entries(path)
        if kind == "leaf"
    )
    return leaves, checkpoints


def verify_log(
    settings: Settings,
    *,
    verifier: Verifier,
    held: Iterable[str] = (),
    database: str = DATABASE,
) -> Report:
    """Verify the log in the database; raises AuditUnavailable."""
    with translated(settings), connect(settings, database=database, timeout_s=60) as connection:
        # the checkpoints first: leaves appended since are then past the last one
        checkpoints = read_checkpoints(connection)
        with closing(read_leaves(connection)) as leaves:
            return verify(leaves, checkpoints, verifier=verifier, held=held)


def verify_export(path: Path, *, verifier: Verifier, held: Iterable[str] = ()) -> Report:
    """Verify an export; needs no server. Raises InputError if it is none.

    A checkpoint in `held` that is later than the export says nothing about it, so
    compare the report's size with what was asked for.
    """
    leaves, checkpoints = read_export(path)
    return verify(leaves, checkpoints, verifier=verifier, held=held, whole=False)


def _entries(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                yield _entry(line, number)
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(
            f"the export {path} cannot be read.", todo="Make one with `maplebridge audit export`."
        ) from exc


def _entry(line: str, number: int) -> tuple[str, dict[str, Any]]:
    try:
        (kind, entry), *more = json.loads(line).items()
    except (ValueError, AttributeError):
        kind, entry, more = "", None, []
    if more or kind not in ("leaf", "checkpoint") or not isinstance(entry, dict):
        raise InputError(f"line {number} of the export is no leaf and no checkpoint.")
    return kind, entry


def _hex(text: str) -> bytes:
    """Return the bytes; what is not hexadecimal becomes none, and fails to verify."""
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError):
        return b""
