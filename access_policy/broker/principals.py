"""Who may ask the key broker: each principal by a secret of 256 random bits."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime

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


def renew_principal(
    connection: Connection,
    name: str,
    secret: str,
    *,
    newest_in_use: bool,
    older_until: datetime,
) -> None:
    """Give a principal a new secret; the one in use holds until `older_until`.

    newest_in_use: whether that is the newest one; else the newest is replaced.
    """
    row = {
        "name": name,
        "secret_hash": secret_hash(secret),
        "newest_in_use": newest_in_use,
        "older_until": older_until,
    }
    connection.execute(statement("renew_principal"), row)


def remove_principal(connection: Connection, name: str) -> None:
    connection.execute(statement("delete_principal"), {"name": name})


def overlap_ends(connection: Connection) -> dict[str, datetime]:
    """Return until when the secret before holds, of each principal that was renewed."""
    return dict(connection.execute(statement("overlap_ends")).fetchall())


def end_overlap(connection: Connection, name: str) -> None:
    connection.execute(statement("end_overlap"), {"name": name})


def is_principal(connection: Connection, name: str, secret: str) -> bool:
    """Return whether the secret is the principal's, or was until an overlap ends.

    An unknown principal takes as long as a known one.
    """
    row = connection.execute(statement("principal"), {"name": name}).fetchone()
    given = secret_hash(secret)
    newest, older = (bytes(each or _NOBODY) for each in row or (None, None))
    is_newest = hmac.compare_digest(newest, given)
    return hmac.compare_digest(older, given) or is_newest


def secret_hash(secret: str) -> bytes:
    return hashlib.sha256(b"MBK1 principal" + secret.encode()).digest()
