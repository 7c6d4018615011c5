"""The epochs of the key broker (ISO weeks), and the keys below them.

Each epoch has a key under the root, and a transport key pair to which the
departments wrap new masters. Below it each department has three keys: for
masters of L3, for masters of L4, and for the identifiers of its subjects.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Literal, get_args

from maplebridge.access_policy.broker.keywrap import (
    KEY_BYTES,
    WrappingKey,
    broker_secret_binding,
    department_key_binding,
    epoch_key_binding,
    transport_binding,
)
from maplebridge.access_policy.broker.root import Root
from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.access_policy.keytransport import BrokerPrivateKey, BrokerPublicKey, epoch_of
from maplebridge.errors import InputError, IntegrityError, TokenInvalid

DepartmentKeyKind = Literal["L3", "L4", "subjects"]
PSEUDONYM_ROOT = "pseudonym root"
_KINDS: tuple[DepartmentKeyKind, ...] = get_args(DepartmentKeyKind)


def ensure_epoch(connection: Connection, root: Root, *, now: datetime) -> BrokerPublicKey:
    """Make the epoch of `now` if it is new, and return its public key.

    connection: the administrator's. Also makes the root of pseudonyms. Raises
    IntegrityError if the root is another than the one the database was made with.
    """
    epoch = epoch_of(now)
    pseudonyms = root.wrap(os.urandom(KEY_BYTES), broker_secret_binding(PSEUDONYM_ROOT))
    with connection.transaction():
        connection.execute(statement("insert_epoch"), _new_epoch(root, epoch))
        connection.execute(
            statement("insert_broker_secret"), {"name": PSEUDONYM_ROOT, "wrapped": pseudonyms}
        )
    return Epochs.load(connection, root).public_key(epoch)


def this_epoch(connection: Connection) -> str:
    """Return the week by the database's clock."""
    (epoch,) = connection.execute(statement("this_epoch")).fetchone() or ("",)
    return str(epoch)


def begin_epoch(connection: Connection, root: Root, epoch: str) -> None:
    """Make an epoch as the service may: this week's, if it is new."""
    connection.execute(statement("begin_epoch"), _new_epoch(root, epoch))


def _new_epoch(root: Root, epoch: str) -> dict[str, Any]:
    private = BrokerPrivateKey.generate(epoch)
    return {
        "epoch": epoch,
        "kek": root.wrap(os.urandom(KEY_BYTES), epoch_key_binding(epoch)),
        "public_key": private.public().encode(),
        "transport_secret": root.wrap(private.secret, transport_binding(epoch)),
    }


class Epochs:
    """The epochs that the service has loaded. Safe to share between threads."""

    def __init__(
        self,
        keys: dict[str, WrappingKey],
        transport: dict[str, BrokerPrivateKey],
        public: dict[str, BrokerPublicKey],
        pseudonym_root: bytes,
    ) -> None:
        self._keys = keys
        self._transport = transport
        self._public = public
        self.pseudonym_root = pseudonym_root
        self._departments: dict[tuple[str, str, str], WrappingKey] = {}

    @classmethod
    def load(cls, connection: Connection, root: Root) -> Epochs:
        """Raises InputError if there is no epoch, IntegrityError if the root is another."""
        keys, transport, public = {}, {}, {}
        for epoch, kek, public_key, secret in connection.execute(statement("epochs")):
            keys[epoch] = WrappingKey(root.unwrap(kek, epoch_key_binding(epoch)))
            public[epoch] = BrokerPublicKey.decode(public_key)
            if secret is not None:
                opened = root.unwrap(secret, transport_binding(epoch))
                transport[epoch] = BrokerPrivateKey(epoch, opened)
        row = connection.execute(statement("broker_secret"), {"name": PSEUDONYM_ROOT}).fetchone()
        if not keys or row is None:
            raise InputError("the key broker has no epoch yet.", todo="Run `maplebridge up`.")
        pseudonym_root = root.unwrap(row[0], broker_secret_binding(PSEUDONYM_ROOT))
        return cls(keys, transport, public, pseudonym_root)

    @property
    def newest(self) -> str:
        return max(self._keys)

    def __contains__(self, epoch: object) -> bool:
        return epoch in self._keys

    def public_key(self, epoch: str) -> BrokerPublicKey:
        return self._public[epoch]

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
