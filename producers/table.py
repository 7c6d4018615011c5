"""Reading a CSV file that nobody promised to be well formed, in bounded memory.

Whatever is wrong with a row is told as a row: bytes that are not of the encoding,
NUL, a wrong number of columns, a quotation mark that is never closed. Such a mark
costs its own line only: reading goes on with the next.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from maplebridge.errors import InputError, MappingInvalid
from maplebridge.producers.mapping import Source

LINE_MAX_BYTES = 1_000_000
_RECORD_MAX_LINES = 1_000
_RECORD_MAX_CHARS = 2_000_000


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row; `number` is the one a spreadsheet shows, the header being row 1.

    cells: stripped. fault: why it cannot be read, else empty. line: as it is in the file.
    """

    number: int
    cells: tuple[str, ...]
    line: str
    fault: str = ""


class Table:
    """A CSV file opened for reading; use it with `with`, then iterate once."""

    def __init__(self, path: Path, source: Source) -> None:
        """Raises InputError if the file cannot be opened, MappingInvalid without a header."""
        self.path = path
        self._source = source
        self._encoding = source.encoding
        self._again: deque[str] = deque()
        self._number = 0
        try:
            self._file: BinaryIO = path.open("rb")
            self.size_bytes = path.stat().st_size
        except OSError as exc:
            raise InputError(
                f"{path} cannot be read ({exc.strerror}).", todo="Check its path."
            ) from exc
        try:
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    @property
    def encoding(self) -> str:
        """The encoding as found: `utf-8-sig` where the file begins with a byte order mark."""
        return self._encoding

    @property
    def read_bytes(self) -> int:
        return self._file.tell()

    def __iter__(self) -> Iterator[TableRow]:
        while (row := self._next()) is not None:
            if row.fault or any(row.cells):
                yield row

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _read_header(self) -> tuple[str, ...]:
        if self._source.encoding == "utf-8" and self._file.read(3) == codecs.BOM_UTF8:
            self._encoding = "utf-8-sig"
        else:
            self._file.seek(0)
        first = self._next()
        if first is None:
            raise MappingInvalid(f"{self.path.name} is empty.", todo="Its first row names columns.")
        if first.fault and first.fault != _COLUMNS:
            raise MappingInvalid(
                f"the first row of {self.path.name} names no columns: {first.fault}.",
                todo="Check the delimiter and the encoding in the mapping.",
            )
        return first.cells

    def _next(self) -> TableRow | None:
        line = self._line()
        if line is None:
            return None
        self._number += 1
        if len(line) > LINE_MAX_BYTES:
            return TableRow(self._number, (), "", f"longer than {LINE_MAX_BYTES:,} bytes")
        taken = [line]
        fault = ""
        cells: list[str] = []
        try:
            reader = csv.reader(
                self._lines_of_record(taken), delimiter=self._source.delimiter, strict=True
            )
            cells = next(reader)
        except StopIteration:
            pass
        except csv.Error as exc:
            quoted = "end of data" in str(exc) or '"' in str(exc)
            fault = _QUOTES if quoted else _UNREADABLE
        stripped = tuple(cell.strip() for cell in cells)
        blank = not any(stripped) and len(stripped) <= 1
        if not fault and not blank and self._number > 1 and len(cells) != len(self.header):
            fault = _COLUMNS
        if fault and len(taken) > 1:
            # one mark that is never closed must not swallow the rows after it
            self._again.extendleft(reversed(taken[1:]))
            taken, fault = taken[:1], _QUOTES
        whole = "".join(taken)
        return TableRow(self._number, stripped, whole, fault or _content_fault(whole))

    def _lines_of_record(self, taken: list[str]) -> Iterator[str]:
        yield taken[0]
        size = len(taken[0])
        while len(taken) < _RECORD_MAX_LINES and size < _RECORD_MAX_CHARS:
            line = self._line()
            if line is None:
                return
            taken.append(line)
            size += len(line)
            yield line

    def _line(self) -> str | None:
        if self._again:
            return self._again.popleft()
        raw = self._file.readline(LINE_MAX_BYTES + 2)
        if not raw:
            return None
        if len(raw) > LINE_MAX_BYTES:
            self._skip_rest(raw)
            return " " * (LINE_MAX_BYTES + 1)
        # every byte that is not of the encoding can be told afterwards, and written back
        return raw.decode(self._source.encoding, "surrogateescape")

    def _skip_rest(self, raw: bytes) -> None:
        while raw and not raw.endswith(b"\n"):
            raw = self._file.readline(LINE_MAX_BYTES)


_QUOTES = "its quotation marks do not match"
_COLUMNS = "it has another number of columns than the first row"
_UNREADABLE = "it cannot be read as a row of this table"


def _content_fault(line: str) -> str:
    if "\0" in line:
        return "it holds a NUL character"
    if not line.isascii() and any("\udc80" <= each <= "\udcff" for each in line):
        return "it holds bytes that are not of the encoding in the mapping"
    return ""
