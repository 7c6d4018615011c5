"""Schema files: one reader for all commands, so that none takes what another refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from maplebridge.errors import ContractRefused
from maplebridge.schemas.contracts import INLINED
from maplebridge.schemas.lint.located import parse

PLUMBING = frozenset(
    {
        *INLINED,
        "maplebridge.entry.Recognised",
        "maplebridge.erasure.Acknowledged",
        "maplebridge.erasure.Ordered",
        "maplebridge.keys.master.Created",
        "maplebridge.keys.signing.Enrolled",
        "maplebridge.access.Recorded",
        "maplebridge.out.View",
    }
)
"""Full names of the schemas that are the bus's own and no contracts."""


def read_text(path: Path) -> str:
    """Raises ContractRefused if there is no such file, or it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ContractRefused(
            f"{path} cannot be read ({exc.strerror}).", todo="Give an .avsc file."
        ) from exc
    except UnicodeDecodeError as exc:
        raise ContractRefused(
            f"{path.name} is not UTF-8 (byte {exc.start}).", todo="Save it as UTF-8."
        ) from exc


def read_schema(path: Path) -> dict[str, Any]:
    """Return the schema of a file.

    Raises ContractRefused if it cannot be read or is not one JSON object, if it is nested
    more deeply than any contract, or if a name is given twice: readers differ in which counts.
    """
    text = read_text(path)
    try:
        located = parse(text)
        # half a surrogate pair is JSON, and no text that could be hashed or sent
        json.dumps(located.value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as exc:
        line = f", line {exc.lineno}" if isinstance(exc, json.JSONDecodeError) else ""
        reason = exc.msg if isinstance(exc, json.JSONDecodeError) else type(exc).__name__
        raise ContractRefused(
            f"{path.name}{line} is not JSON that can be read ({reason}).",
            todo="Run `maplebridge schema lint` on it.",
        ) from exc
    for pointer in located.doubled:
        raise ContractRefused(
            f"{path.name}, line {located.line(pointer)}: {pointer[-1]} is given twice.",
            todo="Leave one of them.",
        )
    if not isinstance(located.value, dict):
        raise ContractRefused(
            f"{path.name} is not a schema: it is no JSON object.",
            todo="Run `maplebridge schema lint` on it.",
        )
    return located.value


def is_plumbing(schema: dict[str, Any]) -> bool:
    """Tell whether a schema is the bus's own; with transitions it is a contract all the same."""
    name = f"{schema.get('namespace')}.{schema.get('name')}"
    return name in PLUMBING and "mb:transitions" not in schema
