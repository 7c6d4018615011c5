"""The way of new masters from a department to the key broker.

A batch of masters is encrypted to the broker's public key of the epoch (HPKE,
RFC 9180, with the hybrid KEM ML-KEM-768 + X25519, HKDF-SHA-256 and AES-256-GCM)
and travels on the topic `mb.control.keys`. The subjects' identifiers are inside
the wrap. Department and epoch are bound to it: a wrap moved to another opens nowhere.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, cast

import fastavro
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from maplebridge.access_policy.keys import Master, prefixed
from maplebridge.errors import InputError, TokenInvalid

TOPIC = "mb.control.keys"
BATCH_MAX_MASTERS = 1000
_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_X25519_BYTES = 32

_VERSION_MAX = 0xFFFFFFFF
_IDENTIFIER_MAX_CHARS = 512
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_EPOCH = re.compile(rb"\d{4}-W\d{2}(\.\d{2})?")
_WEEK_CHARS = 8

_BATCH_SCHEMA = fastavro.parse_schema(
    {
        "type": "array",
        "items": {
            "type": "record",
            "name": "master",
            "fields": [
                {"name": "key_id", "type": {"type": "fixed", "name": "key_id", "size": 16}},
                {"name": "version", "type": "int"},
                {"name": "key_ref", "type": "string"},
                {"name": "scope_kind", "type": "string"},
                {"name": "grade_domain", "type": "int"},
                {"name": "community", "type": "string"},
                {"name": "secret", "type": {"type": "fixed", "name": "secret", "size": 32}},
                {"name": "identifier", "type": "string"},
            ],
        },
    }
)


def epoch_of(moment: datetime) -> str:
    """Return the ISO week of a moment in UTC: `2026-W47`."""
    year, week, _ = moment.isocalendar()
    return f"{year}-W{week:02}"


@dataclass(frozen=True, slots=True)
class NewMaster:
    """A master on its way to the broker, with whom it belongs to.

    identifier: the subject's (or case's) own number or name, as the department has it.
    """

    master: Master
    identifier: str = field(repr=False)

    def fits(self) -> bool:
        """Return whether the broker takes it.

        What its database would refuse must not get that far: the intake would try for ever.
        """
        master = self.master
        return (
            master.scope_kind in ("subject", "case")
            and master.grade_domain in (3, 4)
            and 1 <= master.version <= _VERSION_MAX
            and all(map(_NAME.fullmatch, (master.department, master.key_ref, master.community)))
            and len(self.identifier) <= _IDENTIFIER_MAX_CHARS
        )


@dataclass(frozen=True)
class BrokerPublicKey:
    """The key broker's transport key of one epoch.

    epoch: an ISO week, `2026-W47`, or one that was begun within it, `2026-W47.01`: a later
    epoch has the greater name.
    """

    epoch: str
    mlkem: bytes = field(repr=False)
    x25519: bytes = field(repr=False)

    def encode(self) -> str:
        """Return base64 of epoch (8 or 11 bytes) || ML-KEM-768 (1,184) || X25519 (32)."""
        return base64.b64encode(self.epoch.encode() + self.mlkem + self.x25519).decode()

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises InputError if `text` is no such key."""
        try:
            raw = base64.b64decode(text, validate=True)
            halves = raw[-_MLKEM_PUBLIC_BYTES - _X25519_BYTES :]
            epoch = raw.removesuffix(halves)
            if not _EPOCH.fullmatch(epoch):
                raise ValueError("length")
            key = cls(epoch.decode(), halves[:-_X25519_BYTES], halves[-_X25519_BYTES:])
            key._hybrid()
        except ValueError as exc:
            raise InputError(
                "the key broker's public key cannot be read.",
                todo="Set MAPLEBRIDGE_KEY_BROKER_PUBLIC_KEY to what /v1/keys/public answers.",
            ) from exc
        return key

    def is_of(self, week: str) -> bool:
        return self.epoch[:_WEEK_CHARS] == week

    def wrap(self, plain: bytes, *, department: str) -> bytes:
        """Return `plain` (see `encode_batch`) so that only the broker opens it."""
        return _suite().encrypt(plain, self._hybrid(), _info(department, self.epoch))

    def _hybrid(self) -> MLKEM768X25519PublicKey:
        return MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(self.mlkem),
            X25519PublicKey.from_public_bytes(self.x25519),
        )


