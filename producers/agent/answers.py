"""Answers by idempotency key: a request that comes again gets the answer it got before.

After draft-ietf-httpapi-idempotency-key-header: the same key with another body is
refused (422), one whose first request is not answered yet too (409).
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

from maplebridge.errors import DepartmentStoreUnavailable
from maplebridge.problems import Problem
from maplebridge.settings import Settings
from maplebridge.sql import load_queries

SQL: Mapping[str, LiteralString] = load_queries("maplebridge.producers.agent", "answers.sql")
KEPT_S = 7 * 86_400.0
KEPT_ANSWERS = 50_000
_KEPT_CHARS = 200_000_000
_PRUNE_EVERY = 256
_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def answers_path(settings: Settings, department: str) -> Path:
    """Return the SQLite file of the agent of a department."""
    return settings.home / "departments" / f"{department}.agent.db"


class Answers:
    """The answers of the last seven days, at most 50,000. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        """Raises DepartmentStoreUnavailable if the file cannot be used."""
        self._path = path
        self._mutex = threading.Lock()
        self._in_progress: set[bytes] = set()
        self._reserved = 0
        with self._translated():
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(SQL["schema"])
            with self._db:
                self._db.execute(SQL["make_secret"], (os.urandom(32),))
            self._secret: bytes = self._db.execute(SQL["secret"]).fetchone()[0]

    @contextmanager
    def under(self, key: str, event_type: str, body: bytes, *, now: float) -> Iterator[Once]:
        """Hold a key while its request is answered.

        now: seconds since 1970. Raises Problem if the key cannot be used for this.
        """
        if not _KEY.fullmatch(key):
            raise Problem("malformed", "An Idempotency-Key has 1 to 255 visible characters.")
        name = self._digest(event_type.encode() + b"\n" + key.encode())
        with self._mutex:
            if name in self._in_progress:
                raise Problem("in-progress")
            self._in_progress.add(name)
        try:
            yield self._begin(name, self._digest(body), now)
        finally:
            with self._mutex:
                self._in_progress.discard(name)

    def check(self) -> None:
        """Write something small; raises DepartmentStoreUnavailable if nothing can be written."""
        with self._mutex, self._translated(), self._db:
            self._db.execute(SQL["check"])

    def give(self, name: bytes, answer: str) -> None:
        """Keep the answer of a key. Raises DepartmentStoreUnavailable."""
        with self._mutex, self._translated(), self._db:
            self._db.execute(SQL["give"], (answer, name))

    def close(self) -> None:
        self._db.close()

    def _begin(self, name: bytes, body: bytes, now: float) -> Once:
        with self._mutex, self._translated():
            row = self._db.execute(SQL["find"], (name,)).fetchone()
            if row is None:
                with self._db:
                    if self._reserved % _PRUNE_EVERY == 0:
                        self._prune(now)
                    self._db.execute(SQL["reserve"], (name, body, now))
                self._reserved += 1
                return Once(self, name, None)
        if bytes(row[0]) != body:
            raise Problem("key-reused", "Use another Idempotency-Key for another body.")
        return Once(self, name, row[1])

    def _prune(self, now: float) -> None:
        limits: dict[str, Any] = {
            "oldest": now - KEPT_S,
            "most": KEPT_ANSWERS,
            "most_chars": _KEPT_CHARS,
        }
        self._db.execute(SQL["prune"], limits)

    def _digest(self, text: bytes) -> bytes:
        # keyed: a body could be guessed from a plain digest
        return hashlib.blake2b(text, key=self._secret, digest_size=16).digest()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as exc:
            raise DepartmentStoreUnavailable(
                str(self._path),
                type(exc).__name__,
                todo="Check the free space and the permissions of its folder.",
            ) from exc


class Once:
    """One request under its key; `answer` is what it was answered before, if it was."""

    def __init__(self, answers: Answers, name: bytes, answer: str | None) -> None:
        self._answers = answers
        self._name = name
        self.answer = answer

    def give(self, answer: str) -> None:
        """Keep the answer for those who ask again."""
        self._answers.give(self._name, answer)
