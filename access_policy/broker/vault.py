"""The masters that the key broker keeps, and whose they are."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import (
    DepartmentKeyKind,
    Epochs,
    begin_epoch,
    this_epoch,
)
from maplebridge.access_policy.broker.keywrap import master_binding, subject_binding
from maplebridge.access_policy.broker.store import Connection, Connections, statement
from maplebridge.access_policy.keys import Master
from maplebridge.access_policy.keytransport import BrokerPublicKey, NewMaster, decode_batch
from maplebridge.errors import IntegrityError

_log = logging.getLogger(__name__)
_CACHED_MASTERS = 5_000
_CACHED_S = 30.0
_EPOCHS_S = 60.0
Result = TypeVar("Result")
Subject = tuple[str, str]
"""(department, key_ref)"""


class Vault:
    """Stores and reads masters. Safe to share between threads.

    Raises InputError if the database has no epoch yet, IntegrityError if the root
    is another than its own, StoreUnavailable.
    """

    def __init__(self, connections: Connections, files: EpochFiles) -> None:
        self._connections = connections
        self._files = files
        self._others: list[str] = []
        self.refresh()
        self._cache = _MasterCache()

    @property
    def epochs(self) -> Epochs:
        return self._epochs

    def public_key(self) -> BrokerPublicKey:
        """Return this week's transport key, made if the week is new. Raises StoreUnavailable."""
        with self._connections.use() as connection:
            epoch = this_epoch(connection)
            if epoch not in self._epochs:
                begin_epoch(connection, self._files, epoch)
        if epoch not in self._epochs:
            # only what is committed: nobody may wrap to a key whose private half was lost
            self.refresh()
        return self._epochs.public_key(epoch)

    def open_wrap(self, wrap: bytes, *, department: str, epoch: str) -> list[NewMaster]:
        """Raises TokenInvalid if it was not made for this broker, or is malformed inside."""
        if epoch not in self._epochs:
            self.refresh()
        plain = self._epochs.private_key(epoch).unwrap(wrap, department=department)
        return decode_batch(plain, department=department)

    def store(self, masters: Sequence[NewMaster]) -> int:
        """Keep the masters, durably; return how many key ids were new.

        A key id that is there already keeps its first master. Raises StoreUnavailable.
        """
        if not masters:
            return 0
        departments = sorted({new.master.department for new in masters})

        def make_keys(connection: Connection, epochs: Epochs) -> None:
            with _while_epoch_lasts(epochs.newest):
                for each in departments:
                    epochs.make_department_keys(connection, epoch=epochs.newest, department=each)

        def insert(connection: Connection, epochs: Epochs) -> int:
            connection.execute(statement("share_erasures"))
            subjects = _subject_rows(connection, epochs, epochs.newest, masters)
            rows = _master_rows(connection, epochs, epochs.newest, [new.master for new in masters])
            with _while_epoch_lasts(epochs.newest):
                connection.execute(statement("insert_subjects"), subjects)
                added = connection.execute(statement("insert_masters"), rows).fetchone()
            return int(added[0]) if added else 0

        self._under(make_keys)
        return self._under(insert)

    def masters(self, key_ids: Iterable[bytes]) -> dict[bytes, Master]:
        """Return the known ones of these masters by key id, not those of a lost epoch.

        Raises IntegrityError if a row was altered, StoreUnavailable.
        """
        wanted = set(key_ids)
        number = self._last_erasure()
        found = self._cache.known(wanted, number)
        missing = sorted(wanted - found.keys())
        if missing:

            def read_rows(connection: Connection, epochs: Epochs) -> dict[bytes, Master]:
                rows = connection.execute(statement("masters"), {"key_ids": missing}).fetchall()
                return {
                    bytes(row[0]): read_master(connection, epochs, row)
                    for row in _not_lost(epochs, rows)
                }

            read = self._under(read_rows)
            self._cache.add(read, number)
            found |= read
        return found

    def erased(self, key_ids: Iterable[bytes]) -> set[bytes]:
        """Return those of these masters that an erasure has destroyed. Raises StoreUnavailable."""
        wanted = {"key_ids": sorted(set(key_ids))}
        if not wanted["key_ids"]:
            return set()
        with self._connections.use() as connection:
            return {
                bytes(row[0]) for row in connection.execute(statement("erased_masters"), wanted)
            }

    def erased_subjects(self, subjects: Iterable[Subject]) -> set[Subject]:
        """Return those of these subjects that were erased. Raises StoreUnavailable."""
        wanted = sorted(set(subjects))
        if not wanted:
            return set()
        with self._connections.use() as connection:
            found = connection.execute(statement("erased_refs"), columns_of(wanted))
            return {(department, key_ref) for department, key_ref in found}

    def identifiers(self, subjects: Sequence[Subject]) -> dict[Subject, tuple[str, str]]:
        """Return (scope kind, identifier) of the known ones of these subjects.

        Raises IntegrityError if a row was altered, StoreUnavailable.
        """
        columns = columns_of(sorted(set(subjects)))

        def read(connection: Connection, epochs: Epochs) -> dict[Subject, tuple[str, str]]:
            rows = connection.execute(statement("subjects"), columns).fetchall()
            return {
                (row[0], row[1]): (row[2], read_identifier(connection, epochs, row))
                for row in _not_lost(epochs, rows)
            }

        return self._under(read)

    def check(self) -> None:
        """Raises StoreUnavailable if the database does not answer."""
        with self._connections.use() as connection:
            connection.execute("SELECT 1")

    def _last_erasure(self) -> int:
        with self._connections.use() as connection:
            (number,) = connection.execute(statement("last_erasure")).fetchone() or (0,)
        return int(number)

    def refresh(self) -> None:
        """Read the epochs anew, and forget those that are destroyed. Raises as the class does."""
        with self._connections.use() as connection:
            self._epochs = Epochs.load(connection, self._files)
        if self._epochs.lost:
            lost = ", ".join(sorted(self._epochs.lost))
            _log.error("the files of epochs are lost: %s; their masters open nothing", lost)
        others = self._files.others()
        if others and others != self._others:
            _log.warning(
                "beside the files of epochs lie others: %s; remove them, for a copy of an"
                " epoch's file undoes the erasures since",
                ", ".join(others),
            )
        self._others = others
        self._loaded = time.monotonic()

    def _under(self, act: Callable[[Connection, Epochs], Result]) -> Result:
        """Act in a transaction, and once more if an epoch's turn came between.

        An epoch that is over is forgotten within a minute: a running broker must not keep
        what was destroyed.
        """
        if time.monotonic() - self._loaded > _EPOCHS_S:
            self.refresh()
        with suppress(IntegrityError), self._connections.use() as connection:
            return act(connection, self._epochs)
        self.refresh()
        with self._connections.use() as connection:
            return act(connection, self._epochs)


