"""What a department has imported: the ids of acknowledged rows, kept on disk."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from maplebridge.errors import StackError
from maplebridge.settings import Settings
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.producers", "import_state.sql")
_DIGEST_BYTES = 16


def imports_path(settings: Settings, department: str) -> Path:
    """Return the SQLite file of what a department has imported."""
    return settings.home / "departments" / f"{department}.imports.db"


class ImportState:
    """The table of acknowledged rows; a row is in it only after Kafka has acknowledged it."""

    def __init__(self, path: Path) -> None:
        """path: see `imports_path`. Raises StackError if it cannot be used."""
        self._path = path
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, timeout=30)
            self._db.execute("PRAGMA journal_mode = WAL")
            # after a power cut the last rows may be sent again, under the same ids
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(SQL["schema"])
            with self._db:
                self._db.execute(SQL["make_secret"], (os.urandom(32),))
            self._secret: bytes = self._db.execute(SQL["secret"]).fetchone()[0]
        except (sqlite3.Error, OSError) as exc:
            raise self._unusable(exc) from exc

    def digest(self, said: str) -> bytes:
        """Return a digest of what a row says; keyed, so that it tells nobody else anything."""
        text = said.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._secret, digest_size=_DIGEST_BYTES).digest()

    def find(self, event_ids: Sequence[str]) -> dict[str, bytes]:
        """Return the digests under which events were acknowledged, of those that were."""
        asked = {_id(event_id): event_id for event_id in event_ids}
        try:
            rows = self._db.execute(SQL["find"], {"ids": b"".join(asked)}).fetchall()
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc
        return {asked[event_id]: digest for event_id, digest in rows}

    def add(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Keep (event id, digest) of acknowledged rows, all in one transaction."""
        values = sorted((_id(event_id), digest) for event_id, digest in rows)
        try:
            with self._db:
                self._db.executemany(SQL["add"], values)
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc

    def mark(self, source: bytes) -> str:
        """Return where the last import of a source ended; empty if there was none."""
        try:
            row = self._db.execute(SQL["mark"], (source,)).fetchone()
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc
        return "" if row is None else str(row[0])

    def set_mark(self, source: bytes, mark: str) -> None:
        try:
            with self._db:
                self._db.execute(SQL["set_mark"], (source, mark))
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc

    def close(self) -> None:
        self._db.close()

    def _unusable(self, exc: Exception) -> StackError:
        return StackError(
            f"the department's file {self._path} cannot be used ({type(exc).__name__}: {exc}).",
            todo="Check the free space and the permissions of its folder.",
        )


def _id(event_id: str) -> bytes:
    """Return the 16 bytes of a UUID in text form."""
    return bytes.fromhex(event_id.replace("-", ""))
