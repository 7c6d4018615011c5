"""Event ids: UUIDv7 (RFC 9562), and ids that a re-import finds again."""

from __future__ import annotations

import hashlib
import os
import re
import time
from datetime import datetime

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

_NS_PER_MS = 1_000_000
_VARIANT = 0x8000_0000_0000_0000
_RANDOM_62 = 0x3FFF_FFFF_FFFF_FFFF
_MS_48 = (1 << 48) - 1


def uuid7() -> str:
    """Return a new UUIDv7 in text form.

    Its 12 bits after the version are a fraction of the millisecond (RFC 9562,
    method 3), so ids made one after another by one process sort as they were made.
    """
    ms, rest = divmod(time.time_ns(), _NS_PER_MS)
    return _text(ms, (rest << 12) // _NS_PER_MS, int.from_bytes(os.urandom(8), "big"))


def imported_id(
    *, department: str, event_type: str, row_key: tuple[str, ...], occurred_at: datetime
) -> str:
    """Return the id of a row: the same row gives the same id, in UUIDv7's form.

    48 bits are the milliseconds of occurred_at (aware), 74 are of the SHA-256 of
    department, event type and row key, each part after its length.
    """
    digest = hashlib.sha256()
    for part in (department, event_type, *row_key):
        encoded = part.encode("utf-8", "surrogateescape")
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    bits = int.from_bytes(digest.digest()[:10], "big")
    ms = int(occurred_at.timestamp() * 1000) & _MS_48
    return _text(ms, bits >> 68, bits)


def correction_id(event_id: str) -> str:
    """Return the id of what an import publishes in place of an event: the same in every run."""
    bits = int.from_bytes(hashlib.sha256(f"correction of {event_id}".encode()).digest()[:10], "big")
    return _text(int(event_id[:8] + event_id[9:13], 16), bits >> 68, bits)


def _text(ms: int, twelve: int, low: int) -> str:
    number = ms << 80 | 0x7000 << 64 | twelve << 64 | _VARIANT | low & _RANDOM_62
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def is_uuid7(text: object) -> bool:
    """True for the canonical lower-case text of a UUIDv7."""
    return isinstance(text, str) and UUID7.fullmatch(text) is not None
