"""What an import tells: how far it is, and what became of the rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maplebridge.errors import Unavailable


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is; share: of the source, from 0 to 1, None if that is not known."""

    rows: int
    published: int
    rejected: int
    already_published: int
    share: float | None


@dataclass(frozen=True)
class ImportResult:
    """What became of the rows: rows == published + already_published + rejected.

    A row is published once its events are in the spool. waiting: events that lay there at
    the end, of whatever origin; unsent: what they wait for, None if none was waited for.

    events: how many were published; corrections: how many of them take the place of an
    earlier event. reject_path: None if nothing was rejected.
    unseen: columns that the mapping names and no row had.
    """

    rows: int
    published: int
    rejected: int
    already_published: int
    events: int
    corrections: int
    reject_path: Path | None
    waiting: int
    unsent: Unavailable | None
    unseen: tuple[str, ...] = ()
