"""The masters of one department, made and kept where the department is.

A file `<department>.db` (SQLite, WAL) holds the masters encrypted under a key of
the file `<department>.kek` beside it (mode 0600); whom a master belongs to is
kept only as an HMAC under the same file's second key. A new master is made in
memory, so sealing waits for nothing; `pending` writes the new ones in one
transaction and hands them out for `mb.control.keys`. Send those, and have them
acknowledged, before any event sealed with them.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from maplebridge.access_policy.keyfile import (
    foreign_key_file,
    lock_exclusively,
    open_database,
    read_or_make_keys,
)
from maplebridge.access_policy.keys import GradeDomain, Master, ScopeKind, prefixed
from maplebridge.access_policy.keytransport import (
    BATCH_MAX_MASTERS,
    BrokerPublicKey,
    NewMaster,
    encode_batch,
)
from maplebridge.errors import InputError, KeyStoreUnavailable

_NONCE_BYTES = 12
_REF_BYTES = 16
_MAC_BYTES = 16
_UNWRITTEN_MAX_MASTERS = 4_000
_CACHE_MASTERS = 20_000


@dataclass(frozen=True, slots=True)
class KeyBatch:
    """New masters that Kafka has not acknowledged; `number` is theirs in the file."""

    number: int
    masters: int
    plain: bytes = field(repr=False)


class _Subject(NamedTuple):
    mac: bytes
    number: int
    key_ref: bytes


class DepartmentKeys:
    """The masters of one department. Safe to share between threads, not between processes.

    path: the SQLite file, made when missing; `.kek` and `.lock` stand beside it.
    Raises InputError if another process holds the file for `lock_timeout_s`,
    IntegrityError if the key file is missing or is another's.
    """

    def __init__(
        self,
        path: Path,
        *,
        department: str,
        broker_public_key: BrokerPublicKey,
        lock_timeout_s: float = 5.0,
    ) -> None:
        self.department = department
        self._path = path
        self._public = broker_public_key
        self._mutex = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = lock_exclusively(
            path.with_suffix(".lock"), department=department, timeout_s=lock_timeout_s
        )
        try:
            kek, self._index_key = read_or_make_keys(path.with_suffix(".kek"), path)
            self._aead = AESGCM(kek)
            self._db = open_database(path)
        except BaseException:
            os.close(self._lock)
            raise
        try:
            self._check_key_file()
        except BaseException:
            self._db.close()
            os.close(self._lock)
            raise
        self._recent: dict[tuple[str, str, int, str], Master] = {}
        self._older: dict[tuple[str, str, int, str], Master] = {}
        self._subjects: dict[tuple[str, str], _Subject] = {}
        self._new_subjects: list[_Subject] = []
        self._new: list[tuple[_Subject, NewMaster]] = []
        self._stored_subjects = self._last_subject()

    def master(
        self,
        scope_kind: ScopeKind,
        identifier: str,
        *,
        grade_domain: GradeDomain,
        community: str,
    ) -> Master:
        """Return the master of a subject or case, made if it is new.

        identifier: the subject's own number or name, or the case's reference; it is
        kept as an HMAC and travels to the broker only inside the wrap. Raises InputError
        if it is over 512 characters, or the community is no code.
        """
        wanted = (scope_kind, identifier, grade_domain, community)
        with self._mutex:
            found = self._recent.get(wanted)
            if found is None:
                found = self._older.get(wanted) or self._find_or_make(
                    scope_kind, identifier, grade_domain, community
                )
                self._remember(wanted, found)
            return found

    def key_ref(self, scope_kind: ScopeKind, identifier: str) -> str:
        """Return the random reference of a subject or case, made if it is new."""
        with self._mutex:
            return self._subject(scope_kind, identifier).key_ref.hex()

    def pending(self, *, besides: Collection[int] = ()) -> list[KeyBatch]:
        """Write what is new, and return every batch not yet `mark_published`, oldest first.

        besides: numbers of batches that are on their way already and not wanted again.
        """
        with self._mutex:
            self._persist()
            numbers = self._db.execute("SELECT number FROM key_pending ORDER BY number").fetchall()
            return [self._batch(number) for (number,) in numbers if number not in besides]

    def wrap(self, batch: KeyBatch) -> bytes:
        """Return the batch so that only the key broker opens it."""
        return self._public.wrap(batch.plain, department=self.department)

    def announcement(self, batch: KeyBatch, *, created_at: int) -> dict[str, Any]:
        """Return the event `keys.master.created`; created_at in microseconds since 1970."""
        return {
            "event_id": str(uuid.uuid4()),
            "department": self.department,
            "epoch": self._public.epoch,
            "created_at": created_at,
            "count": batch.masters,
            "wrap": self.wrap(batch),
        }

    def mark_published(self, batch: KeyBatch) -> None:
        """Forget a batch whose wrap Kafka has acknowledged; the masters stay."""
        with self._mutex, self._transaction():
            self._db.execute("DELETE FROM key_pending WHERE number = ?", (batch.number,))

    def close(self) -> None:
        """Write what is new and let go of the file; harmless to repeat."""
        with self._mutex:
            if self._lock < 0:
                return
            try:
                self._persist()
            finally:
                self._db.close()
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

    def _batch(self, number: int) -> KeyBatch:
        masters, sealed = self._db.execute(
            "SELECT masters, sealed FROM key_pending WHERE number = ?", (number,)
        ).fetchone()
        return KeyBatch(number, masters, self._decrypt(sealed, b"pending"))

    def _find_or_make(
        self, scope_kind: ScopeKind, identifier: str, grade_domain: GradeDomain, community: str
    ) -> Master:
        subject = self._subject(scope_kind, identifier)
        row = None
        if subject.number <= self._stored_subjects:
            row = self._db.execute(
                "SELECT key_id, version, sealed FROM key_masters"
                " WHERE subject = ? AND grade_domain = ? AND community = ?",
                (subject.number, grade_domain, community),
            ).fetchone()
        if row:
            key_id, version, sealed = row
            secret = self._decrypt(sealed, key_id)
        else:
            fresh = os.urandom(48)
            key_id, version, secret = fresh[:16], 1, fresh[16:]
        master = Master(
            key_id,
            version,
            self.department,
            subject.key_ref.hex(),
            scope_kind,
            grade_domain,
            community,
            secret,
        )
        if not row:
            new = NewMaster(master, identifier)
            if not new.fits():
                raise InputError(
                    f"a {scope_kind} of {self.department} cannot have a key: its identifier is over"
                    " 512 characters, or its community is no code.",
                )
            self._new.append((subject, new))
            if len(self._new) >= _UNWRITTEN_MAX_MASTERS:
                self._persist()
        return master

    def _subject(self, scope_kind: ScopeKind, identifier: str) -> _Subject:
        known = self._subjects.get((scope_kind, identifier))
        if known is not None:
            return known
        text = prefixed(scope_kind) + identifier.encode()
        mac = hmac.digest(self._index_key, text, "sha256")[:_MAC_BYTES]
        row = self._db.execute(
            "SELECT subject, key_ref FROM key_subjects WHERE subject_mac = ?", (mac,)
        ).fetchone()
        if row is None:
            number = self._stored_subjects + len(self._new_subjects) + 1
            subject = _Subject(mac, number, os.urandom(_REF_BYTES))
            self._new_subjects.append(subject)
        else:
            subject = _Subject(mac, *row)
        self._subjects[scope_kind, identifier] = subject
        return subject

    def _remember(self, wanted: tuple[str, str, int, str], master: Master) -> None:
        if len(self._recent) >= _CACHE_MASTERS:
            self._persist()  # what the caches forget must be in the file
            self._older, self._recent, self._subjects = self._recent, {}, {}
        self._recent[wanted] = master

    def _persist(self) -> None:
        if not self._new and not self._new_subjects:
            return
        masters = [
            (
                subject.number,
                new.master.grade_domain,
                new.master.community,
                new.master.key_id,
                new.master.version,
                self._encrypt(new.master.secret, new.master.key_id),
            )
            for subject, new in self._new
        ]
        news = [new for _, new in self._new]
        batches = [
            news[at : at + BATCH_MAX_MASTERS] for at in range(0, len(news), BATCH_MAX_MASTERS)
        ]
        pending = [
            (len(batch), self._encrypt(encode_batch(batch), b"pending")) for batch in batches
        ]
        # masters and batches in one transaction: none can be used and never be announced
        with self._transaction():
            self._db.executemany("INSERT INTO key_subjects VALUES (?, ?, ?)", self._new_subjects)
            self._db.executemany("INSERT INTO key_masters VALUES (?, ?, ?, ?, ?, ?)", masters)
            self._db.executemany("INSERT INTO key_pending (masters, sealed) VALUES (?, ?)", pending)
        self._stored_subjects += len(self._new_subjects)
        self._new.clear()
        self._new_subjects.clear()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._db:
                yield
        except sqlite3.OperationalError as exc:
            raise KeyStoreUnavailable(
                str(self._path),
                exc.sqlite_errorname,
                todo="Free space on its disk or make it writable, then publish again.",
            ) from exc

    def _last_subject(self) -> int:
        row = self._db.execute("SELECT coalesce(max(subject), 0) FROM key_subjects").fetchone()
        return int(row[0])

    def _encrypt(self, plain: bytes, binding: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, binding)

    def _decrypt(self, sealed: bytes, binding: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], binding)
        except InvalidTag:
            raise foreign_key_file(self.department) from None

    def _check_key_file(self) -> None:
        row = self._db.execute("SELECT key_id, sealed FROM key_masters LIMIT 1").fetchone()
        if row:
            self._decrypt(row[1], row[0])
