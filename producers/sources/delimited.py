"""Reading a CSV or TSV file that nobody promised to be well formed, in bounded memory.

Whatever is wrong with a row is told as a row: bytes that are not of the encoding,
NUL, a wrong number of columns, a quotation mark that is never closed. Such a mark
costs its own line only: reading goes on with the next. Blocks without any such
trouble are read at once, all others line by line; both say the same of a row.
"""

from __future__ import annotations

import codecs
import csv
from collections import deque
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import BinaryIO

from maplebridge.errors import InputError, MappingInvalid
from maplebridge.producers.mapping.source import DelimitedSource
from maplebridge.producers.rejects import COLUMNS, DelimitedRejects
from maplebridge.producers.sources.rows import SourceRow

LINE_MAX_BYTES = 1_000_000
_BLOCK_BYTES = 256_000
_RECORD_MAX_LINES = 1_000
_RECORD_MAX_CHARS = 2_000_000


class DelimitedRows:
    """A table opened for reading; a reject file of one is read as that table."""

    mark = ""
    unseen: tuple[str, ...] = ()

    def __init__(self, path: Path, source: DelimitedSource) -> None:
        """Raises InputError if the file cannot be opened, MappingInvalid without a header."""
        self._name = path.name
        self._source = source
        self._encoding = source.encoding
        self._again: deque[str] = deque()
        self._number = 0
        self._careful_until = 0
        self._width = 0
        try:
            self._file: BinaryIO = path.open("rb")
            self._size_bytes = path.stat().st_size
        except OSError as exc:
            raise InputError(
                f"{path} cannot be read ({exc.strerror}).", todo="Check its path."
            ) from exc
        try:
            header = self._read_header()
        except BaseException:
            self._file.close()
            raise
        self._corrected = header[: len(COLUMNS)] == COLUMNS
        self.header = header[len(COLUMNS) :] if self._corrected else header

    @property
    def encoding(self) -> str:
        """The encoding as found: `utf-8-sig` where the file begins with a byte order mark."""
        return self._encoding

    @property
    def share(self) -> float:
        return self._file.tell() / max(self._size_bytes, 1)

    def rejects(self, path: Path) -> DelimitedRejects:
        return DelimitedRejects(
            path, header=self.header, encoding=self._encoding, delimiter=self._source.delimiter
        )

    def __iter__(self) -> Iterator[SourceRow]:
        rows = self._rows()
        return map(self._original, rows) if self._corrected else rows

    def close(self) -> None:
        self._file.close()

    def _rows(self) -> Iterator[SourceRow]:
        width = self._width
        while True:
            if not self._again and self._file.tell() >= self._careful_until:
                block = self._clean_block()
                if block:
                    rows, lines = block
                    number = self._number
                    for cells in rows:
                        number += 1
                        if len(cells) == width:
                            stripped = list(map(str.strip, cells))
                            if any(stripped):
                                yield SourceRow(number, stripped)
                        elif cells and (len(cells) > 1 or cells[0].strip()):
                            line = lines[number - self._number - 1]
                            stripped = list(map(str.strip, cells))
                            yield SourceRow(number, stripped, _COLUMNS, line)
                    self._number = number
                    continue
            row = self._next()
            if row is None:
                return
            if row.fault or any(row.cells):
                yield row

    def _clean_block(self) -> tuple[list[list[str]], list[str]] | None:
        """Return rows and lines of the next block, None if it has to be read with care.

        A block is clean if each of its lines is a row by itself and of the encoding.
        """
        begin = self._file.tell()
        block = self._file.read(_BLOCK_BYTES)
        if block and not block.endswith(b"\n"):
            block += self._file.readline(LINE_MAX_BYTES)
        split = self._split(block)
        if split is None:
            self._careful_until = self._file.tell()
            self._file.seek(begin)
        return split

    def _split(self, block: bytes) -> tuple[list[list[str]], list[str]] | None:
        if not block or b"\0" in block:
            return None
        begin = block.rfind(b"\n", 0, len(block) - 1) + 1
        if len(block) - begin > LINE_MAX_BYTES or len(block) > 2 * LINE_MAX_BYTES:
            return None
        try:
            lines = block.decode(self._source.encoding).split("\n")
            if not lines[-1]:
                lines.pop()
            rows = list(csv.reader(lines, delimiter=self._source.delimiter, strict=True))
        except (UnicodeDecodeError, csv.Error):
            return None
        return (rows, lines) if len(rows) == len(lines) else None

    def _original(self, row: SourceRow) -> SourceRow:
        """Return a row of a reject file as the row of the table that it was."""
        if len(row.cells) <= len(COLUMNS):
            return row
        number, cells = row.cells[0], row.cells[len(COLUMNS) :]
        # a row that could not be split stands as a whole in its first cell
        whole = cells[0] if len(cells) == 1 else _written(cells, self._source.delimiter)
        known = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0
        return SourceRow(known or row.number, cells, row.fault, whole if row.fault else "")

    def _read_header(self) -> tuple[str, ...]:
        if self._source.encoding == "utf-8" and self._file.read(3) == codecs.BOM_UTF8:
            self._encoding = "utf-8-sig"
        else:
            self._file.seek(0)
        first = self._next()
        if first is None:
            raise MappingInvalid(f"{self._name} is empty.", todo="Its first row names columns.")
        if first.fault and first.fault != _COLUMNS:
            raise MappingInvalid(
                f"the first row of {self._name} names no columns: {first.fault}.",
                todo="Check the delimiter and the encoding in the mapping.",
            )
        self._width = len(first.cells)
        return tuple(first.cells)

    def _next(self) -> SourceRow | None:
        line = self._line()
        if line is None:
            return None
        self._number += 1
        if len(line) > LINE_MAX_BYTES:
            return SourceRow(self._number, (), f"longer than {LINE_MAX_BYTES:,} bytes")
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
        stripped = [cell.strip() for cell in cells]
        blank = not any(stripped) and len(stripped) <= 1
        if not fault and not blank and self._number > 1 and len(cells) != self._width:
            fault = _COLUMNS
        if fault and len(taken) > 1:
            # one mark that is never closed must not swallow the rows after it
            self._again.extendleft(reversed(taken[1:]))
            taken, fault = taken[:1], _QUOTES
        whole = "".join(taken)
        return SourceRow(self._number, stripped, fault or _content_fault(whole), whole)

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


def _written(cells: Sequence[str], delimiter: str) -> str:
    text = StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="").writerow(cells)
    return text.getvalue()


def _content_fault(line: str) -> str:
    if "\0" in line:
        return "it holds a NUL character"
    if not line.isascii() and any("\udc80" <= each <= "\udcff" for each in line):
        return "it holds bytes that are not of the encoding in the mapping"
    return ""
