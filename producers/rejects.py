"""Reject files: the rows that were not published, each with its reason, to correct and import.

They hold the department's own rows in plain, so only their owner may read them.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import IO, Any, Protocol, TextIO

from maplebridge.errors import InputError

COLUMNS = ("row", "column", "reason")
"""What a rejected row says first; an import of the corrected file passes them over."""

MEMBER = "rejected"
"""The member of a rejected JSON object that holds them."""

LINE = "line"
"""The member that holds a line which is no JSON object."""


class Rejects(Protocol):
    """Where an import puts the rows that it could not publish."""

    rows: int

    def add(
        self, *, row: int, column: str, reason: str, cells: Sequence[Any], original: Any
    ) -> None:
        """cells: the row's own, in the order of the header. original: as the source told it.

        Raises InputError if it cannot be written.
        """

    def finish(self) -> Path | None:
        """Put the file in its place; without a reject, take away an earlier one.

        Returns its path, or None if nothing was rejected.
        """

    def abandon(self) -> None:
        """Take away what was written; an earlier reject file stays."""


class RejectFile:
    """Written beside its final place, and put there when the import is done."""

    def __init__(self, path: Path, *, encoding: str) -> None:
        self.path = path
        self.rows = 0
        self._partial = path.with_name(f"{path.name}.partial")
        self._encoding = encoding
        self._file: TextIO | None = None

    def write(self, text: str) -> None:
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(text)
        except OSError as exc:
            raise self._unwritable(exc) from exc
        self.rows += 1

    def head(self) -> str:
        """Return what stands before the first row."""
        return ""

    def finish(self) -> Path | None:
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
        if self._file is not None:
            self._file.close()
            self._partial.unlink(missing_ok=True)

    def _open(self) -> TextIO:
        file = TextIOWrapper(
            _open_private(self._partial),
            encoding=self._encoding,
            errors="surrogateescape",
            newline="",
        )
        file.write(self.head())
        return file

    def _unwritable(self, exc: OSError) -> InputError:
        return unwritable(self.path, exc)


class DelimitedRejects(RejectFile):
    """In the encoding and with the delimiter of the table, so that the same program opens both."""

    def __init__(self, path: Path, *, header: Sequence[str], encoding: str, delimiter: str) -> None:
        super().__init__(path, encoding=encoding)
        self._header = header
        self._delimiter = delimiter

    def add(
        self, *, row: int, column: str, reason: str, cells: Sequence[Any], original: Any
    ) -> None:
        """A row that could not be split into cells stands as a whole in the first of them."""
        whole = cells if len(cells) == len(self._header) else [str(original).rstrip("\r\n")]
        self.write(self._line([str(row), column, reason, *whole]))

    def head(self) -> str:
        return self._line([*COLUMNS, *self._header])

    def _line(self, cells: Sequence[Any]) -> str:
        text = StringIO()
        csv.writer(text, delimiter=self._delimiter, lineterminator="\r\n").writerow(cells)
        return text.getvalue()


class JsonRejects(RejectFile):
    """One object a line: the row as the source told it, and why it was rejected."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")

    def add(
        self, *, row: int, column: str, reason: str, cells: Sequence[Any], original: Any
    ) -> None:
        told = original if isinstance(original, Mapping) else {LINE: str(original).rstrip("\r\n")}
        why = dict(zip(COLUMNS, (row, column, reason), strict=True))
        whole = {MEMBER: why, **{name: each for name, each in told.items() if name != MEMBER}}
        text = json.dumps(whole, ensure_ascii=False, default=_plain)
        self.write(text.encode("utf-8", "backslashreplace").decode() + "\n")


def _plain(value: Any) -> str:
    return str(value.isoformat()) if hasattr(value, "isoformat") else str(value)


def _open_private(path: Path) -> IO[bytes]:
    """Open a new file that only its owner may read."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")


def unwritable(path: Path, exc: OSError) -> InputError:
    return InputError(
        f"the reject file {path} cannot be written ({exc.strerror}).",
        todo="Give another place with --rejects.",
    )
