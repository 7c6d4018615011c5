"""How a table is written: the `source` part of a mapping."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from maplebridge.producers.mapping.document import Node, did_you_mean

# in all of these a line feed is one byte that is part of no other character
ENCODINGS = ("utf-8", "gb18030", "gbk", "big5", "latin-1", "cp1252")


@dataclass(frozen=True)
class Source:
    """How the table is written; zone is an IANA name."""

    delimiter: str
    encoding: str
    zone: str


def read_source(node: Node) -> Source:
    """Raises MappingInvalid if the encoding or the time zone is unknown."""
    entries = node.entries(("format", "delimiter", "encoding", "timezone"))
    if "format" in entries:
        entries["format"].choice(("csv",))
    for name in ("encoding", "timezone"):
        if name not in entries:
            raise node.fault(f"{name!r} is missing.")
    delimiter = entries["delimiter"].text() if "delimiter" in entries else ","
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise entries["delimiter"].fault("one character is needed, such as , or ; or a tab.")
    zone = entries["timezone"].text()
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = did_you_mean(zone, available_timezones()).partition(" Possible:")[0]
        raise entries["timezone"].fault(
            f"unknown time zone {zone!r}.", near if near.startswith("Did") else "Use an IANA name."
        ) from None
    encoding = entries["encoding"].text().lower()
    known = encoding if encoding in ENCODINGS else _codec_name(encoding)
    if known not in ENCODINGS:
        raise entries["encoding"].fault(
            f"unknown encoding {encoding!r}.", did_you_mean(encoding, ENCODINGS)
        )
    return Source(delimiter, known, zone)


def _codec_name(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding).name
    except LookupError:
        return ""
    return {"iso8859-1": "latin-1", "utf-8-sig": "utf-8", "gb2312": "gbk"}.get(found, found)
