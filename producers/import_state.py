"""What a department has imported: a digest of every accepted row, in the department's store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.producers", "import_state.sql")
_DIGEST_BYTES = 16


class ImportState:
    """The table of accepted rows; a row is written in the transaction that takes its event."""

    def __init__(self, store: DepartmentStore) -> None:
        self._store = store
        store.make_tables(SQL["schema"])
        with store.transaction() as db:
            db.execute(SQL["make_secret"], (os.urandom(32),))
            self._secret: bytes = db.execute(SQL["secret"]).fetchone()[0]
        self._keyed = _keyed(self._secret)
        self._unwritten: dict[str, bytes] = {}

    def begin_as(self, other: ImportState) -> None:
        """Know what another store has imported, and nothing else."""
        with self._store.transaction() as db, other._store.reading() as source:
            db.execute(SQL["set_secret"], (other._secret,))
            db.executemany(SQL["add"], source.execute(SQL["every"]))
        self._secret, self._keyed = other._secret, other._keyed

    def digest(self, said: str) -> bytes:
        """Return a digest of what a row says; keyed, so that it tells nobody else anything."""
        keyed = self._keyed.copy()
        keyed.update(said.encode("utf-8", "surrogateescape"))
        return keyed.digest()

    def find(self, event_ids: Sequence[str]) -> dict[str, bytes]:
        """Return the digests under which events were taken, of those that were."""
        asked = {_binary(event_id): event_id for event_id in event_ids}
        with self._store.reading() as db:
            rows = db.execute(SQL["find"], {"ids": b"".join(asked)}).fetchall()
        found = {asked[event_id]: bytes(digest) for event_id, digest in rows}
        if self._unwritten:
            taken = self._unwritten
            found |= {each: taken[each] for each in event_ids if each in taken}
        return found

    def taken(self, event_id: str) -> bytes | None:
        """Return the digest of an event that is taken but not yet written."""
        return self._unwritten.get(event_id)

    def take(self, event_id: str, digest: bytes) -> None:
        """Know a row from now on; `add` keeps it, `forget` takes it back."""
        self._unwritten[event_id] = digest

    def add(self, rows: Sequence[tuple[str, bytes]]) -> None:
        """Keep (event id, digest) of accepted rows, within the transaction that accepts them."""
        with self._store.transaction() as db:
            db.executemany(SQL["add"], sorted((_binary(each), digest) for each, digest in rows))
            self._store.after_commit(lambda: self.forget(each for each, _ in rows))

    def forget(self, event_ids: Iterable[str]) -> None:
        """Drop what was taken; what was written stays."""
        for event_id in event_ids:
            self._unwritten.pop(event_id, None)

    def begin_run(self) -> None:
        """Forget which rows an earlier run has read."""
        self._store.make_tables(SQL["run_schema"])

    def note_read(self, row_ids: Iterable[str]) -> None:
        """Know which rows this run has read; on disk, as they may be many."""
        with self._store.transaction() as db:
            db.executemany(SQL["note_read"], sorted((_binary(each),) for each in row_ids))

    def was_read(self, row_id: str) -> bool:
        with self._store.reading() as db:
            return db.execute(SQL["was_read"], (_binary(row_id),)).fetchone() is not None

    def put_aside(self, event_id: str) -> None:
        """Let the row of an event that was refused for good count as new until `bring_back`."""
        with self._store.transaction() as db:
            db.execute(SQL["put_aside"], (_binary(event_id),))
            db.execute(SQL["remove"], (_binary(event_id),))

    def bring_back(self, event_id: str) -> None:
        """Know the row of an event that was put aside again."""
        with self._store.transaction() as db:
            db.execute(SQL["bring_back"], (_binary(event_id),))
            db.execute(SQL["discard"], (_binary(event_id),))

    def discard(self, event_id: str) -> None:
        """Forget for good an event that was put aside."""
        with self._store.transaction() as db:
            db.execute(SQL["discard"], (_binary(event_id),))

    def mark(self, source: bytes) -> str:
        """Return where the last import of a source ended; empty if there was none."""
        with self._store.reading() as db:
            row = db.execute(SQL["mark"], (source,)).fetchone()
        return "" if row is None else str(row[0])

    def set_mark(self, source: bytes, mark: str) -> None:
        with self._store.transaction() as db:
            db.execute(SQL["set_mark"], (source, mark))


def _keyed(secret: bytes) -> hashlib.blake2b:
    return hashlib.blake2b(key=secret, digest_size=_DIGEST_BYTES)


def _binary(event_id: str) -> bytes:
    return bytes.fromhex(event_id.replace("-", ""))
