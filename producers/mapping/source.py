"""Where rows come from and how they are written: the `source` part of a mapping."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from maplebridge.producers.mapping.document import Node, did_you_mean
from maplebridge.producers.mapping.durations import duration

# in all of these a line feed is one byte that is part of no other character
ENCODINGS = ("utf-8", "gb18030", "gbk", "big5", "latin-1", "cp1252")
FORMATS = ("csv", "tsv", "jsonl", "xlsx", "sql", "open311")
PAGE_SIZE = 100


@dataclass(frozen=True)
class Since:
    """Where the next run begins: at the greatest value seen of `column`, less the overlap.

    parameter: what an Open311 service calls that filter, empty if it has none.
    """

    column: str
    overlap: timedelta = timedelta()
    parameter: str = ""


@dataclass(frozen=True)
class DelimitedSource:
    """A CSV or TSV file."""

    zone: str
    delimiter: str = ","
    encoding: str = "utf-8"


@dataclass(frozen=True)
class JsonLinesSource:
    """A file of one JSON object a line."""

    zone: str
    encoding: str = "utf-8"


@dataclass(frozen=True)
class WorkbookSource:
    """One sheet of an .xlsx file, the first if it has no name; header_row counts from 1."""

    zone: str
    sheet: str | None = None
    header_row: int = 1


@dataclass(frozen=True)
class QuerySource:
    """A query against PostgreSQL; `connection` is a libpq string without a password."""

    zone: str
    connection: str
    query: str
    password_env: str = ""
    since: Since | None = None


@dataclass(frozen=True)
class Open311Source:
    """The service requests of an Open311 GeoReport v2 service from `start` on."""

    zone: str
    url: str
    start: datetime
    jurisdiction_id: str = ""
    api_key_env: str = ""
    page_size: int = PAGE_SIZE
    parameters: Mapping[str, str] = field(default_factory=dict)
    since: Since | None = None


Source = DelimitedSource | JsonLinesSource | WorkbookSource | QuerySource | Open311Source

_KEYS = {
    "csv": ("delimiter", "encoding"),
    "tsv": ("encoding",),
    "jsonl": ("encoding",),
    "xlsx": ("sheet", "header_row"),
    "sql": ("connection", "password_env", "query", "since"),
    "open311": (
        "url", "jurisdiction_id", "api_key_env", "start", "page_size", "parameters", "since",
    ),
}  # fmt: skip
_NEEDED = {
    "csv": ("encoding",),
    "tsv": ("encoding",),
    "sql": ("connection", "query"),
    "open311": ("url", "start"),
}


def read_source(node: Node) -> Source:
    """Raises MappingInvalid if the format, the encoding, the time zone ... is unknown."""
    named = node.entries().get("format")
    form = named.choice(FORMATS) if named else "csv"
    entries = node.entries(("format", "timezone", *_KEYS[form]))
    for name in (*_NEEDED.get(form, ()), "timezone"):
        if name not in entries:
            raise node.fault(f"{name!r} is missing.")
    zone = _zone(entries["timezone"])
    if form in ("csv", "tsv"):
        delimiter = _delimiter(entries.get("delimiter")) if form == "csv" else "\t"
        return DelimitedSource(zone, delimiter, _encoding(entries["encoding"]))
    if form == "jsonl":
        return JsonLinesSource(
            zone, _encoding(entries["encoding"]) if "encoding" in entries else "utf-8"
        )
    if form == "xlsx":
        return WorkbookSource(
            zone,
            entries["sheet"].text() if "sheet" in entries else None,
            _number(entries["header_row"], 1, 1_000) if "header_row" in entries else 1,
        )
    return _query(entries, zone) if form == "sql" else _open311(entries, zone)


def _query(entries: Mapping[str, Node], zone: str) -> QuerySource:
    connection = entries["connection"].text()
    if "password" in connection.lower() or _holds_secret(connection):
        raise entries["connection"].fault(
            "no password stands in a mapping.",
            "Name the environment variable that holds it: password_env.",
        )
    return QuerySource(
        zone,
        connection,
        entries["query"].text().strip().rstrip(";").rstrip(),
        entries["password_env"].text() if "password_env" in entries else "",
        _since(entries["since"], ("column", "overlap")) if "since" in entries else None,
    )


def _holds_secret(url: str) -> bool:
    """True for `postgresql://user:secret@host/name`."""
    user, at, _ = url.partition("://")[2].rpartition("@")
    return bool(at) and ":" in user


def _open311(entries: Mapping[str, Node], zone: str) -> Open311Source:
    url = entries["url"].text().rstrip("/")
    if not url.startswith(("https://", "http://")):
        raise entries["url"].fault("an address of http or https is needed.")
    given = entries["parameters"].entries() if "parameters" in entries else {}
    return Open311Source(
        zone,
        url,
        _moment(entries["start"], zone),
        entries["jurisdiction_id"].text() if "jurisdiction_id" in entries else "",
        entries["api_key_env"].text() if "api_key_env" in entries else "",
        _number(entries["page_size"], 1, 1_000) if "page_size" in entries else PAGE_SIZE,
        {name: each.text() for name, each in given.items()},
        _since(entries["since"], ("column", "overlap", "parameter"))
        if "since" in entries
        else None,
    )


def _since(node: Node, known: tuple[str, ...]) -> Since:
    entries = node.entries(known)
    if "column" not in entries:
        raise node.fault("'column' is missing.")
    overlap = timedelta()
    if "overlap" in entries:
        try:
            overlap = duration(entries["overlap"].text())
        except ValueError:
            raise entries["overlap"].fault(
                "a length of time is needed.", "Such as PT10M or P1D (ISO 8601)."
            ) from None
    parameter = entries["parameter"].text() if "parameter" in entries else ""
    return Since(entries["column"].text(), overlap, parameter)


def _moment(node: Node, zone: str) -> datetime:
    try:
        moment = datetime.fromisoformat(node.text())
    except ValueError:
        raise node.fault("not a time.", "Such as 2025-01-01 or 2025-01-01T00:00:00Z.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).astimezone(UTC)


def _number(node: Node, low: int, high: int) -> int:
    try:
        number = int(node.text())
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise node.fault(f"a whole number from {low} to {high:,} is needed.")
    return number


def _delimiter(node: Node | None) -> str:
    if node is None:
        return ","
    delimiter = node.text()
    if len(delimiter) != 1 or delimiter in '"\r\n':
        raise node.fault("one character is needed, such as , or ; or a tab.")
    return delimiter


def _zone(node: Node) -> str:
    zone = node.text()
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = did_you_mean(zone, available_timezones()).partition(" Possible:")[0]
        raise node.fault(
            f"unknown time zone {zone!r}.", near if near.startswith("Did") else "Use an IANA name."
        ) from None
    return zone


def _encoding(node: Node) -> str:
    encoding = node.text().lower()
    known = encoding if encoding in ENCODINGS else _codec_name(encoding)
    if known not in ENCODINGS:
        raise node.fault(f"unknown encoding {encoding!r}.", did_you_mean(encoding, ENCODINGS))
    return known


def _codec_name(encoding: str) -> str:
    try:
        found = codecs.lookup(encoding).name
    except LookupError:
        return ""
    return {"iso8859-1": "latin-1", "utf-8-sig": "utf-8", "gb2312": "gbk"}.get(found, found)
