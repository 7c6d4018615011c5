"""Pseudonyms: joinable inside one purpose and consumer, never across."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from maplebridge.access_policy.keys import prefixed


def pseudonym_key(root: bytes, *, purpose: str, consumer: str) -> bytes:
    """Return K[purpose, consumer]."""
    info = b"MBK1 pseudonym" + prefixed(purpose) + prefixed(consumer)
    return HKDFExpand(hashes.SHA256(), 32, info).derive(root)


def pseudonym(key: bytes, scope_kind: str, identifier: str) -> str:
    """Return the token of a subject, 64 hexadecimal digits; the department is no part of it."""
    return hmac.digest(key, prefixed(scope_kind) + identifier.encode(), "sha256").hex()
