"""The sealed field: docs/field-envelope.md, byte for byte.

    "MB" | 01 | suite | key id 16 | key version u32 | salt 16 | commitment 32 | ciphertext | tag 16

The commitment is compared before anything is decrypted, so a ciphertext made to
open under two keys is refused; the context is authenticated, so a sealed field
cannot be moved to another event, field, subject or grade.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hmac import compare_digest

from maplebridge.access_policy.keys import KEY_ID_BYTES, MAGIC, VERSION, FieldKey, prefixed
from maplebridge.access_policy.suites import TAG_BYTES, suite_of
from maplebridge.errors import EventInvalid, TokenInvalid

SALT_BYTES = 16
COMMITMENT_BYTES = 32
HEADER_BYTES = 24
SALT_END = HEADER_BYTES + SALT_BYTES
AUTHENTICATED_BYTES = SALT_END + COMMITMENT_BYTES
OVERHEAD_BYTES = AUTHENTICATED_BYTES + TAG_BYTES
LENGTH_BYTES = 4
SMALL_BUCKETS = (32, 64, 128, 256, 512, 1024, 2048)
LARGE_BUCKET_STEP = 4096
TEXT_MAX_BYTES = 65_536
VALUE_MAX_BYTES = TEXT_MAX_BYTES - LENGTH_BYTES

_VALUE_LABEL = b"MBF1 value"
_VALUE_INFO = {number: _VALUE_LABEL + bytes((number,)) for number in (1, 2)}
_ALTERED = "a sealed field was altered, moved or cut."
_ASK_AGAIN = "Ask its sender for the event again."


@dataclass(frozen=True, slots=True)
class FieldContext:
    """Where a sealed field stands; every part is authenticated.

    path has its array indexes (`parties[0].name`); logical_type is the Avro type
    of the plain value; scope is `subject:<role>` or `case`; grade 3 or 4.
    """

    department: str
    event_type: str
    event_id: str
    path: str
    logical_type: str
    scope: str
    grade: int

    def encode(self) -> bytes:
        """Return each part after its length as u16; the grade is one byte."""
        texts = (
            self.department,
            self.event_type,
            self.event_id,
            self.path,
            self.logical_type,
            self.scope,
        )
        return b"".join(map(prefixed, texts)) + b"\x00\x01" + bytes((self.grade,))


@dataclass(frozen=True, slots=True)
class Header:
    """What an envelope says of itself, unauthenticated until it is opened."""

    version: int
    suite: int
    key_id: bytes
    key_version: int


class _Placed:
    """One field of one department's contract: its context but for the event's id, made once.

    path has its array indexes, so a field within an array has one per index.
    """

    __slots__ = ("_after", "_before", "path")

    def __init__(
        self,
        *,
        department: str,
        event_type: str,
        path: str,
        logical_type: str,
        scope: str,
        grade: int,
    ) -> None:
        context = FieldContext(department, event_type, "", path, logical_type, scope, grade)
        self.path = path
        self._before = prefixed(department) + prefixed(event_type)
        # what is left of the context after an empty event id's length
        self._after = context.encode()[len(self._before) + 2 :]

    def context(self, event_id: bytes) -> bytes:
        """Return the context in one event; event_id: `prefixed`."""
        return self._before + event_id + self._after


class FieldSealer(_Placed):
    """Seals one field, event after event: the fast path of a publisher."""

    __slots__ = ()

    def seal(self, value: bytes, *, event_id: bytes, key: FieldKey, salt: bytes) -> bytes:
        """Return the envelope of `value`; raises EventInvalid if it is over 65,532 bytes.

        event_id: `prefixed`. salt: 16 random bytes that were never used before.
        """
        return _seal(value, self.context(event_id), key, salt, self.path)


class FieldOpener(_Placed):
    """Opens one field, event after event: the fast path of an app."""

    __slots__ = ()

    def open(self, token: bytes, *, event_id: bytes, key: FieldKey) -> bytes:
        """Return the value of one sealed field, as `open_field` does; event_id: `prefixed`.

        Raises TokenInvalid if any bit differs, or the key or the context is another.
        """
        return _open(token, self.context(event_id), key)


def seal_field(value: bytes, *, context: FieldContext, key: FieldKey) -> bytes:
    """Return the envelope of one value (Avro binary of its logical type).

    Raises EventInvalid if it is over 65,532 bytes.
    """
    return _seal(value, context.encode(), key, os.urandom(SALT_BYTES), context.path)


def open_field(token: bytes, *, context: FieldContext, key: FieldKey) -> bytes:
    """Return the value of one sealed field.

    token: the envelope of docs/field-envelope.md, at least 120 bytes.
    Raises TokenInvalid if any bit differs, or the key or the context is another.
    """
    return _open(token, context.encode(), key)


def _open(token: bytes, context: bytes, key: FieldKey) -> bytes:
    if len(token) not in _TOKEN_LENGTHS or not token.startswith(key.header):
        raise TokenInvalid(_ALTERED, todo=_ASK_AGAIN)
    suite = suite_of(key.suite)
    front = token[:AUTHENTICATED_BYTES]
    info = _VALUE_INFO[key.suite] + suite.digest(context)
    value_key, commitment = suite.derive(key.secret, front[HEADER_BYTES:SALT_END], info)
    if not compare_digest(commitment, front[SALT_END:]):
        raise TokenInvalid(_ALTERED, todo=_ASK_AGAIN)
    return _unpad(suite.decrypt(value_key, token[AUTHENTICATED_BYTES:], front + context))


def read_header(token: bytes) -> Header:
    """Return which key opens `token`.

    Raises TokenInvalid if it is no envelope of this version, or of no possible length.
    """
    if len(token) not in _TOKEN_LENGTHS or token[:2] != MAGIC or token[2] != VERSION:
        raise TokenInvalid("these bytes are no sealed field of version 1.", todo=_ASK_AGAIN)
    suite_of(token[3])
    return Header(
        version=token[2],
        suite=token[3],
        key_id=token[4 : 4 + KEY_ID_BYTES],
        key_version=int.from_bytes(token[4 + KEY_ID_BYTES : HEADER_BYTES]),
    )


def padded_bytes(value_bytes: int) -> int:
    """Return the bucket of a value: the length of its padded text.

    Raises ValueError if the value is over 65,532 bytes.
    """
    text_bytes = value_bytes + LENGTH_BYTES
    for bucket in SMALL_BUCKETS:
        if text_bytes <= bucket:
            return bucket
    if text_bytes > TEXT_MAX_BYTES:
        raise ValueError("over the largest bucket")
    return -(-text_bytes // LARGE_BUCKET_STEP) * LARGE_BUCKET_STEP


def _seal(value: bytes, context: bytes, key: FieldKey, salt: bytes, path: str) -> bytes:
    size = len(value)
    if size > VALUE_MAX_BYTES:
        raise EventInvalid(
            f"the value is longer than {VALUE_MAX_BYTES:,} bytes and cannot be sealed.",
            path=path,
            todo="Shorten the text, or keep the document elsewhere and send a reference.",
        )
    suite = suite_of(key.suite)
    value_key, commitment = suite.derive(
        key.secret, salt, _VALUE_INFO[key.suite] + suite.digest(context)
    )
    text = (size.to_bytes(LENGTH_BYTES) + value).ljust(_bucket(size), b"\0")
    authenticated = key.header + salt + commitment
    return authenticated + suite.encrypt(value_key, text, authenticated + context)


def _bucket(size: int) -> int:
    return _BUCKETS[size] if size < len(_BUCKETS) else padded_bytes(size)


def _unpad(text: bytes) -> bytes:
    size = int.from_bytes(text[:LENGTH_BYTES])
    end = LENGTH_BYTES + size
    # one text per value: the smallest bucket, and nothing hidden in the padding
    if size > VALUE_MAX_BYTES or _bucket(size) != len(text) or text[end:].strip(b"\0"):
        raise TokenInvalid(_ALTERED, todo=_ASK_AGAIN)
    return text[LENGTH_BYTES:end]


_BUCKETS = tuple(padded_bytes(size) for size in range(SMALL_BUCKETS[-1] - LENGTH_BYTES + 1))
_TOKEN_LENGTHS = frozenset(
    OVERHEAD_BYTES + bucket
    for bucket in (
        *SMALL_BUCKETS,
        *range(LARGE_BUCKET_STEP, TEXT_MAX_BYTES + 1, LARGE_BUCKET_STEP),
    )
)
