"""Looking at a file before there is a mapping: its format, columns, values and dates."""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from maplebridge.errors import InputError
from maplebridge.producers.mapping.cells import text_of
from maplebridge.producers.mapping.dates import ISO, DateParser
from maplebridge.producers.mapping.source import DelimitedSource, WorkbookSource
from maplebridge.producers.sources import RowSource, workbook_rows
from maplebridge.producers.sources.delimited import DelimitedRows
from maplebridge.producers.sources.json_lines import LINE_MAX_BYTES, read_object

ROWS = 1_000
_HEAD_BYTES = 1_000_000
_DELIMITERS = ",\t;|"
_ENCODINGS = ("utf-8", "gb18030", "cp1252")
_DEPTH_MAX = 4
MOSTLY = 0.8
"""The share of a column's cells that must be as a field asks; the others are told."""

FORMS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M",
    "%Y年%m月%d日 %H:%M:%S", "%Y年%m月%d日 %H:%M", "%Y年%m月%d日 %H时%M分", "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M",
    "%d.%m.%Y %H:%M", "%Y-%m-%d", "%Y/%m/%d", "%Y年%m月%d日", "%Y%m%d", "%m/%d/%Y", "%d/%m/%Y",
    "%d.%m.%Y", ISO,
)  # fmt: skip
"""Forms of dates that are looked for, the first that fits wins."""


@dataclass(frozen=True)
class Column:
    """One column of the first rows.

    values: distinct texts with how often each stands there, the most frequent first.
    forms: of dates, as many as are needed, empty if it holds none; unread: how many
    of its cells they do not read. array: it holds lists.
    """

    name: str
    rows: int
    values: Mapping[str, int]
    forms: tuple[str, ...] = ()
    unread: int = 0
    array: bool = False

    @property
    def filled(self) -> int:
        return sum(self.values.values())

    @property
    def distinct(self) -> bool:
        """True if no value stands there twice, and none is missing."""
        return len(self.values) == self.filled == self.rows > 1

    @property
    def like_codes(self) -> bool:
        """True if few values stand there often."""
        return 0 < len(self.values) <= 60 and len(self.values) * 2 <= max(self.filled, 2)


@dataclass(frozen=True)
class Sample:
    """A file's source as a mapping says it, and its columns."""

    source: Mapping[str, str]
    columns: tuple[Column, ...]


def take_sample(path: Path) -> Sample:
    """Read the first rows of a file; raises InputError if there is nothing to propose from."""
    sample = _sample(path)
    if not any(column.filled or column.array for column in sample.columns):
        raise InputError(
            f"{path.name} has no rows, so nothing can be told of its columns.",
            todo="Give a file with some rows below its header.",
        )
    return sample


def _sample(path: Path) -> Sample:
    if not path.is_file():
        raise InputError(f"there is no file {path}.", todo="Give the path of a file with rows.")
    suffix = path.suffix.lower()
    if suffix == ".xlsx":
        with closing(workbook_rows(path, WorkbookSource("UTC"))) as rows:
            return Sample({"format": "xlsx"}, _columns(rows))
    head = _head(path)
    encoding = _encoding(head, path)
    text = head.decode(encoding, "replace").lstrip("\ufeff")
    if suffix in (".jsonl", ".ndjson", ".json") or text.lstrip().startswith("{"):
        return Sample({"format": "jsonl", "encoding": encoding}, _json_columns(text))
    delimiter = _delimiter(text)
    source = {"format": "csv", "delimiter": delimiter, "encoding": encoding}
    if delimiter == "\t":
        source = {"format": "tsv", "encoding": encoding}
    with closing(DelimitedRows(path, DelimitedSource("UTC", delimiter, encoding))) as table:
        return Sample(source, _columns(table))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        return head + (file.readline(LINE_MAX_BYTES) if len(head) == _HEAD_BYTES else b"")


def _encoding(head: bytes, path: Path) -> str:
    # a text has no NUL, but that of UTF-16 does in every line break
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in head:
        raise InputError(
            f"{path.name} is written in UTF-16, or is no text.",
            todo="Save it as UTF-8 or GB 18030.",
        )
    for encoding in _ENCODINGS:
        try:
            head.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    raise InputError(
        f"the encoding of {path.name} is not known.", todo="Save it as UTF-8 or GB 18030."
    )


def _delimiter(text: str) -> str:
    """Return the character that cuts the first lines into equally many cells."""
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    best, most = ",", 0.0
    for delimiter in _DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter))
        except csv.Error:
            continue
        width, times = widths.most_common(1)[0] if widths else (1, 0)
        score = times / max(len(lines), 1) * (width - 1)
        if score > most:
            best, most = delimiter, score
    return best


def _columns(source: RowSource) -> tuple[Column, ...]:
    rows = [row.cells for row in islice(source, ROWS) if not row.fault]
    return tuple(
        _column(name, [cells[number] for cells in rows])
        for number, name in enumerate(source.header)
        if name
    )


def _json_columns(text: str) -> tuple[Column, ...]:
    found: dict[str, list[Any]] = {}
    number = 0
    for line in islice((line for line in text.splitlines() if line.strip()), ROWS):
        try:
            document = read_object(line)
        except ValueError:
            continue
        number += 1
        for name, value in _members(document, "", 0):
            cells = found.setdefault(name, [])
            cells.extend([""] * (number - 1 - len(cells)))
            cells.append(value)
    if not found:
        raise InputError("no line holds a JSON object.", todo="Give JSON Lines, one object a line.")
    return tuple(
        _column(name, cells + [""] * (number - len(cells))) for name, cells in found.items()
    )


def _members(document: Mapping[str, Any], before: str, depth: int) -> Iterable[tuple[str, Any]]:
    for name, value in document.items():
        if not name or any(mark in name for mark in ".[]/"):
            continue
        if isinstance(value, dict) and depth < _DEPTH_MAX:
            yield from _members(value, f"{before}{name}.", depth + 1)
        else:
            yield before + name, value


def _column(name: str, cells: list[Any]) -> Column:
    arrays = [cell for cell in cells if isinstance(cell, list)]
    if arrays:
        return Column(name, len(cells), {}, array=True)
    there = [cell for cell in cells if cell not in ("", None) and not isinstance(cell, dict)]
    values = Counter(text_of(cell).strip() for cell in there)
    typed = bool(there) and all(isinstance(cell, date | datetime) for cell in there)
    forms, unread = ((ISO,), 0) if typed else _forms(values)
    return Column(name, len(cells), dict(values.most_common()), forms, unread)


def _forms(cells: Mapping[str, int]) -> tuple[tuple[str, ...], int]:
    """Return the forms, at most two, that read most of the cells, and how many they do not.

    cells: distinct texts with how often each stands there.
    """
    texts = left = list(cells)
    forms: list[str] = []
    if not any(any(each.isdigit() for each in text) for text in texts[:20]):
        return (), 0
    while left and len(forms) < 2:
        fits = {form: [text for text in left if not _reads(form, text)] for form in FORMS}
        form = min(fits, key=lambda each: len(fits[each]))
        if len(fits[form]) == len(left):
            break
        forms.append(form)
        left = fits[form]
    unread = sum(cells[text] for text in left)
    if not forms or unread > sum(cells.values()) * (1 - MOSTLY):
        return (), 0
    return tuple(forms), unread


def _reads(form: str, text: str) -> bool:
    if form == "%Y%m%d" and not (len(text) == 8 and text[:2] in ("19", "20")):
        return False
    if form == ISO and "-" not in text:
        return False
    try:
        DateParser((form,), ZoneInfo("UTC"))(text)
    except ValueError:
        return False
    return True
