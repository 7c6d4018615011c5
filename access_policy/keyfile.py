"""The files of a department's key store: its lock, its key file and its SQLite file."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path

from maplebridge.errors import InputError, IntegrityError

_SQL = Path(__file__).with_name("keystore.sql")
_KEY_BYTES = 32


def lock_exclusively(path: Path, *, department: str, timeout_s: float) -> int:
    """Return the handle that holds the lock; raises InputError if another keeps it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(handle)
                raise InputError(
                    f"the keys of department {department} are in use by another publisher.",
                    todo="Wait until it ends, or publish through it.",
                ) from None
            time.sleep(0.05)
        else:
            return handle


def read_or_make_keys(path: Path, database: Path) -> tuple[bytes, bytes]:
    """Return the key-encrypting key and the index key, 32 bytes each.

    Raises IntegrityError if the file is missing while the database has masters.
    """
    if not path.exists():
        if database.exists() and _has_masters(database):
            raise IntegrityError(
                f"the key file {path.name} is missing, so the department's masters cannot be read.",
                todo="Put it back from the department's own backup.",
            )
        partial = path.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(2 * _KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    both = path.read_bytes()
    if len(both) != 2 * _KEY_BYTES:
        raise foreign_key_file(path.stem)
    return both[:_KEY_BYTES], both[_KEY_BYTES:]


def _has_masters(path: Path) -> bool:
    db = open_database(path)
    try:
        return db.execute("SELECT 1 FROM key_masters LIMIT 1").fetchone() is not None
    finally:
        db.close()


def open_database(path: Path) -> sqlite3.Connection:
    """Return the store's connection, its tables made; to be used under a mutex."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = sqlite3.connect(path, timeout=30, check_same_thread=False)
    # nobody else may hold the store, so no lock is taken for each statement
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("PRAGMA journal_mode = WAL")
    # a master that was announced must survive a power failure; batches make it cheap
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA secure_delete = ON")
    db.executescript(_SQL.read_text())
    return db


def foreign_key_file(department: str) -> IntegrityError:
    """Return the error of a key file that opens nothing in the database."""
    return IntegrityError(
        f"the key file of department {department} does not belong to its key store.",
        todo="Put back the .kek file that was made with it.",
    )
