"""Approved gradings: the one way past the ratchet, signed for by two officers."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maplebridge.errors import InputError
from maplebridge.schemas.contracts import Contract
from maplebridge.schemas.ratchet import GONE, KINDS, Weakening

APPROVERS = 2


@dataclass(frozen=True)
class Grading:
    """An event `schema.graded`: from one version to another exactly these changes."""

    event_type: str
    from_version: int
    to_version: int
    changes: frozenset[Weakening]
    approved_by: tuple[str, ...]

    @property
    def is_approved(self) -> bool:
        """True if two officers approved it, and they are not one person."""
        # one name in two spellings is one officer
        names = {
            unicodedata.normalize("NFKC", each).strip().casefold() for each in self.approved_by
        }
        return len(names - {""}) == APPROVERS == len(self.approved_by)

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Grading:
        """Take the fields of an event; raises KeyError, TypeError or ValueError."""
        officers = fields["approved_by"]
        if not isinstance(officers, list) or not all(isinstance(each, str) for each in officers):
            raise TypeError("approved_by is a list of names")
        return cls(
            event_type=str(fields["event_type"]),
            from_version=int(fields["from_version"]),
            to_version=int(fields["to_version"]),
            changes=frozenset(_change(each) for each in fields["changes"]),
            approved_by=tuple(officers),
        )


def _change(row: Mapping[str, Any]) -> Weakening:
    if row["kind"] not in KINDS:
        raise ValueError(f"kind is one of {', '.join(KINDS)}")
    return Weakening(
        str(row["path"]), row["kind"], _grade(row["old_grade"]), _grade(row["new_grade"])
    )


def _grade(text: str | None) -> int:
    if text is None:
        return 0
    if text not in ("L1", "L2", "L3", "L4"):
        raise ValueError("a grade is L1, L2, L3, L4 or null")
    return int(text[1])


def load_gradings(paths: Iterable[Path]) -> list[Grading]:
    """Read files that hold one event's fields, or a list of them.

    Raises InputError if a file is none.
    """
    found: list[Grading] = []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = content if isinstance(content, list) else [content]
            found += [Grading.parse(each) for each in rows]
        except OSError as exc:
            raise InputError(
                f"{path} cannot be read ({exc.strerror}).", todo="Give a file of a grading."
            ) from exc
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
            raise InputError(
                f"{path.name} is not a grading ({type(exc).__name__}: {exc}).",
                todo="It needs event_type, from_version, to_version, changes and approved_by.",
            ) from exc
    return found


def grading_of(
    old: Contract, new: Contract, gradings: Sequence[Grading]
) -> tuple[Grading | None, str]:
    """Return the approved grading of this very step; without one, what is wrong."""
    wanted = (new.event_type, old.version, new.version)
    named = [g for g in gradings if (g.event_type, g.from_version, g.to_version) == wanted]
    if not named:
        return None, f"No grading from v{old.version} to v{new.version} is approved."
    approved = [each for each in named if each.is_approved]
    if not approved:
        return None, "Its grading is not approved by two different officers."
    return approved[-1], ""


def is_covered(
    change: Weakening, old: Contract, new: Contract, gradings: Iterable[Grading]
) -> bool:
    """Tell whether a change was approved in some step between two versions."""
    return any(_covers(each, change) for each in _approved(old, new, gradings))


def _approved(old: Contract, new: Contract, gradings: Iterable[Grading]) -> Iterator[Weakening]:
    for each in gradings:
        between = old.version <= each.from_version < each.to_version <= new.version
        if each.event_type == new.event_type and each.is_approved and between:
            yield from each.changes


def _covers(approved: Weakening, change: Weakening) -> bool:
    if approved.path != change.path:
        return False
    if {approved.kind, change.kind} <= GONE:
        # what became of a field since is judged where it stands now
        return True
    return approved.kind == change.kind and approved.new_grade <= change.new_grade
