"""Codes from a table beside the mapping, for lists too long to stand in it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from maplebridge.producers.mapping.document import Node, did_you_mean
from maplebridge.producers.mapping.targets import TypedTarget

MAX_BYTES = 10_000_000


def read_lookup(node: Node, folder: Path, typed: TypedTarget) -> dict[str, Any]:
    """Read `{file, from, to}`: a UTF-8 CSV file and two of its columns.

    Raises MappingInvalid if the file cannot be read, says two things of one cell, or
    holds a value that does not fit the target.
    """
    entries = node.entries(("file", "from", "to"))
    for name in ("file", "from", "to"):
        if name not in entries:
            raise node.fault(
                f"{name!r} is missing.", "Such as {file: a.csv, from: name, to: code}."
            )
    path = folder / entries["file"].text()
    try:
        if path.stat().st_size > MAX_BYTES:
            raise entries["file"].fault(f"the table is larger than {MAX_BYTES:,} bytes.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = list(reader.fieldnames or ())
            for name in ("from", "to"):
                column = entries[name].text()
                if column not in header:
                    raise entries[name].fault(
                        f"the table has no column {column!r}.", did_you_mean(column, header)
                    )
            return _table(entries, reader, typed)
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise entries["file"].fault(
            f"the table cannot be read ({type(exc).__name__}).",
            "It is a UTF-8 CSV file beside the mapping.",
        ) from exc


def _table(
    entries: dict[str, Node], reader: csv.DictReader[str], typed: TypedTarget
) -> dict[str, Any]:
    source, target = entries["from"].text(), entries["to"].text()
    found: dict[str, Any] = {}
    for row in reader:
        cell, value = (row[source] or "").strip(), (row[target] or "").strip()
        if not cell:
            continue
        where = Node(value, entries["to"].line, entries["to"].where, entries["to"].file, "str")
        fits = typed.constant(where)
        if found.setdefault(cell, fits) != fits:
            raise entries["from"].fault(
                f"line {reader.line_num} of the table gives a cell another value than before."
            )
    return found