@dataclass(frozen=True)
class BrokerPrivateKey:
    """The private half: the seed of ML-KEM-768 (64 bytes) and the X25519 scalar (32)."""

    epoch: str
    secret: bytes = field(repr=False)

    @classmethod
    def generate(cls, epoch: str) -> Self:
        seed = MLKEM768PrivateKey.generate().private_bytes_raw()
        return cls(epoch, seed + X25519PrivateKey.generate().private_bytes_raw())

    def public(self) -> BrokerPublicKey:
        mlkem, x25519 = self._halves()
        return BrokerPublicKey(
            self.epoch,
            mlkem.public_key().public_bytes_raw(),
            x25519.public_key().public_bytes_raw(),
        )

    def unwrap(self, wrap: bytes, *, department: str) -> bytes:
        """Raises TokenInvalid if it was wrapped for another, or altered."""
        hybrid = MLKEM768X25519PrivateKey(*self._halves())
        try:
            return _suite().decrypt(wrap, hybrid, _info(department, self.epoch))
        except (InvalidTag, ValueError):
            raise TokenInvalid(
                f"a wrap of masters of {department} cannot be opened with the key of {self.epoch}."
            ) from None

    def _halves(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        return (
            MLKEM768PrivateKey.from_seed_bytes(self.secret[:_MLKEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(self.secret[_MLKEM_SEED_BYTES:]),
        )


def encode_batch(batch: Sequence[NewMaster]) -> bytes:
    """Return masters and identifiers as Avro binary; secret, to be wrapped at once."""
    rows = [
        {
            "key_id": new.master.key_id,
            "version": new.master.version,
            "key_ref": new.master.key_ref,
            "scope_kind": new.master.scope_kind,
            "grade_domain": new.master.grade_domain,
            "community": new.master.community,
            "secret": new.master.secret,
            "identifier": new.identifier,
        }
        for new in batch
    ]
    out = io.BytesIO()
    fastavro.schemaless_writer(out, _BATCH_SCHEMA, rows)
    return out.getvalue()


def join_batches(batches: Sequence[bytes]) -> bytes:
    """Return what `encode_batch` gave for several batches as one: an Avro array of many blocks."""
    # a block of no items ends an array
    return b"".join(each[:-1] for each in batches) + b"\0"


def decode_batch(plain: bytes, *, department: str) -> list[NewMaster]:
    """Raises TokenInvalid if `plain` is no batch of masters."""
    try:
        rows = cast(
            "list[dict[str, Any]]",
            fastavro.schemaless_reader(io.BytesIO(plain), _BATCH_SCHEMA, None),
        )
        return [_new_master(row, department) for row in rows]
    # fastavro tells of broken bytes by whatever its decoder stumbles over
    except (ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError):
        raise TokenInvalid(f"a wrap of masters of {department} is malformed inside.") from None


def _new_master(row: dict[str, Any], department: str) -> NewMaster:
    master = Master(
        key_id=row["key_id"],
        version=row["version"],
        department=department,
        key_ref=row["key_ref"],
        scope_kind=row["scope_kind"],
        grade_domain=row["grade_domain"],
        community=row["community"],
        secret=row["secret"],
    )
    new = NewMaster(master, row["identifier"])
    if not new.fits():
        raise ValueError("out of range")
    return new


def _info(department: str, epoch: str) -> bytes:
    return b"MBF1 masters" + prefixed(department) + prefixed(epoch)


def _suite() -> Suite:
    return Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
