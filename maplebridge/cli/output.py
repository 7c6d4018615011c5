"""What commands print: text for people, JSON for programs, errors with one thing to do."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from maplebridge.errors import MapleBridgeError, StageFailed

console = Console(highlight=False, soft_wrap=True)
complaints = Console(stderr=True, highlight=False, soft_wrap=True)


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one object on one line."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=_plain) + "\n")
    sys.stdout.flush()


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    console.print(table)


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


def moment(micros: int) -> str:
    """Return microseconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(micros / 1_000_000, UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
