"""The rows of a workbook that could not be published, as a sheet of the same name."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Any

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxFileError, XlsxInputError
from xlsxwriter.worksheet import Worksheet

from maplebridge.errors import InputError
from maplebridge.producers.rejects import COLUMNS, unwritable

_OPTIONS = {
    # a row goes to the disk when the next begins
    "constant_memory": True,
    # a text is never a formula or a link, though it begins with =
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "nan_inf_to_errors": True,
    "default_date_format": "yyyy-mm-dd hh:mm:ss",
}
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXT_MAX_CHARS = 32_767


class WorkbookRejects:
    """With the same columns behind three more; the sheet is made in a folder that only its
    owner may read, beside its final place, and put there when the import is done."""

    def __init__(self, path: Path, *, sheet: str, header: Sequence[str]) -> None:
        self.path = path
        self.rows = 0
        self._title = sheet
        self._header = header
        self._folder: Path | None = None

    def add(
        self, *, row: int, column: str, reason: str, cells: Sequence[Any], original: Any
    ) -> None:
        try:
            if self._folder is None:
                self._folder = self._open()
            self._write(self.rows + 1, [row, column, reason, *cells])
        except OSError as exc:
            raise unwritable(self.path, exc) from exc
        self.rows += 1

    def finish(self) -> Path | None:
        try:
            if self._folder is None:
                self.path.unlink(missing_ok=True)
                return None
            self._book.close()
            self._made(self._folder).chmod(0o600)
            self._made(self._folder).replace(self.path)
        except XlsxFileError as exc:
            raise unwritable(self.path, exc.args[0]) from exc
        except OSError as exc:
            raise unwritable(self.path, exc) from exc
        rmtree(self._folder, ignore_errors=True)
        self._folder = None
        return self.path

    def abandon(self) -> None:
        if self._folder is None:
            return
        # a book that is not closed closes itself later, when its folder is gone
        with suppress(OSError, XlsxFileError):
            self._book.close()
        rmtree(self._folder, ignore_errors=True)
        self._folder = None

    def _open(self) -> Path:
        folder = Path(
            tempfile.mkdtemp(prefix=f".{self.path.name}.", suffix=".partial", dir=self.path.parent)
        )
        self._book = Workbook(str(self._made(folder)), {**_OPTIONS, "tmpdir": str(folder)})
        try:
            self._sheet: Worksheet = self._book.add_worksheet(self._title)
        except XlsxInputError:
            rmtree(folder)
            raise InputError(
                f"the rejects of a sheet named {self._title!r} cannot be written.",
                todo="Give the sheet a name of at most 31 characters without []:*?/\\.",
            ) from None
        self._write(0, [*COLUMNS, *self._header])
        return folder

    def _made(self, folder: Path) -> Path:
        return folder / "rejects.xlsx"

    def _write(self, row: int, values: Sequence[Any]) -> None:
        for column, value in enumerate(values):
            if isinstance(value, str):
                text = _ILLEGAL.sub("", value)[:_TEXT_MAX_CHARS]
                self._sheet.write_string(row, column, text)
            else:
                self._sheet.write(row, column, value)
