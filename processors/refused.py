"""Records that combine refuses: the dead letter made of one, and what the log says of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from confluent_kafka import Message

from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.processors.judge import reason_of
from maplebridge.projections.letters import DeadLetter

log = logging.getLogger(__name__)

LETTER_MAX_BYTES = 4_000_000


def letter_of(
    message: Message,
    topic: str,
    partition: int,
    offset: int,
    error: EventInvalid | ContractRefused,
) -> DeadLetter:
    """Return the letter of a record, with its bytes up to LETTER_MAX_BYTES and why it is one."""
    reason, path = reason_of(error)
    value = message.value()
    return DeadLetter(
        topic,
        partition,
        offset,
        reason,
        path,
        _schema_id(value),
        message.key(),
        value[:LETTER_MAX_BYTES] if value else value,
        _headers(message, reason, path),
        message.timestamp()[1],
    )


def log_letters(letters: Sequence[DeadLetter]) -> None:
    """Log one line for those of a batch that were refused alike: a flood is no flood of lines."""
    alike: dict[tuple[str, int, str, str], list[int]] = {}
    for each in letters:
        offsets = alike.setdefault((each.topic, each.partition, each.reason, each.path), [])
        offsets.append(each.offset)
    for (topic, partition, reason, path), offsets in alike.items():
        log.warning(
            "%d dead letters in %s[%d], offsets %d to %d: %s %s",
            len(offsets),
            topic,
            partition,
            offsets[0],
            offsets[-1],
            reason,
            path,
        )


def _headers(message: Message, reason: str, path: str) -> dict[str, str]:
    """Return the record's own headers, and what became of it; all of it text without NUL."""
    value = message.value() or b""
    told = {
        "mb_reason": reason,
        "mb_path": path,
        "mb_partition": str(message.partition()),
        "mb_offset": str(message.offset()),
    }
    if (schema_id := _schema_id(value)) is not None:
        told["mb_schema_id"] = str(schema_id)
    if len(value) > LETTER_MAX_BYTES:
        # only a compressed record can be so large; the whole of it stays at its offset
        told["mb_cut_from_bytes"] = str(len(value))
    try:
        headers = dict(message.headers() or ())
    except UnicodeDecodeError:
        return told
    return {_text(name): _text(content) for name, content in headers.items()} | told


def _schema_id(value: bytes | None) -> int | None:
    """Return the schema id of a framed value; the first bytes of any other mean nothing."""
    return int.from_bytes(value[1:5], "big") if value and len(value) >= 5 and not value[0] else None


def _text(content: str | bytes | None) -> str:
    text = content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else content
    return (text or "").replace("\0", "\\x00")
