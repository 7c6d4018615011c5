"""What commands print: text for people, JSON for programs, errors with one thing to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from maplebridge.errors import MapleBridgeError, StageFailed

console = Console(highlight=False, soft_wrap=True)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)

FILE_WIDTH = 200
"""Columns of a table that goes to a file or a pipe, where no line is too long."""


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one object on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_plain) + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; nulls stay empty, times are UTC."""
    table = Table(
        title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False
    )
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        # a value may hold brackets, which are no markup
        table.add_row(*(Text(text_of(cell)) for cell in row))
    show(table)


def show(table: Table) -> None:
    """Print as wide as the terminal is, or as a file may be."""
    to_file = Console(file=console.file, width=FILE_WIDTH, soft_wrap=True)
    (console if console.is_terminal else to_file).print(table)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 row`, `2 rows`."""
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def text_of(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return str(value)


def print_error(error: MapleBridgeError, *, as_json: bool) -> None:
    """Say what is wrong and what to do; a failed stage shows its last log lines."""
    if as_json:
        told: dict[str, Any] = {
            "error": type(error).__name__,
            "message": error.message,
            "todo": error.todo,
        }
        if isinstance(error, StageFailed):
            told["log_tail"] = list(error.log_tail)
        print_json(told)
        return
    complaints.print(f"error: {error.message}", style="bold red", markup=False)
    if isinstance(error, StageFailed):
        for line in error.log_tail:
            complaints.print(f"  | {line}", markup=False)
    if error.todo:
        complaints.print(f"  {error.todo}", markup=False)


def moment(micros: int) -> datetime:
    """Return the time that is so many microseconds after 1970, in UTC."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
