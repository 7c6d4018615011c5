"""The answer to a department whose entry repeats one that was recorded already."""

from __future__ import annotations

from dataclasses import dataclass

RECOGNISED = "control/entry.recognised.v1"
"""Its schema, by the name that `load_schema` takes."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """An entry and the one it repeats; None where it repeats none any more."""

    event_id: str
    event_type: str
    department: str
    repeats: str | None
    repeats_department: str | None
