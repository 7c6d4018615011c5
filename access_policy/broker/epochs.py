"""The epochs of the key broker (ISO weeks), and the keys below them.

Each epoch has a key, and a transport key pair to which the departments wrap new
masters; the database has its name and public key, and a file the rest. Below it each
department has three keys: for masters of L3, for masters of L4, and for the
identifiers of its subjects.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Literal, get_args

import psycopg

from maplebridge.access_policy.broker.epoch_files import EpochFiles, EpochSecret
from maplebridge.access_policy.broker.keywrap import (
    KEY_BYTES,
    WrappingKey,
    broker_secret_binding,
    department_key_binding,
)
from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.access_policy.keytransport import BrokerPrivateKey, BrokerPublicKey, epoch_of
from maplebridge.errors import InputError, IntegrityError, TokenInvalid

DepartmentKeyKind = Literal["L3", "L4", "subjects"]
PSEUDONYM_ROOT = "pseudonym root"
_KINDS: tuple[DepartmentKeyKind, ...] = get_args(DepartmentKeyKind)


def ensure_epoch(connection: Connection, files: EpochFiles, *, now: datetime) -> BrokerPublicKey:
    """Make the epoch of `now` if it is new, and return its public key.

    connection: the administrator's. Also makes the root of pseudonyms. Raises
    IntegrityError if the root is another than the one the database was made with, or
    the epoch is known and its file is missing.
    """
    pseudonyms = files.root.wrap(os.urandom(KEY_BYTES), broker_secret_binding(PSEUDONYM_ROOT))
    with connection.transaction():
        connection.execute(
            statement("insert_broker_secret"), {"name": PSEUDONYM_ROOT, "wrapped": pseudonyms}
        )
        Epochs.load(connection, files)  # nothing is made under another root
        return _begin(connection, files, epoch_of(now), "insert_epoch")


def this_epoch(connection: Connection) -> str:
    """Return the newest epoch of this week by the database's clock, begun or to be begun."""
    (epoch,) = connection.execute(statement("this_epoch")).fetchone() or ("",)
    return str(epoch)


def begin_epoch(connection: Connection, files: EpochFiles, epoch: str) -> None:
    """Make an epoch as the service may: this week's, if it is new.

    Raises IntegrityError if it is known and its file is missing.
    """
    with connection.transaction():
        _begin(connection, files, epoch, "begin_epoch")


def begin_another(connection: Connection, files: EpochFiles) -> str:
    """Begin a further epoch within the week, such as 2026-W47.01; return its name.

    connection: the administrator's. It is used from then on, and older ones stay until their
    turn. Raises as `begin_epoch`.
    """
    with connection.transaction():
        connection.execute(statement("lock_epochs"))
        week, _, number = this_epoch(connection).partition(".")
        epoch = f"{week}.{int(number or 0) + 1:02}"
        _begin(connection, files, epoch, "insert_epoch")
    return epoch


def destroy_epoch(connection: Connection, files: EpochFiles, epoch: str) -> bool:
    """Delete an epoch and all keys below it; False if something is still wrapped under them.

    Its week must be over.
    """
    try:
        with connection.transaction():
            connection.execute(statement("destroy_epoch"), {"epoch": epoch})
    except psycopg.errors.ForeignKeyViolation:
        return False
    files.destroy(epoch)
    return True


def destroy_strays(connection: Connection, files: EpochFiles, *, before: str) -> list[str]:
    """Destroy the files of older epochs that the database does not know; return which.

    Their turn, or their beginning, was stopped between the file and the row.
    """
    with connection.transaction():
        connection.execute(statement("lock_epochs"))
        strays = [each for each in find_strays(connection, files) if each < before]
        for epoch in strays:
            files.destroy(epoch)
    return strays


def take_up_files(connection: Connection, files: EpochFiles) -> list[str]:
    """Make the rows of epochs that have a whole file and no row of its key; return which.

    Departments wrap to them while a restored database knows nothing of them. Where an epoch was
    begun anew after the copy, what the copy has under its name opens no more and is dropped.
    Within a transaction that locks the epochs. Raises IntegrityError if a file is of another root.
    """
    known = dict(connection.execute(statement("epochs")).fetchall())
    taken_up = []
    for epoch in files.names():
        secret = files.read(epoch)
        if secret is None or known.get(epoch) == secret.public_key:
            continue
        if epoch in known:
            connection.execute(statement("drop_epoch"), {"epoch": epoch})
        row = {"epoch": epoch, "public_key": secret.public_key}
        connection.execute(statement("insert_epoch"), row)
        taken_up.append(epoch)
    return taken_up


