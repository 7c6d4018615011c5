"""Who may ask the key broker: each principal by a secret of 256 random bits."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

from pydantic import SecretStr

from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.errors import InputError

_SECRET_MIN = 22
"""Characters of base64 that hold 128 bits; shorter ones would need a slow hash."""
_NOBODY = bytes(32)


def ensure_principals(connection: Connection, secrets: Mapping[str, str | SecretStr]) -> None:
    """Store a hash of each principal's secret, replacing an older one.

    Raises InputError if a secret is too short to be random.
    """
    with connection.transaction():
        for name, given in secrets.items():
            secret = given.get_secret_value() if isinstance(given, SecretStr) else given
            if len(secret) < _SECRET_MIN:
                raise InputError(
                    f"the secret of principal {name!r} is too short for the key broker.",
                    todo="Give it 256 random bits, as `maplebridge up` does.",
                )
            row = {"name": name, "secret_hash": secret_hash(secret)}
            connection.execute(statement("upsert_principal"), row)


def is_principal(connection: Connection, name: str, secret: str) -> bool:
    """Return whether the secret is the principal's; an unknown one takes as long."""
    row = connection.execute(statement("principal"), {"name": name}).fetchone()
    stored = bytes(row[0]) if row else _NOBODY
    return hmac.compare_digest(stored, secret_hash(secret))


def secret_hash(secret: str) -> bytes:
    return hashlib.sha256(b"MBK1 principal" + secret.encode()).digest()
