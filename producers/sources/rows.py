"""What every source of rows is to the importer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from maplebridge.producers.mapping.cells import Row
from maplebridge.producers.rejects import Rejects


class SourceRow(NamedTuple):
    """One row, with what it takes to find it again.

    number: the one a spreadsheet or an editor shows; for a query or a service, the
    position. cells: in the order of the source's header. fault: why the row cannot be
    read, else empty. original: the row as a reject file keeps it: a text, or an object.
    """

    number: int
    cells: Row
    fault: str = ""
    original: Any = ""


class RowSource(Protocol):
    """Rows in bounded memory; iterate once, then close."""

    @property
    def header(self) -> tuple[str, ...]:
        """The names of the columns."""

    @property
    def share(self) -> float | None:
        """How much of it has been read, from 0 to 1; None if that cannot be known."""

    @property
    def unseen(self) -> tuple[str, ...]:
        """Columns that the mapping names and no row so far had."""

    @property
    def mark(self) -> str:
        """From where the next run goes on, once this one is done; empty if it begins anew."""

    def rejects(self, path: Path) -> Rejects:
        """Return the file in which rows of this source are handed back for correction."""

    def __iter__(self) -> Iterator[SourceRow]:
        """Raises InputError or Unavailable where the source breaks off."""

    def close(self) -> None: ...
