"""Event ids: UUIDv7 (RFC 9562), and ids that a re-import finds again."""

from __future__ import annotations

import hashlib
import os
import re
import time
from datetime import datetime
from functools import lru_cache

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_NS_PER_MS = 1_000_000
_MS_48 = (1 << 48) - 1
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}


def uuid7() -> str:
    """Return a new UUIDv7 in text form.

    Its 12 bits after the version are a fraction of the millisecond (RFC 9562,
    method 3), so ids made one after another by one process sort as they were made.
    """
    ms, rest = divmod(time.time_ns(), _NS_PER_MS)
    return _text(ms, f"{(rest << 12) // _NS_PER_MS:03x}0{os.urandom(8).hex()}")


def imported_id(
    *, department: str, event_type: str, row_key: tuple[str, ...], occurred_at: datetime
) -> str:
    """Return the id of a row: the same row gives the same id, in UUIDv7's form.

    48 bits are the milliseconds of occurred_at (aware), 74 are of the SHA-256 of
    department, event type and row key, each part after its length.
    """
    digest = _begun(department, event_type).copy()
    for part in row_key:
        digest.update(_with_length(part))
    return _text(int(occurred_at.timestamp() * 1000) & _MS_48, digest.hexdigest())


def correction_id(event_id: str) -> str:
    """Return the id of what an import publishes in place of an event: the same in every run."""
    digest = hashlib.sha256(f"correction of {event_id}".encode())
    return _text(int(event_id[:8] + event_id[9:13], 16), digest.hexdigest())


@lru_cache
def _begun(department: str, event_type: str) -> hashlib._Hash:
    return hashlib.sha256(_with_length(department) + _with_length(event_type))


def _with_length(text: str) -> bytes:
    raw = text.encode("utf-8", "surrogateescape")
    return len(raw).to_bytes(4, "big") + raw


def _text(ms: int, digits: str) -> str:
    """Return a UUIDv7's text from its time and 20 hexadecimal digits.

    The fourth digit is left out, and half of the fifth: there stands the variant.
    """
    time = f"{ms:012x}"
    return f"{time[:8]}-{time[8:]}-7{digits[:3]}-{_VARIANT[digits[4]]}{digits[5:8]}-{digits[8:20]}"


def is_uuid7(text: object) -> bool:
    """True for the canonical lower-case text of a UUIDv7."""
    return isinstance(text, str) and UUID7.fullmatch(text) is not None
