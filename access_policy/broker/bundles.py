"""The key broker's half of sealed bundles: a share per bundle, given out a single time."""

# no postponed annotations: FastAPI could not resolve those of functions made in a function
import base64
import hashlib
import hmac
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Response
from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict, Field

from maplebridge.access_policy.broker.store import Connection, Connections, statement
from maplebridge.problems import Problem
from maplebridge.settings import Mechanism

ATTEMPTS_MAX = 5
"""So many wrong proofs burn the share; the code has 140 bits, so this is against noise."""
_log = logging.getLogger(__name__)


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


class Bundles:
    """Gives out shares. Safe to share between threads."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def redeem(self, bundle_id: uuid.UUID, proof: bytes) -> bytes | Problem:
        """Return the share, deleted in the same transaction, or why there is none.

        Raises StoreUnavailable; nothing is deleted then.
        """
        with self._connections.use() as connection:
            held = connection.execute(statement("bundle"), {"bundle_id": bundle_id}).fetchone()
            if held is None:
                return Problem("not-found")
            share, proof_hash, principal, opened_at, is_expired, attempts = held
            if not hmac.compare_digest(bytes(proof_hash), hashlib.sha256(proof).digest()):
                connection.execute(
                    statement("miss_bundle"),
                    {"bundle_id": bundle_id, "attempts_max": ATTEMPTS_MAX},
                )
                _log.warning("wrong code for bundle %s of %s", bundle_id, principal)
                return Problem("not-permitted", "the code is not this bundle's.", rule="code")
            if opened_at is not None:
                return Problem(
                    "gone", f"it was opened at {opened_at:%Y-%m-%d %H:%M}Z.", rule="once"
                )
            if is_expired:
                return Problem("gone", "it has expired.", rule="expired")
            if attempts >= ATTEMPTS_MAX:
                return Problem(
                    "too-many-attempts", "too many wrong codes were tried.", rule="attempts"
                )
            if share is None:
                return Problem("gone", "it was withdrawn.", rule="withdrawn")
            connection.execute(statement("open_bundle"), {"bundle_id": bundle_id})
        _log.info("bundle %s of %s was opened", bundle_id, principal)
        return bytes(share)


class _Proof(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    proof: Annotated[str, Field(min_length=44, max_length=44)]


def add_bundle_routes(app: FastAPI, bundles: Bundles) -> None:
    """The one path that needs no login: who proves the code may not have one yet."""

    @app.post("/v1/bundles/{bundle_id}/share", response_model=None)
    def share(bundle_id: uuid.UUID, body: _Proof) -> dict[str, str] | Response:
        try:
            proof = base64.b64decode(body.proof, validate=True)
        except ValueError:
            return Problem("malformed", "the proof is not base64.").response()
        given = bundles.redeem(bundle_id, proof)
        if isinstance(given, Problem):
            return given.response()
        return {"share": base64.b64encode(given).decode()}
