"""The masters of one department, made and kept where the department is.

The department's store holds the masters encrypted under its key-encrypting key;
whom a master belongs to is kept only as an HMAC under its index key. A new master
is made in memory, so sealing waits for nothing, and written in the transaction
that takes the event sealed with it; `pending` hands out what is to go to
`mb.control.keys`. Send that, and have it acknowledged, before any such event.
"""

from __future__ import annotations

import hmac
import json
import os
import sqlite3
import uuid
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from maplebridge.access_policy.department_store import DepartmentStore, foreign_key_file
from maplebridge.access_policy.keys import GradeDomain, Master, ScopeKind, prefixed
from maplebridge.access_policy.keytransport import (
    BATCH_MAX_MASTERS,
    BrokerPublicKey,
    NewMaster,
    decode_batch,
    encode_batch,
    join_batches,
)
from maplebridge.errors import InputError
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.access_policy", "keystore.sql")
_NONCE_BYTES = 12
_REF_BYTES = 16
_MAC_BYTES = 16
_UNWRITTEN_MAX_MASTERS = 4_000
_CACHE_MASTERS = 20_000
_MOVED_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class KeyBatch:
    """New masters that Kafka has not acknowledged: rows `first` to `last` of the store."""

    first: int
    last: int
    masters: int
    plain: bytes = field(repr=False)


class _Subject(NamedTuple):
    mac: bytes
    number: int
    key_ref: bytes


