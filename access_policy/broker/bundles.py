"""The key broker's half of sealed bundles as its database keeps it: a share per bundle."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.settings import Mechanism


@dataclass(frozen=True)
class BundleState:
    """What is known of a principal's newest bundle; older_until: of the login before it."""

    principal: str
    made_at: datetime
    expires_at: datetime
    opened_at: datetime | None
    withdrawn: bool
    kafka_mechanism: Mechanism
    older_until: datetime | None
    last_key_at: datetime | None


@dataclass(frozen=True)
class InUse:
    """What a principal acts with: of the newest bundle it has opened.

    is_newest: whether no newer bundle waits to be opened.
    """

    kafka_mechanism: Mechanism
    signing_key_id: bytes
    is_newest: bool


def deposit(
    connection: Connection,
    *,
    bundle_id: uuid.UUID,
    principal: str,
    share: bytes,
    proof: bytes,
    expires_at: datetime,
    grace_s: float,
    kafka_mechanism: Mechanism,
    signing_key_id: bytes,
) -> None:
    """Keep a bundle's share, and of what is in it only what says which it is.

    connection: the administrator's. grace_s: how long after the opening the login before
    still holds.
    """
    row = {
        "bundle_id": bundle_id,
        "principal": principal,
        "share": share,
        "proof_hash": hashlib.sha256(proof).digest(),
        "expires_at": expires_at,
        "grace_s": grace_s,
        "kafka_mechanism": kafka_mechanism,
        "signing_key_id": signing_key_id,
    }
    connection.execute(statement("insert_bundle"), row)


def withdraw(connection: Connection, principal: str) -> None:
    """Let no bundle of a principal be opened any more."""
    connection.execute(statement("withdraw_bundles"), {"principal": principal})


def end_bundles(connection: Connection, principal: str) -> None:
    """Remember that nothing of what a principal's bundles hold is in use any more."""
    connection.execute(statement("end_bundles"), {"principal": principal})


def in_use(connection: Connection, principal: str) -> InUse | None:
    """Return what a principal acts with, None if it has opened nothing that still holds."""
    with connection.cursor(row_factory=class_row(InUse)) as cursor:
        return cursor.execute(statement("bundle_in_use"), {"principal": principal}).fetchone()


def states(connection: Connection) -> Sequence[BundleState]:
    """Return the newest bundle of each principal."""
    with connection.cursor(row_factory=class_row(BundleState)) as cursor:
        return cursor.execute(statement("bundle_states")).fetchall()
