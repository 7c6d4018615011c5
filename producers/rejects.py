"""The reject file: the rows that were not published, each with its reason."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import TextIO

from maplebridge.errors import InputError

COLUMNS = ("row", "column", "reason")


class RejectFile:
    """Written beside its final place, and put there when the import is done.

    It holds the clerk's own rows, so only its owner may read it. encoding,
    delimiter: those of the table, so that the same program opens both.
    """

    def __init__(self, path: Path, *, header: Sequence[str], encoding: str, delimiter: str) -> None:
        self.path = path
        self.rows = 0
        self._partial = path.with_name(f"{path.name}.partial")
        self._header = header
        self._encoding = encoding
        self._delimiter = delimiter
        self._file: TextIO | None = None

    def add(self, *, row: int, column: str, reason: str, cells: Sequence[str], line: str) -> None:
        """Raises InputError if the file cannot be written.

        cells: the row's own, in the order of the header. A row that could not be
        split into cells stands as a whole in the first of them.
        """
        whole = list(cells) if len(cells) == len(self._header) else [line.rstrip("\r\n")]
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(self._line([str(row), column, reason, *whole]))
        except OSError as exc:
            raise self._unwritable(exc) from exc
        self.rows += 1

    def finish(self) -> Path | None:
        """Put the file in its place; without a reject, take away an earlier one.

        Returns its path, or None if nothing was rejected.
        """
        try:
            if self._file is None:
                self.path.unlink(missing_ok=True)
                return None
            self._file.close()
            self._partial.replace(self.path)
        except OSError as exc:
            raise self._unwritable(exc) from exc
        return self.path

    def abandon(self) -> None:
        """Take away what was written; an earlier reject file stays."""
        if self._file is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)

    def _open(self) -> TextIO:
        self._partial.unlink(missing_ok=True)
        handle = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        file = os.fdopen(handle, "w", encoding=self._encoding, errors="surrogateescape", newline="")
        file.write(self._line([*COLUMNS, *self._header]))
        return file

    def _line(self, cells: Sequence[str]) -> str:
        text = StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n").writerow(cells)
        return text.getvalue()

    def _unwritable(self, exc: OSError) -> InputError:
        return InputError(
            f"the reject file {self.path} cannot be written ({exc.strerror}).",
            todo="Give another place with --rejects.",
        )