class DepartmentKeys:
    """The masters of one department. Safe to share between threads.

    Raises IntegrityError if the store's key file is another's.
    """

    def __init__(self, store: DepartmentStore) -> None:
        self.department = store.department
        self._store = store
        self._mutex = store.mutex
        self._aead = AESGCM(store.kek)
        self._index_key = store.index_key
        store.make_tables(SQL["schema"])
        self._db = store.db
        self._check_key_file()
        self._recent: dict[tuple[str, str, int, str], Master] = {}
        self._older: dict[tuple[str, str, int, str], Master] = {}
        self._subjects: dict[tuple[str, str], _Subject] = {}
        self._new_subjects: list[_Subject] = []
        self._new: list[tuple[_Subject, NewMaster]] = []
        self._stored_subjects = self._max("subject", "key_subjects")
        self.erasures = 0
        """How often masters were destroyed; keys remembered from before may be of one of them."""
        self.last_pending = self._max("number", "key_pending")
        """The number of the newest batch in the store."""

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

    def write_new(self) -> None:
        """Write what is new, in the transaction that is open or in one of its own."""
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
            (number, len(batch), self._encrypt(encode_batch(batch), b"pending"))
            for number, batch in enumerate(batches, self.last_pending + 1)
        ]
        # masters and batches in one transaction: none can be used and never be announced
        with self._store.transaction() as db:
            db.executemany("INSERT INTO key_subjects VALUES (?, ?, ?)", self._new_subjects)
            db.executemany("INSERT INTO key_masters VALUES (?, ?, ?, ?, ?, ?)", masters)
            db.executemany("INSERT INTO key_pending VALUES (?, ?, ?)", pending)
            self._store.after_commit(self._written)

    def _written(self) -> None:
        self._stored_subjects += len(self._new_subjects)
        self.last_pending += -(-len(self._new) // BATCH_MAX_MASTERS)
        self._new.clear()
        self._new_subjects.clear()

    def pending(self, *, after: int = 0, batches: int = 10) -> list[KeyBatch]:
        """Return what is written and not yet `mark_published`, oldest first.

        after: only rows numbered higher. batches: at most so many, of up to 1,000 masters.
        """
        found: list[KeyBatch] = []
        with self._store.reading() as db:
            rows = db.execute(
                "SELECT number, masters, sealed FROM key_pending WHERE number > ?"
                " ORDER BY number LIMIT ?",
                (after, batches * BATCH_MAX_MASTERS),
            ).fetchall()
            for group in _grouped(rows):
                if len(found) == batches:
                    break
                plains = [self._decrypt(sealed, b"pending") for _, _, sealed in group]
                masters = sum(count for _, count, _ in group)
                found.append(KeyBatch(group[0][0], group[-1][0], masters, join_batches(plains)))
        return found

    def announcement(
        self, batch: KeyBatch, public_key: BrokerPublicKey, *, created_at: int
    ) -> dict[str, Any]:
        """Return the event `keys.master.created`, whose wrap only the key broker opens.

        created_at: microseconds since 1970.
        """
        return {
            "event_id": str(uuid.uuid4()),
            "department": self.department,
            "epoch": public_key.epoch,
            "created_at": created_at,
            "count": batch.masters,
            "wrap": public_key.wrap(batch.plain, department=self.department),
        }

    def mark_published(self, batch: KeyBatch) -> None:
        """Forget a batch whose wrap Kafka has acknowledged; the masters stay."""
        with self._store.transaction() as db:
            db.execute(
                "DELETE FROM key_pending WHERE number BETWEEN ? AND ?", (batch.first, batch.last)
            )

    def destroy(self, key_refs: Collection[str]) -> int:
        """Destroy every master of these references and all that tells whose they are.

        Whoever they belonged to gets another reference and other masters if it comes again.
        Return how many masters there were. Raises DepartmentStoreUnavailable, IntegrityError.
        """
        wanted = json.dumps(sorted(key_refs))
        with self._store.transaction() as db:
            # what is made and not written would be written after, for nobody
            self.write_new()
            gone = {key_id for (key_id,) in db.execute(SQL["masters_of"], (wanted,))}
            db.execute(SQL["destroy_masters"], (wanted,))
            db.execute(SQL["forget_subjects"], (wanted,))
            self._withdraw(db, gone)
            self._store.after_commit(self._forget)
        return len(gone)

    def reencrypt(self) -> None:
        """Put every master under a new key and destroy the one before: no copy opens any more.

        Raises DepartmentStoreUnavailable, IntegrityError.
        """
        with self._mutex:
            try:
                self._store.replace_kek(self._move)
            finally:
                self._aead = AESGCM(self._store.kek)

    def _move(self, db: sqlite3.Connection, kek: bytes) -> None:
        aead, after = AESGCM(kek), (0, 0, "")
        while rows := db.execute(SQL["masters_after"], (*after, _MOVED_ROWS)).fetchall():
            moved = [
                (_encrypt(aead, self._decrypt(sealed, key_id), key_id), *place)
                for *place, key_id, sealed in rows
            ]
            db.executemany(SQL["move_master"], moved)
            after = rows[-1][:3]
        for number, masters, sealed in db.execute(SQL["every_pending"]).fetchall():
            anew = _encrypt(aead, self._decrypt(sealed, b"pending"), b"pending")
            db.execute(SQL["replace_pending"], (masters, anew, number))

    def _withdraw(self, db: sqlite3.Connection, gone: Collection[bytes]) -> None:
        """Take destroyed masters out of what is still to be announced."""
        for number, _, sealed in db.execute(SQL["every_pending"]).fetchall():
            batch = decode_batch(self._decrypt(sealed, b"pending"), department=self.department)
            left = [new for new in batch if new.master.key_id not in gone]
            if not left:
                db.execute(SQL["drop_pending"], (number,))
            elif len(left) < len(batch):
                anew = self._encrypt(encode_batch(left), b"pending")
                db.execute(SQL["replace_pending"], (len(left), anew, number))

    def _forget(self) -> None:
        self._recent, self._older, self._subjects = {}, {}, {}
        self.erasures += 1

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
                self.write_new()
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
            self.write_new()  # what the caches forget must be in the file
            self._older, self._recent, self._subjects = self._recent, {}, {}
        self._recent[wanted] = master

    def _max(self, column: str, table: str) -> int:
        with self._store.reading() as db:
            row = db.execute(f"SELECT coalesce(max({column}), 0) FROM {table}").fetchone()  # noqa: S608
        return int(row[0])

    def _encrypt(self, plain: bytes, binding: bytes) -> bytes:
        return _encrypt(self._aead, plain, binding)

    def _decrypt(self, sealed: bytes, binding: bytes) -> bytes:
        try:
            return self._aead.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], binding)
        except InvalidTag:
            raise foreign_key_file(self.department) from None

    def _check_key_file(self) -> None:
        row = self._db.execute("SELECT key_id, sealed FROM key_masters LIMIT 1").fetchone()
        if row:
            self._decrypt(row[1], row[0])


def _encrypt(aead: AESGCM, plain: bytes, binding: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + aead.encrypt(nonce, plain, binding)


def _grouped(rows: Sequence[tuple[int, int, bytes]]) -> Iterator[list[tuple[int, int, bytes]]]:
    """Yield runs of rows that hold up to 1,000 masters together."""
    group: list[tuple[int, int, bytes]] = []
    masters = 0
    for row in rows:
        if group and masters + row[1] > BATCH_MAX_MASTERS:
            yield group
            group, masters = [], 0
        group.append(row)
        masters += row[1]
    if group:
        yield group
