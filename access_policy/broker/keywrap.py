"""Envelope encryption: one key wraps another, bound to what the wrapped key is for.

    root > epoch's key > department's key (L3, L4, subjects) > master or identifier

Every wrap is nonce 12 || AES-256-GCM, its associated data the binding: a wrapped
key moved to another row, or a row whose plain columns were edited, opens nowhere.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from maplebridge.access_policy.keys import Master, prefixed
from maplebridge.errors import IntegrityError

KEY_BYTES = 32
_NONCE_BYTES = 12


class WrappingKey:
    """A key that wraps others; at most 2^32 of them, as its nonces are random."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def wrap(self, secret: bytes, binding: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, binding)

    def unwrap(self, wrapped: bytes, binding: bytes) -> bytes:
        """Raises IntegrityError if it was wrapped otherwise, or altered."""
        try:
            return self._aead.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], binding)
        except (InvalidTag, ValueError):
            raise IntegrityError("a wrapped key is not what it was when it was stored.") from None


def epoch_binding(epoch: str) -> bytes:
    return _binding("epoch", epoch)


def broker_secret_binding(name: str) -> bytes:
    return _binding("broker secret", name)


def backup_binding() -> bytes:
    return _binding("backup")


def department_key_binding(epoch: str, department: str, kind: str) -> bytes:
    return _binding("department key", epoch, department, kind)


def subject_binding(department: str, key_ref: str, scope_kind: str) -> bytes:
    return _binding("subject", department, key_ref, scope_kind)


def master_binding(master: Master) -> bytes:
    """Bind a master to its row: whose it is, its grade domain and its community."""
    return (
        _binding("master", master.department, master.key_ref, master.scope_kind, master.community)
        + bytes((master.grade_domain,))
        + master.version.to_bytes(4)
        + master.key_id
    )


def _binding(*texts: str) -> bytes:
    return b"MBK1" + b"".join(map(prefixed, texts))
