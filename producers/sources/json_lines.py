"""Reading JSON Lines: one object a line, its members addressed by paths, in bounded memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from maplebridge.errors import InputError
from maplebridge.producers.mapping.paths import follow, parse_path
from maplebridge.producers.rejects import COLUMNS, LINE, MEMBER, JsonRejects
from maplebridge.producers.sources.rows import SourceRow

LINE_MAX_BYTES = 1_000_000
DEPTH_MAX = 32

_BRACKET_OR_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')


class ObjectColumns:
    """The columns that a mapping names, found in objects; notes which were ever there."""

    def __init__(self, columns: Sequence[str], *, literal: bool = False) -> None:
        """literal: names are members of the object themselves, not paths into it."""
        self._paths = [(each,) if literal else parse_path(each) for each in columns]
        self._columns = tuple(columns)
        self._unseen = set(range(len(self._columns)))

    @property
    def unseen(self) -> tuple[str, ...]:
        return tuple(self._columns[number] for number in sorted(self._unseen))

    def cells(self, document: Any) -> list[Any]:
        cells = [follow(document, path) for path in self._paths]
        if self._unseen:
            self._unseen -= {number for number in self._unseen if cells[number] != ""}
        return cells


class JsonLinesRows:
    """A file opened for reading; a reject file of any source of objects is read by it too."""

    mark = ""

    def __init__(
        self, path: Path, *, encoding: str, columns: Sequence[str], literal: bool = False
    ) -> None:
        """Raises InputError if the file cannot be opened."""
        self.header = tuple(columns)
        self._columns = ObjectColumns(columns, literal=literal)
        self._encoding = encoding
        try:
            self._file: BinaryIO = path.open("rb")
            self._size_bytes = path.stat().st_size
        except OSError as exc:
            raise InputError(
                f"{path} cannot be read ({exc.strerror}).", todo="Check its path."
            ) from exc
        if encoding == "utf-8" and self._file.read(3) != b"\xef\xbb\xbf":
            self._file.seek(0)

    @property
    def share(self) -> float:
        return self._file.tell() / max(self._size_bytes, 1)

    @property
    def unseen(self) -> tuple[str, ...]:
        return self._columns.unseen

    def rejects(self, path: Path) -> JsonRejects:
        return JsonRejects(path)

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[SourceRow]:
        number = 0
        while raw := self._file.readline(LINE_MAX_BYTES + 2):
            number += 1
            if len(raw) > LINE_MAX_BYTES:
                while raw and not raw.endswith(b"\n"):
                    raw = self._file.readline(LINE_MAX_BYTES)
                yield SourceRow(number, (), f"longer than {LINE_MAX_BYTES:,} bytes")
            elif raw.strip():
                yield self._row(number, raw)

    def _row(self, number: int, raw: bytes) -> SourceRow:
        try:
            line = raw.decode(self._encoding)
        except UnicodeDecodeError:
            line = raw.decode(self._encoding, "backslashreplace")
            return SourceRow(
                number, (), "it holds bytes that are not of the encoding in the mapping", line
            )
        try:
            document = read_object(line)
        except ValueError as exc:
            return SourceRow(number, (), str(exc), line)
        why = document.pop(MEMBER, None) if _is_reject(document.get(MEMBER)) else None
        if why is not None:
            number = why[COLUMNS[0]]
            if set(document) == {LINE} and isinstance(document[LINE], str):
                return self._row(number, document[LINE].encode(self._encoding, "replace"))
        return SourceRow(number, self._columns.cells(document), "", document)


def read_object(line: str) -> dict[str, Any]:
    """Return the object of one line; raises ValueError with what is wrong."""
    if line.count("{") + line.count("[") > DEPTH_MAX and _depth(line) > DEPTH_MAX:
        raise ValueError(f"it is nested deeper than {DEPTH_MAX} levels")
    try:
        found = json.loads(line, parse_constant=_no_number)
        if "\\ud" in line.lower():
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character") from None
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found


def _depth(line: str) -> int:
    depth = deepest = 0
    for found in _BRACKET_OR_TEXT.finditer(line):
        mark = found[0]
        if mark in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "]}":
            depth -= 1
    return deepest


def _is_reject(member: Any) -> bool:
    return (
        isinstance(member, dict)
        and set(member) == set(COLUMNS)
        and isinstance(member[COLUMNS[0]], int)
    )


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