class _MasterCache:
    """Masters lately read, forgotten at an erasure and after at most twice `_CACHED_S`.

    erasure: the number of the last one by the time at which the masters were, or are, read.
    """

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._erasure = 0
        self._recent: dict[bytes, Master] = {}
        self._older: dict[bytes, Master] = {}
        self._turned = time.monotonic()

    def known(self, key_ids: Iterable[bytes], erasure: int) -> dict[bytes, Master]:
        with self._mutex:
            if erasure > self._erasure:
                self._recent, self._older, self._erasure = {}, {}, erasure
            self._turn(0)
            both = self._older | self._recent if self._older else self._recent
            return {key_id: both[key_id] for key_id in key_ids if key_id in both}

    def add(self, masters: dict[bytes, Master], erasure: int) -> None:
        with self._mutex:
            if erasure < self._erasure:
                return  # one of them may have been erased since it was read
            self._turn(len(masters))
            self._recent |= masters

    def _turn(self, coming: int) -> None:
        now = time.monotonic()
        late = now - self._turned > _CACHED_S
        if late or len(self._recent) + coming > _CACHED_MASTERS:
            self._older = {} if now - self._turned > 2 * _CACHED_S else self._recent
            self._recent = {}
            self._turned = now


def columns_of(subjects: Iterable[Subject]) -> dict[str, list[str]]:
    """Return subjects as the parameters `departments` and `key_refs` of a statement."""
    listed = list(subjects)
    return {
        "departments": [department for department, _ in listed],
        "key_refs": [key_ref for _, key_ref in listed],
    }


