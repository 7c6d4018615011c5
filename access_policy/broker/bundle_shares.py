"""The shares of sealed bundles, given out by the key broker a single time each."""

# no postponed annotations: FastAPI could not resolve those of functions made in a function
import base64
import hashlib
import hmac
import logging
import uuid
from typing import Annotated

from fastapi import FastAPI, Response
from pydantic import BaseModel, ConfigDict, Field

from maplebridge.access_policy.broker.store import Connections, statement
from maplebridge.problems import Problem

ATTEMPTS_MAX = 5
"""So many wrong proofs burn the share; the code has 140 bits, so this is against noise."""
_log = logging.getLogger(__name__)


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
