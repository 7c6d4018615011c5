"""Columns of nested JSON: `caller.phone`, `notes[0].text`, or a JSON Pointer (RFC 6901)."""

from __future__ import annotations

import re
from typing import Any

Path = tuple[str | int, ...]
"""Names of members and positions in arrays, from the outside in."""

_INDEX = re.compile(r"0|[1-9][0-9]{0,5}")
_PARTS = re.compile(r"\[([0-9]{1,6})\]|(?:^|\.)([^.\[\]]+)")


def parse_path(column: str) -> Path:
    """Return the path of a column; a name that begins with / is a JSON Pointer.

    Raises ValueError if it is neither.
    """
    if column.startswith("/"):
        parts = (part.replace("~1", "/").replace("~0", "~") for part in column[1:].split("/"))
        return tuple(int(part) if _INDEX.fullmatch(part) else part for part in parts)
    found: list[str | int] = []
    end = 0
    for match in _PARTS.finditer(column):
        if match.start() != end:
            break
        end = match.end()
        found.append(int(match[1]) if match[1] is not None else match[2])
    if not found or end != len(column):
        raise ValueError("not a path such as caller.phone, notes[0].text or /caller/phone")
    return tuple(found)


def follow(document: Any, path: Path) -> Any:
    """Return what stands at `path`, stripped if it is a text; empty if nothing stands there."""
    at = document
    for part in path:
        if isinstance(at, dict):
            at = at.get(str(part))
        elif isinstance(at, list) and isinstance(part, int) and part < len(at):
            at = at[part]
        else:
            return ""
    if type(at) is str:
        return at.strip()
    return "" if at is None else at
