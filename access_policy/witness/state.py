"""What a witness remembers: its key, and the newest checkpoint it co-signed of each log.

A witness whose state is lost could be led to co-sign a fork, so it is never made anew beside
a key that is there.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Self

from maplebridge.access_policy.signed_note import (
    COSIGNATURE,
    Signer,
    load_signing_key,
    make_signing_key,
)
from maplebridge.errors import InputError

_KEY, _STATE, _CONFLICT = "signing.key", "state.json", "conflict"


def init_witness(folder: Path, *, name: str) -> str:
    """Make a witness's key and its empty state; return its verifier key, which is public.

    Raises InputError if a witness is there already, or the name cannot stand in a note.
    """
    if not name or any(each.isspace() or each == "+" for each in name):
        raise InputError(
            "a witness's name has a space or a plus sign, or is empty.",
            todo="Such as witness.justice.zhuji.",
        )
    if (folder / _KEY).exists():
        raise InputError(f"a witness is in {folder} already.", todo="Serve it, or use another.")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    # the state first: a key without one is refused
    _write(folder / _STATE, json.dumps({}))
    return make_signing_key(folder / _KEY, name=name, kind=COSIGNATURE)


class WitnessState:
    """The newest checkpoint co-signed of each log, one file, held by one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Raises InputError if the key or the state is missing, or another process has them."""
        self.signer: Signer = load_signing_key(folder / _KEY, kind=COSIGNATURE)
        self._folder = folder
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InputError(
                f"another process serves the witness in {folder}.", todo="Stop it first."
            ) from None
        try:
            self._notes: dict[str, str] = json.loads((folder / _STATE).read_text("utf-8"))
        except (OSError, ValueError):
            self._lock.close()
            raise InputError(
                f"the state of the witness in {folder} is lost.",
                todo="Without it a fork could be co-signed: make another witness, with"
                " another key, and tell the city.",
            ) from None

    def note_of(self, origin: str) -> str | None:
        """Return the note last co-signed of this log."""
        return self._notes.get(origin)

    def keep(self, origin: str, note: str) -> None:
        """Remember the note; it is on disk when this returns."""
        notes = {**self._notes, origin: note}
        _write(self._folder / _STATE, json.dumps(notes))
        self._notes = notes

    def keep_conflict(self, one: str, other: str) -> Path:
        """Write down two notes of one size with two roots: the first such proof is kept."""
        path = self._folder / _CONFLICT
        if not path.exists():
            _write(path, f"{one}\n{other}")
        return path

    def close(self) -> None:
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole; a crash leaves the old one or the new one."""
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