def find_strays(connection: Connection, files: EpochFiles) -> list[str]:
    """Return the epochs that have a file and no row."""
    known = {epoch for epoch, _ in connection.execute(statement("epochs"))}
    return [epoch for epoch in files.names() if epoch not in known]


def _begin(connection: Connection, files: EpochFiles, epoch: str, insert: str) -> BrokerPublicKey:
    # the file is there before a row says so, and of two who begin the second finds it
    connection.execute(statement("lock_epochs"))
    known = dict(connection.execute(statement("epochs")).fetchall())
    secret = files.read(epoch) if epoch in known else files.make(epoch)
    if secret is None or known.get(epoch, secret.public_key) != secret.public_key:
        raise IntegrityError(
            f"the file of the key broker's epoch {epoch} is missing, or another's.",
            todo="Put it back from its copy; if there is none, run"
            f" `maplebridge keys rotate --drop-lost {epoch}`.",
        )
    connection.execute(statement(insert), {"epoch": epoch, "public_key": secret.public_key})
    return secret.transport.public()


class Epochs:
    """The epochs that the service has loaded. Safe to share between threads."""

    def __init__(
        self, secrets: dict[str, EpochSecret], lost: frozenset[str], pseudonym_root: bytes
    ) -> None:
        self._keys = {epoch: WrappingKey(secret.key) for epoch, secret in secrets.items()}
        self._transport = {epoch: secret.transport for epoch, secret in secrets.items()}
        self.lost = lost
        """The epochs whose files are missing, or of others of their name: nothing opens there."""
        self.pseudonym_root = pseudonym_root
        self._departments: dict[tuple[str, str, str], WrappingKey] = {}

    @classmethod
    def load(cls, connection: Connection, files: EpochFiles) -> Epochs:
        """Raises InputError if nothing was made yet, IntegrityError if the root is another."""
        row = connection.execute(statement("broker_secret"), {"name": PSEUDONYM_ROOT}).fetchone()
        if row is None:
            raise InputError("the key broker has no epoch yet.", todo="Run `maplebridge up`.")
        pseudonym_root = files.root.unwrap(row[0], broker_secret_binding(PSEUDONYM_ROOT))
        secrets, lost = {}, set()
        for epoch, public_key in connection.execute(statement("epochs")).fetchall():
            secret = files.read(epoch)
            if secret is None or secret.public_key != public_key:
                lost.add(epoch)
            else:
                secrets[epoch] = secret
        return cls(secrets, frozenset(lost), pseudonym_root)

    @property
    def newest(self) -> str:
        """Raises IntegrityError if the files of all epochs are missing."""
        if not self._keys:
            raise IntegrityError(
                "the files of all epochs of the key broker are missing.",
                todo="Put them back from their copy, or run `maplebridge keys rotate`.",
            )
        return max(self._keys)

    def __contains__(self, epoch: object) -> bool:
        return epoch in self._keys

    def public_key(self, epoch: str) -> BrokerPublicKey:
        """Return an epoch's public key, from its file: no row can name another."""
        return self._transport[epoch].public()

    def private_key(self, epoch: str) -> BrokerPrivateKey:
        """Raises TokenInvalid if the epoch is unknown or its private half was destroyed."""
        try:
            return self._transport[epoch]
        except KeyError:
            raise TokenInvalid("a wrap names an epoch without a private key.") from None

    def make_department_keys(self, connection: Connection, *, epoch: str, department: str) -> None:
        """Make the keys of a department in an epoch where they are missing.

        In a transaction of its own: `department_key` remembers only what is committed.
        """
        for kind in _KINDS:
            if (epoch, department, kind) in self._departments:
                continue
            binding = department_key_binding(epoch, department, kind)
            row = {
                "epoch": epoch,
                "department": department,
                "kind": kind,
                "wrapped": self._keys[epoch].wrap(os.urandom(KEY_BYTES), binding),
            }
            connection.execute(statement("insert_department_key"), row)

    def department_key(
        self, connection: Connection, *, epoch: str, department: str, kind: DepartmentKeyKind
    ) -> WrappingKey:
        """Raises IntegrityError if there is no such key, or it was altered."""
        wanted = (epoch, department, kind)
        known = self._departments.get(wanted)
        if known is None:
            where = {"epoch": epoch, "department": department, "kind": kind}
            row = connection.execute(statement("department_key"), where).fetchone()
            if row is None or epoch not in self._keys:
                raise IntegrityError(f"the key broker has no key of {department} in {epoch}.")
            binding = department_key_binding(*wanted)
            known = WrappingKey(self._keys[epoch].unwrap(bytes(row[0]), binding))
            self._departments[wanted] = known
        return known
