"""What a department has imported: the ids of acknowledged rows, kept on disk."""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import uuid
from collections.abc import Iterable
from pathlib import Path

from maplebridge.errors import StackError

_SQL_FILE = Path(__file__).with_suffix(".sql")
_DIGEST_BYTES = 16


class ImportState:
    """The table of acknowledged rows; a row is in it only after Kafka has acknowledged it."""

    def __init__(self, path: Path) -> None:
        """path: the department's SQLite file. Raises StackError if it cannot be used."""
        self._path = path
        statements = dict(
            re.findall(r"-- name: (\w+)\n(.*?)(?=\n-- name:|\Z)", _SQL_FILE.read_text(), re.S)
        )
        self._find, self._add = statements["find"], statements["add"]
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, timeout=30)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(statements["schema"])
            with self._db:
                self._db.execute(statements["make_secret"], (os.urandom(32),))
            self._secret: bytes = self._db.execute(statements["secret"]).fetchone()[0]
        except (sqlite3.Error, OSError) as exc:
            raise self._unusable(exc) from exc

    def digest(self, said: str) -> bytes:
        """Return a digest of what a row says; keyed, so that it tells nobody else anything."""
        text = said.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._secret, digest_size=_DIGEST_BYTES).digest()

    def find(self, event_id: str) -> bytes | None:
        """Return the digest under which a row was acknowledged, None if it was not."""
        try:
            row = self._db.execute(self._find, (uuid.UUID(event_id).bytes,)).fetchone()
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc
        return None if row is None else bytes(row[0])

    def add(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Keep (event id, digest) of acknowledged rows, all in one transaction."""
        values = [(uuid.UUID(event_id).bytes, digest) for event_id, digest in rows]
        try:
            with self._db:
                self._db.executemany(self._add, values)
        except sqlite3.Error as exc:
            raise self._unusable(exc) from exc

    def close(self) -> None:
        self._db.close()

    def _unusable(self, exc: Exception) -> StackError:
        return StackError(
            f"the department's file {self._path} cannot be used ({type(exc).__name__}: {exc}).",
            todo="Check the free space and the permissions of its folder.",
        )
