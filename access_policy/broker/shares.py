"""The root in shares: a quorum of officers recovers it, fewer learn nothing.

Shamir's scheme over GF(2^128), of the library PyCryptodome, once for each half of the
root's 32 bytes. A share is a line of text that an officer may print:

    MBS1-<root id, 16 hex>-<needed>-<number>-<base32 of both halves and a checksum>

The root id is a hash of the root, which is 256 random bits: it tells shares of
different roots apart, proves a recovery, and helps no guess.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from Crypto.Protocol.SecretSharing import Shamir

from maplebridge.access_policy.broker.keywrap import KEY_BYTES
from maplebridge.errors import InputError, IntegrityError

SHARES_MAX = 99
_HALF = KEY_BYTES // 2
_CHECK_BYTES = 3
_TEXT = re.compile(r"MBS1-([0-9a-f]{16})-([0-9]{1,2})-([0-9]{1,2})-([A-Z2-7]{56})")


@dataclass(frozen=True, slots=True)
class Share:
    """What one officer keeps; number counts from 1."""

    root_id: str
    needed: int
    number: int
    secret: bytes = field(repr=False)

    def encode(self) -> str:
        checked = self.secret + self._check()
        return f"{self._head()}-{base64.b32encode(checked).decode()}"

    @classmethod
    def decode(cls, text: str) -> Share:
        """Raises InputError if it is no share, or was mistyped."""
        found = _TEXT.fullmatch(text.strip())
        if found:
            content = base64.b32decode(found[4])
            share = cls(found[1], int(found[2]), int(found[3]), content[:KEY_BYTES])
            if content[KEY_BYTES:] == share._check():
                return share
        raise InputError(
            "a text is no share of a root, or was mistyped.",
            todo="A share is one line that begins with MBS1-.",
        )

    def _head(self) -> str:
        return f"MBS1-{self.root_id}-{self.needed}-{self.number}"

    def _check(self) -> bytes:
        return hashlib.sha256(self._head().encode() + self.secret).digest()[:_CHECK_BYTES]


def split(key: bytes, *, of: int, needed: int) -> list[Share]:
    """Return `of` shares of a root, any `needed` of which recover it.

    key: 32 bytes. Raises InputError unless 2 <= needed <= of <= 99.
    """
    if not 2 <= needed <= of <= SHARES_MAX:
        raise InputError(
            f"a root cannot be split into {of} shares of which {needed} are needed.",
            todo=f"At least 2 must be needed, and at most {SHARES_MAX} can be made.",
        )
    halves = zip(
        Shamir.split(needed, of, key[:_HALF]), Shamir.split(needed, of, key[_HALF:]), strict=True
    )
    root_id = _id_of(key)
    return [
        Share(root_id, needed, number, bytes(first) + bytes(second))
        for (number, first), (_, second) in halves
    ]


def combine(shares: Sequence[Share]) -> bytes:
    """Return the root, of the first that are needed of the shares.

    Raises InputError if they are too few or of different roots, IntegrityError if what
    they give is not the root that they name.
    """
    if len({(share.root_id, share.needed) for share in shares}) > 1:
        raise InputError("the shares are of different roots, or were not made together.")
    given = {share.number: share.secret for share in shares}
    needed = shares[0].needed if shares else 1
    if len(given) < needed:
        raise InputError(
            f"{needed} different shares are needed, and {len(given)} were given.",
            todo="Ask further officers for theirs.",
        )
    used = sorted(given.items())[:needed]
    first = Shamir.combine([(number, secret[:_HALF]) for number, secret in used])
    second = Shamir.combine([(number, secret[_HALF:]) for number, secret in used])
    key = bytes(first) + bytes(second)
    if _id_of(key) != shares[0].root_id:
        raise IntegrityError(
            "the shares do not give the root that they name.",
            todo="One was altered, or made at another time: try others.",
        )
    return key


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"MBK1 root" + key).hexdigest()[:16]