def read_master(connection: Connection, epochs: Epochs, row: Sequence[Any]) -> Master:
    """Unwrap a row of `masters`; raises IntegrityError if it was altered, or its epoch is over."""
    *public, epoch, wrapped = row
    key_id, version, department, key_ref, scope_kind, grade_domain, community = public
    names = (department, key_ref, scope_kind, grade_domain, community)
    unread = Master(bytes(key_id), version, *names, secret=b"")
    key = epochs.department_key(connection, epoch=epoch, department=department, kind=_kind(unread))
    secret = key.unwrap(bytes(wrapped), master_binding(unread))
    return Master(unread.key_id, version, *names, secret=secret)


def wrap_master(connection: Connection, epochs: Epochs, epoch: str, master: Master) -> bytes:
    key = epochs.department_key(
        connection, epoch=epoch, department=master.department, kind=_kind(master)
    )
    return key.wrap(master.secret, master_binding(master))


def read_identifier(connection: Connection, epochs: Epochs, row: Sequence[Any]) -> str:
    """Unwrap a row of `subjects`; raises IntegrityError as `read_master` does."""
    department, key_ref, scope_kind, epoch, wrapped = row
    key = epochs.department_key(connection, epoch=epoch, department=department, kind="subjects")
    return key.unwrap(bytes(wrapped), subject_binding(department, key_ref, scope_kind)).decode()


def wrap_identifier(
    connection: Connection,
    epochs: Epochs,
    epoch: str,
    subject: tuple[str, str, str],
    identifier: str,
) -> bytes:
    """subject: department, key_ref and scope kind."""
    key = epochs.department_key(connection, epoch=epoch, department=subject[0], kind="subjects")
    return key.wrap(identifier.encode(), subject_binding(*subject))


def _not_lost(epochs: Epochs, rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Any]]:
    return (row for row in rows if row[-2] not in epochs.lost)


@contextmanager
def _while_epoch_lasts(epoch: str) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.ForeignKeyViolation:
        raise IntegrityError(f"the key broker's epoch {epoch} is over.") from None


def _kind(master: Master) -> DepartmentKeyKind:
    return "L4" if master.grade_domain == 4 else "L3"


def _master_rows(
    connection: Connection, epochs: Epochs, epoch: str, masters: Sequence[Master]
) -> dict[str, list[Any]]:
    return {
        "key_ids": [master.key_id for master in masters],
        "versions": [master.version for master in masters],
        "departments": [master.department for master in masters],
        "key_refs": [master.key_ref for master in masters],
        "scope_kinds": [master.scope_kind for master in masters],
        "grade_domains": [master.grade_domain for master in masters],
        "communities": [master.community for master in masters],
        "epochs": [epoch] * len(masters),
        "wrapped": [wrap_master(connection, epochs, epoch, master) for master in masters],
    }


def _subject_rows(
    connection: Connection, epochs: Epochs, epoch: str, masters: Sequence[NewMaster]
) -> dict[str, list[Any]]:
    unique = {(new.master.department, new.master.key_ref): new for new in masters}.values()

    def wrapped(new: NewMaster) -> bytes:
        subject = (new.master.department, new.master.key_ref, new.master.scope_kind)
        return wrap_identifier(connection, epochs, epoch, subject, new.identifier)

    return {
        "departments": [new.master.department for new in unique],
        "key_refs": [new.master.key_ref for new in unique],
        "scope_kinds": [new.master.scope_kind for new in unique],
        "epochs": [epoch] * len(unique),
        "wrapped": [wrapped(new) for new in unique],
    }
