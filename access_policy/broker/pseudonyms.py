"""Pseudonyms: consistent inside one purpose and consumer, never across."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from maplebridge.access_policy.keys import prefixed

TOKEN_BYTES = 16


class Pseudonyms:
    """Makes the tokens of one purpose and consumer: 128 bits of HMAC-SHA-256, in hexadecimal.

    root: the broker's root of pseudonyms. Tokens of different kinds never meet.
    """

    def __init__(self, root: bytes, *, purpose: str, consumer: str) -> None:
        info = b"MBK1 pseudonym" + prefixed(purpose) + prefixed(consumer)
        self._key = HKDFExpand(hashes.SHA256(), 32, info).derive(root)

    def joined(self, scope_kind: str, identifier: str) -> str:
        """Return the token of a subject or case in all departments."""
        return self._token("joined", scope_kind, identifier)

    def in_department(self, department: str, key_ref: str) -> str:
        """Return the token of a subject or case in this department alone."""
        return self._token("department", department, key_ref)

    def id(self, identifier: str) -> str:
        """Return the token of an id: equal ids have one token, whatever they are ids of."""
        return self._token("id", identifier)

    def _token(self, *parts: str) -> str:
        return hmac.digest(self._key, b"".join(map(prefixed, parts)), "sha256")[:TOKEN_BYTES].hex()
