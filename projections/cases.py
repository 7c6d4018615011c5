"""How a case stands across departments: pure, of its parts and of a moment given as argument.

A part is open while its department's matter is: opened, or opened again, since it was last
closed. A case is open while a part is. Who handles it, at which level, is told by the open part
that was told of last; if none is open, by the part told of last.

Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from maplebridge.schemas.case_rules import CaseRules

Status = Literal["open", "reopened", "closed"]
Timeliness = Literal["overdue", "due_soon", "on_time", "closed_late"]

_WORST_FIRST: tuple[Timeliness, ...] = ("overdue", "due_soon", "closed_late", "on_time")


@dataclass(frozen=True, slots=True)
class Part:
    """What of one department's part of a case its standing depends on; as in `case_parts`."""

    event_type: str
    department: str
    unit: str | None
    level: str | None
    urgency: str | None
    due_at: int | None
    backfill: bool
    opened_at: int
    begun_at: int | None
    closed_at: int | None
    returned: int
    occurred_at: int
    event_id: str

    @property
    def stamp(self) -> tuple[int, str, str, str]:
        return self.occurred_at, self.event_id, self.department, self.event_type

    @property
    def status(self) -> Status:
        """Of a moment at which it was closed and opened both, the closing counts."""
        if self.closed_at is None:
            return "open"
        if self.begun_at is not None and self.begun_at > self.closed_at:
            return "reopened"
        return "closed"


@dataclass(frozen=True, slots=True)
class CaseStanding:
    """How a case stands; None where its parts do not tell.

    due_at: of the parts that are open, the earliest deadline; of a closed case, of all parts.
    timeliness: the worst of the parts that are open; of a closed case, of all parts.
    adjudication: a part that is open was returned so often that somebody has to adjudicate.
    """

    status: Status | None = None
    level: str | None = None
    department: str | None = None
    unit: str | None = None
    due_at: int | None = None
    timeliness: Timeliness | None = None
    returned: int = 0
    adjudication: bool = False


def standing_of(
    parts: Sequence[Part], rules: CaseRules, limits: Mapping[str, timedelta], *, as_of: int
) -> CaseStanding:
    """Return how the case of these parts stands as of a moment.

    limits: the time that each urgency leaves where no deadline is told.
    """
    if not parts:
        return CaseStanding()
    matters = [part for part in parts if rules.of(part.event_type).closes]
    still = [part for part in matters if part.status != "closed"]
    asked = still or matters
    last = max(asked or parts, key=lambda part: part.stamp)
    dues = [due for part in asked if (due := due_of(part, limits)) is not None]
    return CaseStanding(
        status=_status(asked),
        level=last.level,
        department=last.department,
        unit=last.unit,
        due_at=min(dues, default=None),
        timeliness=min(
            (_timeliness(part, rules, limits, as_of) for part in asked),
            key=_WORST_FIRST.index,
            default=None,
        ),
        returned=sum(part.returned for part in parts),
        adjudication=any(part.returned >= rules.adjudicated_after for part in still),
    )


def due_of(part: Part, limits: Mapping[str, timedelta]) -> int | None:
    """Return a part's deadline: as it was last told, or by its urgency since it was last opened.

    History has no deadline but one that is told: the limits are not those it was handled under.
    """
    limit = limits.get(part.urgency or "")
    if part.due_at is not None or limit is None or part.backfill:
        return part.due_at
    return _since(part) + limit // timedelta(microseconds=1)


def _since(part: Part) -> int:
    return part.opened_at if part.begun_at is None else part.begun_at


def _status(asked: Sequence[Part]) -> Status | None:
    found = {part.status for part in asked}
    return next((each for each in ("reopened", "open", "closed") if each in found), None)


def _timeliness(
    part: Part, rules: CaseRules, limits: Mapping[str, timedelta], as_of: int
) -> Timeliness:
    """What has no deadline is on time."""
    due = due_of(part, limits)
    if part.status == "closed" and part.closed_at is not None:
        return "on_time" if due is None or part.closed_at <= due else "closed_late"
    if due is None:
        return "on_time"
    if as_of > due:
        return "overdue"
    return "due_soon" if (due - as_of) * rules.due_soon <= due - _since(part) else "on_time"
