"""Reading one sheet of an .xlsx file, in bounded memory; formulas give their kept values."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from maplebridge.errors import InputError, MappingInvalid
from maplebridge.producers.mapping.document import did_you_mean
from maplebridge.producers.mapping.source import WorkbookSource
from maplebridge.producers.rejects import COLUMNS
from maplebridge.producers.sources.rows import SourceRow
from maplebridge.producers.sources.workbook_archive import open_watched
from maplebridge.producers.sources.workbook_rejects import WorkbookRejects

UNPACKED_MAX_BYTES = 1_000_000_000
TEXTS_MAX_BYTES = 50_000_000
RATIO_MAX = 100
MEMBERS_MAX = 2_000
ROWS_MAX = 1_048_576
COLUMNS_MAX = 1_000

_TEXTS = "xl/sharedstrings.xml"
_ERRORS = frozenset({"#N/A", "#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NULL!", "#NUM!"})


class WorkbookRows:
    """A sheet opened for reading; a corrected reject file is read as that sheet."""

    mark = ""
    unseen: tuple[str, ...] = ()

    def __init__(self, path: Path, source: WorkbookSource) -> None:
        """Raises InputError if the file is no workbook or too large, MappingInvalid without
        its sheet or header."""
        self._path = path
        self._refuse_bomb()
        # opened here: openpyxl leaves a file open that it cannot read
        self._file = path.open("rb")
        try:
            self._book = open_watched(self._file, path)
        except InputError:
            self._file.close()
            raise
        except Exception as exc:  # openpyxl raises nearly anything on a broken file
            self._file.close()
            raise self._broken(exc) from exc
        try:
            self._sheet = self._find(source.sheet)
            self._number = 0
            self._rows_in_all = self._told_rows()
            self._cells = self._read()
            header = self._header(source.header_row)
        except BaseException:
            self.close()
            raise
        self._corrected = header[: len(COLUMNS)] == COLUMNS
        self._width = len(header)
        self.header = header[len(COLUMNS) :] if self._corrected else header

    @property
    def share(self) -> float | None:
        return min(self._number / self._rows_in_all, 1.0) if self._rows_in_all else None

    def rejects(self, path: Path) -> WorkbookRejects:
        return WorkbookRejects(path, sheet=str(self._sheet.title), header=self.header)

    def close(self) -> None:
        self._book.close()
        self._file.close()

    def __iter__(self) -> Iterator[SourceRow]:
        for cells in self._cells:
            if any(cell != "" for cell in cells):
                yield self._row(cells)

    def _row(self, cells: list[Any]) -> SourceRow:
        number, fault = self._number, ""
        if any(cell != "" for cell in cells[self._width :]):
            fault = "it has more columns than the first row"
        cells = (cells + [""] * (self._width - len(cells)))[: self._width]
        if self._corrected:
            told, cells = cells[0], cells[len(COLUMNS) :]
            number = told if isinstance(told, int) and told > 0 else number
        if not _ERRORS.isdisjoint(cell for cell in cells if type(cell) is str):
            fault = "a formula in it has failed"
        return SourceRow(number, cells, fault)

    def _header(self, row: int) -> tuple[str, ...]:
        cells = next((each for each in self._cells if self._number == row), [])
        names = [str(cell).strip() for cell in cells]
        while names and not names[-1]:
            names.pop()
        if not names:
            raise MappingInvalid(
                f"row {row} of {self._path.name} names no columns.",
                todo="Say in the mapping which row does: source.header_row.",
            )
        return tuple(names)

    def _read(self) -> Iterator[list[Any]]:
        try:
            for values in self._sheet.iter_rows(values_only=True):
                self._number += 1
                if self._number > ROWS_MAX:
                    raise InputError(f"{self._path.name} has more than {ROWS_MAX:,} rows.")
                if len(values) > COLUMNS_MAX:
                    raise InputError(f"{self._path.name} has more than {COLUMNS_MAX:,} columns.")
                yield [_cell(value) for value in values]
        except InputError:
            raise
        except Exception as exc:
            raise InputError(
                f"{self._path.name} breaks off after row {self._number} ({type(exc).__name__}).",
                todo="Open it in a spreadsheet program and save it again.",
            ) from exc

    def _told_rows(self) -> int:
        """Return how many rows the sheet says it has, then read it without believing that."""
        try:
            told = self._sheet.max_row or 0
            self._sheet.reset_dimensions()
        except InputError:
            raise
        except Exception as exc:
            raise self._broken(exc) from exc
        return int(told)

    def _find(self, name: str | None) -> Any:
        if not self._book.worksheets:
            raise MappingInvalid(f"{self._path.name} has no sheet.")
        if name is None:
            return self._book.worksheets[0]
        for sheet in self._book.worksheets:
            if sheet.title == name:
                return sheet
        raise MappingInvalid(
            f"{self._path.name} has no sheet {name!r}.",
            todo=did_you_mean(name, [sheet.title for sheet in self._book.worksheets]),
        )

    def _refuse_bomb(self) -> None:
        """Raises InputError if what is packed in the file is out of proportion."""
        try:
            with zipfile.ZipFile(self._path) as packed:
                members = packed.infolist()
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as exc:
            if isinstance(exc, OSError) and exc.errno:
                raise InputError(
                    f"{self._path} cannot be read ({exc.strerror}).", todo="Check its path."
                ) from exc
            raise self._broken(exc) from exc
        unpacked = sum(member.file_size for member in members)
        texts = sum(each.file_size for each in members if each.filename.lower() == _TEXTS)
        ratio = unpacked / max(self._path.stat().st_size, 1)
        if (
            len(members) > MEMBERS_MAX
            or unpacked > UNPACKED_MAX_BYTES
            or texts > TEXTS_MAX_BYTES
            or (ratio > RATIO_MAX and unpacked > TEXTS_MAX_BYTES)
        ):
            raise InputError(
                f"{self._path.name} would unpack to {unpacked:,} bytes.",
                todo="Save the sheet as CSV, or in parts.",
            )

    def _broken(self, exc: Exception) -> InputError:
        return InputError(
            f"{self._path.name} cannot be read as a workbook ({type(exc).__name__}).",
            todo="Save it as .xlsx from a spreadsheet program.",
        )


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if type(value) is str:
        return value.strip()
    if isinstance(value, time | timedelta):
        return str(value)
    if isinstance(value, datetime) and value.microsecond:
        # a day is a fraction in the file: seconds come out a few microseconds off
        return (value + timedelta(microseconds=500_000)).replace(microsecond=0)
    return value
