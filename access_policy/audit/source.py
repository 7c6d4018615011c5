"""The audit log as a file of JSON lines, and verifying it from there or the database.

Each line is one leaf or one checkpoint: {"leaf": {...}} or {"checkpoint": {...}};
hashes and salts are hexadecimal. Covers are left out unless asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from maplebridge.access_policy.audit.leaf import Cover
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
from maplebridge.access_policy.audit.verify import UNWITNESSED, Report, Witnesses, verify
from maplebridge.access_policy.signed_note import Verifier
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
    entries = _entries(path)
    checkpoints = list[StoredCheckpoint]()
    for number, entry in entries:
        if "leaf" in entry:
            return _leaves(path, chain([(number, entry)], entries)), checkpoints
        checkpoints.append(_checkpoint(path, number, entry))
    return iter(()), checkpoints


def _checkpoint(path: Path, number: int, entry: dict[str, Any]) -> StoredCheckpoint:
    match entry.get("checkpoint"):
        case {"size": int(size), "note": str(note), "frontier": frontier, "tail": tail}:
            return StoredCheckpoint(size, note, _hex(frontier), _hex(tail))
    raise _unreadable(path, number)


def _leaves(path: Path, entries: Iterable[tuple[int, dict[str, Any]]]) -> Iterator[StoredLeaf]:
    for number, entry in entries:
        leaf = entry.get("leaf")
        if not isinstance(leaf, dict):
            raise _unreadable(path, number)
        index, body = leaf.get("index"), leaf.get("body")
        if not isinstance(index, int) or not isinstance(body, str):
            raise _unreadable(path, number)
        cover = _cover(leaf) if "salt" in leaf else None
        yield StoredLeaf(index, _hex(leaf.get("leaf_hash")), body, cover)


def _cover(leaf: dict[str, Any]) -> Cover | None:
    return to_cover(_hex(leaf.get("salt")), _hex(leaf.get("commitments")))


def verify_log(
    settings: Settings,
    *,
    verifier: Verifier,
    held: Iterable[str] = (),
    witnesses: Witnesses = UNWITNESSED,
    database: str = DATABASE,
) -> Report:
    """Verify the log in the database; raises AuditUnavailable."""
    with translated(settings), connect(settings, database=database, timeout_s=60) as connection:
        # the checkpoints first: leaves appended since are then past the last one
        checkpoints = read_checkpoints(connection)
        with closing(read_leaves(connection)) as leaves:
            return verify(leaves, checkpoints, verifier=verifier, held=held, witnesses=witnesses)


def verify_export(
    path: Path,
    *,
    verifier: Verifier,
    held: Iterable[str] = (),
    witnesses: Witnesses = UNWITNESSED,
) -> Report:
    """Verify an export; needs no server. Raises InputError if it is none.

    A checkpoint in `held` that is later than the export says nothing about it, so
    compare the report's size with what was asked for.
    """
    leaves, checkpoints = read_export(path)
    return verify(
        leaves, checkpoints, verifier=verifier, held=held, whole=False, witnesses=witnesses
    )


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line of the export with its number: an object of one key."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    entry = from_json(line, cache_strings="keys")
                except ValueError:
                    raise _unreadable(path, number) from None
                if not isinstance(entry, dict) or len(entry) != 1:
                    raise _unreadable(path, number)
                yield number, entry
    except OSError as exc:
        raise InputError(
            f"the export {path} cannot be read.", todo="Make one with `maplebridge audit export`."
        ) from exc


def _unreadable(path: Path, number: int) -> InputError:
    return InputError(
        f"line {number} of the export {path} is no leaf and no checkpoint in its place.",
        todo="Make one with `maplebridge audit export`, which writes the checkpoints first.",
    )


def _hex(text: Any) -> bytes:
    """Return the bytes; what is not hexadecimal becomes none, and fails to verify."""
    try:
        return bytes.fromhex(text)
    except (ValueError, TypeError):
        return b""
