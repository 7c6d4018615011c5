"""A department's own SQLite file: one connection, one lock, one transaction for all in it.

`<department>.db` (WAL) holds the masters, the spool, what was imported, the
life-cycles and what was looked up; `<department>.kek` (mode 0600) beside it the
keys that masters are encrypted under, replaced when something is erased;
`<department>.lock` keeps a second process out. No value of a field of L3 or L4 is
in plain in any of them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from maplebridge.access_policy.private_file import sync_folder, write_anew
from maplebridge.errors import DepartmentStoreUnavailable, InputError, IntegrityError

Sync = Literal["full", "normal"]

_KEY_BYTES = 32
_FINGERPRINT_LABEL = b"MBK1 key file"
_KEY_FILE = """
    CREATE TABLE IF NOT EXISTS key_file (
        only_one    INTEGER PRIMARY KEY CHECK (only_one = 1),
        fingerprint BLOB NOT NULL       -- of the key file that opens what is encrypted here
    );
"""
_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}
_CHECKPOINT_PAGES = 4_000
# enough to overwrite the largest event while it is removed
_ROOM_BYTES = 1_100_000


class DepartmentStore:
    """Safe to share between threads, not between processes.

    path: the SQLite file, made when missing. sync: `full` waits for the disk at every
    commit, `normal` at checkpoints and at `make_durable`; both survive the process's end.
    kek, index_key: 32 bytes each. mutex: to be held over several uses that belong together.
    Raises InputError if another process holds the file for `lock_timeout_s`, IntegrityError
    if the key file is missing.
    """

    def __init__(
        self,
        path: Path,
        *,
        department: str,
        sync: Sync = "normal",
        lock_timeout_s: float = 5.0,
    ) -> None:
        self.department = department
        self.path = path
        self.mutex = threading.RLock()
        self._depth = 0
        self._after_commit: list[Callable[[], None]] = []
        self._reading = Reading(self)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(path.with_suffix(".lock"), department, lock_timeout_s)
        self._wal = -1
        try:
            _make_keys_once(path.with_suffix(".kek"), path)
            with self._translated():
                self.db = _open(path, sync)
                self.db.executescript(_KEY_FILE)
                self.kek, self.index_key = self._settled_keys()
            self._wal = os.open(f"{path}-wal", os.O_RDONLY)
        except BaseException:
            os.close(self._lock)
            raise

    def make_tables(self, script: str) -> None:
        """Run `CREATE TABLE IF NOT EXISTS` statements."""
        with self.mutex, self._translated():
            self.db.executescript(script)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit what the block writes, or none of it; a block inside another joins it.

        Raises DepartmentStoreUnavailable if the disk is full or cannot be written.
        """
        with self.mutex, self._translated():
            if self._depth:
                yield self.db
                return
            self.db.execute("BEGIN IMMEDIATE")
            self._depth = 1
            try:
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                self._after_commit.clear()
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise
            finally:
                self._depth = 0
            done, self._after_commit = self._after_commit, []
            for each in done:
                each()

    def reading(self) -> Reading:
        """Read under the lock; raises DepartmentStoreUnavailable if the file cannot be read."""
        return self._reading

    def after_commit(self, work: Callable[[], None]) -> None:
        """Do `work` once the transaction that is open now has been committed."""
        self._after_commit.append(work)

    def make_room(self, size: int = 0) -> bool:
        """Return whether `size` bytes may be added so that all that lies here can be removed.

        Removing needs room too: whatever lies in the write-ahead log may need its place in
        the database once more, and what is removed is overwritten by way of the log.
        """
        free, log = self._disk_bytes()
        if free >= log + 2 * size + _ROOM_BYTES:
            return True
        with self.mutex:
            # if there is no room to do it in, there is none to be made by it
            with suppress(sqlite3.Error):
                self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            free, log = self._disk_bytes()
            (page,) = self.db.execute("PRAGMA page_size").fetchone()
            (pages,) = self.db.execute("PRAGMA freelist_count").fetchone()
        # the file never shrinks: what was removed leaves its room in it
        left = free - log - size
        return left >= size and left + page * pages >= _ROOM_BYTES

    def _disk_bytes(self) -> tuple[int, int]:
        """Return what is free on the disk, and the size of the write-ahead log."""
        disk = os.fstatvfs(self._wal)
        return disk.f_bavail * disk.f_frsize, os.fstat(self._wal).st_size

    def check_room(self, size: int) -> None:
        """Raises DepartmentStoreUnavailable if the disk has no room for `size` more bytes."""
        if not self.make_room(size):
            raise self._unavailable("the disk is full")

    def make_durable(self) -> None:
        """Have all that was committed outlast a power failure, without holding the lock."""
        os.fsync(self._wal)

    def replace_kek(self, reencrypt: Callable[[sqlite3.Connection, bytes], None]) -> None:
        """Have all that is encrypted here be so under another key, and destroy the one before.

        reencrypt: gets the transaction and the new key of 32 bytes. A stop anywhere leaves
        the rows with the key file that opens them. Raises DepartmentStoreUnavailable.
        """
        file, coming = self.path.with_suffix(".kek"), self.path.with_suffix(".next")
        with self.mutex:
            keys = os.urandom(_KEY_BYTES) + self.index_key
            write_anew(coming, keys)
            with self.transaction() as db:
                reencrypt(db, keys[:_KEY_BYTES])
                db.execute("INSERT OR REPLACE INTO key_file VALUES (1, ?)", (_fingerprint(keys),))
            self.kek = keys[:_KEY_BYTES]
            # a power failure may not bring back rows whose key is gone
            self.make_durable()
            coming.replace(file)
            sync_folder(file.parent)

    def _settled_keys(self) -> tuple[bytes, bytes]:
        """Return the keys of the file that the rows are under, and finish a replacement."""
        file, coming = self.path.with_suffix(".kek"), self.path.with_suffix(".next")
        row = self.db.execute("SELECT fingerprint FROM key_file").fetchone()
        if coming.exists():
            if row is not None and row[0] == _fingerprint(coming.read_bytes()):
                coming.replace(file)
            else:
                coming.unlink()
            sync_folder(file.parent)
        keys = file.read_bytes()
        if len(keys) != 2 * _KEY_BYTES or (row is not None and row[0] != _fingerprint(keys)):
            raise foreign_key_file(self.department)
        return keys[:_KEY_BYTES], keys[_KEY_BYTES:]

    def scrub(self) -> None:
        """Empty the write-ahead log, which still holds pages from before what was deleted."""
        with self.mutex, self._translated():
            self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Let go of the file; harmless to repeat."""
        with self.mutex:
            if self._lock < 0:
                return
            try:
                self.db.close()
            finally:
                os.close(self._wal)
                os.close(self._lock)
                self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise self.unavailable(exc) from exc

    def unavailable(self, error: sqlite3.Error) -> DepartmentStoreUnavailable:
        """Return what a caller is told of an error of SQLite."""
        return self._unavailable(getattr(error, "sqlite_errorname", type(error).__name__))

    def _unavailable(self, reason: str) -> DepartmentStoreUnavailable:
        return DepartmentStoreUnavailable(
            str(self.path),
            reason,
            todo="Free space on its disk or make it writable, then publish again.",
        )


class Reading:
    """The block of `DepartmentStore.reading`, entered for nearly every event."""

    __slots__ = ("_store",)

    def __init__(self, store: DepartmentStore) -> None:
        self._store = store

    def __enter__(self) -> sqlite3.Connection:
        self._store.mutex.acquire()
        return self._store.db

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.mutex.release()
        if isinstance(error, sqlite3.Error):
            raise self._store.unavailable(error) from error


def foreign_key_file(department: str) -> IntegrityError:
    """Return the error of a key file that opens nothing in the database."""
    return IntegrityError(
        f"the key file of department {department} does not belong to its key store.",
        todo="Put back the .kek file that was made with it.",
    )


def _lock(path: Path, department: str, timeout_s: float) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                raise InputError(
                    f"the store of department {department} is in use by another publisher.",
                    todo="Wait until it ends, or publish through it.",
                ) from None
            time.sleep(0.05)
        else:
            return handle


def _make_keys_once(path: Path, database: Path) -> None:
    """Make the key-encrypting key and the index key of a new store."""
    if not path.exists():
        if database.exists() and _has_masters(database):
            raise IntegrityError(
                f"the key file {path.name} is missing, so the department's masters cannot be read.",
                todo="Put it back from the department's own backup.",
            )
        partial = path.with_suffix(".partial")
        write_anew(partial, os.urandom(2 * _KEY_BYTES))
        partial.replace(path)


def _fingerprint(keys: bytes) -> bytes:
    return hashlib.sha256(_FINGERPRINT_LABEL + keys).digest()[:16]


def _has_masters(path: Path) -> bool:
    db = _open(path, "normal")
    try:
        tables = db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'key_masters'").fetchone()
        if tables is None:
            return False
        return db.execute("SELECT 1 FROM key_masters LIMIT 1").fetchone() is not None
    finally:
        db.close()


def _open(path: Path, sync: Sync) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
    # nobody else may hold the store, so no lock is taken for each statement
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[sync]}")
    db.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
    # what was deleted is overwritten: an erased master leaves no trace
    db.execute("PRAGMA secure_delete = ON")
    # the write-ahead log is there from the first commit on
    db.execute("PRAGMA user_version = 1")
    return db
