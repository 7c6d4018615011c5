"""Reading the parts of an .xlsx file under watch: a tree of what is read fits into memory.

The library that reads workbooks keeps one row, or one shared text, at a time, and all that
stands around them; what is watched is therefore the size of these, part by part.
"""

from __future__ import annotations

import zipfile
from io import RawIOBase
from pathlib import Path
from typing import IO, Any, BinaryIO
from xml.parsers import expat

from openpyxl import Workbook
from openpyxl.reader.excel import ExcelReader
from openpyxl.xml.constants import SHEET_MAIN_NS

from maplebridge.errors import InputError

UNIT_MAX_BYTES = 4_000_000
UNIT_MAX_ELEMENTS = 50_000
UNITS_MAX = 1_048_577
AROUND_MAX_BYTES = 16_000_000
AROUND_MAX_ELEMENTS = 200_000
_READ_BYTES = 65_536


def open_watched(file: BinaryIO, path: Path) -> Workbook:
    """Open a workbook whose parts are read under watch; raises InputError where one is too large.

    Raises nearly anything else on a broken file.
    """
    reader = _WatchedReader(file, path.name)
    reader.read()
    return reader.wb


class _WatchedReader(ExcelReader):
    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file, read_only=True, data_only=True, keep_links=False)
        self._watched = self.archive = _WatchedArchive(file, name)

    def read_strings(self) -> None:
        self._watched.unit = "si"
        super().read_strings()
        self._watched.unit = "row"


class _WatchedArchive(zipfile.ZipFile):
    """unit: what the part that is opened next is read by."""

    unit = "row"

    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(file)
        self._name = name

    def open(self, *arguments: Any, **more: Any) -> IO[bytes]:
        return _WatchedPart(super().open(*arguments, **more), self._name, self.unit)  # type: ignore[return-value]


class _WatchedPart(RawIOBase):
    def __init__(self, part: IO[bytes], name: str, unit: str) -> None:
        self._part = part
        self._name = name
        self._unit = f"{SHEET_MAIN_NS} {unit}"
        self._is_inside = False
        self._units = self._elements = self._elements_around = 0
        self._began = self._around = self._fed = 0
        self._xml = expat.ParserCreate(namespace_separator=" ")
        self._xml.StartElementHandler = self._start
        self._xml.EndElementHandler = self._end
        self._xml.StartDoctypeDeclHandler = self._typed

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(_READ_BYTES), b""))
        told = self._part.read(min(size, _READ_BYTES))
        self._xml.Parse(told, not told)
        self._fed += len(told)
        stretch = self._fed - self._began
        if self._is_inside:
            self._check(stretch <= UNIT_MAX_BYTES)
        else:
            self._check(self._around + stretch <= AROUND_MAX_BYTES)
        return told

    def close(self) -> None:
        self._part.close()
        super().close()

    def _start(self, name: str, _: object) -> None:
        self._elements += 1
        if name == self._unit:
            self._units += 1
            self._check(self._units <= UNITS_MAX)
            self._turn(is_inside=True)
        elif self._is_inside:
            self._check(self._elements <= UNIT_MAX_ELEMENTS)
        else:
            self._elements_around += 1
            self._check(self._elements_around <= AROUND_MAX_ELEMENTS)

    def _end(self, name: str) -> None:
        if name == self._unit:
            self._turn(is_inside=False)

    def _turn(self, *, is_inside: bool) -> None:
        at = self._xml.CurrentByteIndex
        if self._is_inside:
            self._check(at - self._began <= UNIT_MAX_BYTES)
        else:
            self._around += at - self._began
        self._is_inside, self._began, self._elements = is_inside, at, 0

    def _check(self, fits: bool) -> None:
        if not fits:
            raise InputError(
                f"{self._name} holds a row, a text or a part that is too large for a spreadsheet.",
                todo="Save the sheet as CSV, or in parts.",
            )

    def _typed(self, *_: object) -> None:
        raise InputError(
            f"{self._name} defines a document type, as no spreadsheet program does.",
            todo="Save it as .xlsx from a spreadsheet program.",
        )
