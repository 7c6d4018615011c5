"""Named SQL, in `.sql` files beside the module that runs it, and what an error of it means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+).*$", re.MULTILINE)


def load_queries(package: str, file: str) -> Mapping[str, LiteralString]:
    """Return the statements of `file` in `package` by the names of their `-- name:` lines.

    The text is the project's own and never built from input, hence LiteralString.
    """
    return named_queries(files(package).joinpath(file).read_text(encoding="utf-8"))


def named_queries(text: str) -> Mapping[str, LiteralString]:
    """Return the statements of a text by the names of their `-- name:` lines."""
    parts = _NAME.split(text)
    return {
        name: cast(LiteralString, statement.strip())
        for name, statement in zip(parts[1::2], parts[2::2], strict=True)
    }


def is_disk_full(error: Exception) -> bool:
    """Tell whether PostgreSQL's disk is full, by an error of its driver.

    A refused connection has no SQLSTATE, only the server's words, which are of the locale C.
    """
    return getattr(error, "sqlstate", None) == "53100" or "No space left on device" in str(error)
