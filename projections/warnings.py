"""How a warning stands in its loop: pure, of what was told of it, in whatever order that came.

Raised, pushed to the unit of a level, acknowledged, found true or a false alarm, resolved. Any
answer acknowledges: who verifies has taken it on.

Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal[
    "raised", "pushed", "acknowledged", "verified", "false_alarm", "resolved", "withdrawn"
]

FINDINGS: tuple[State, ...] = ("verified", "false_alarm")
RATED_FROM = 10
"""A share of fewer is none: it would tell of single cases, and be chance."""


@dataclass(frozen=True, slots=True)
class Pushed:
    """A warning as it was put before a unit; as in `warning_pushes`."""

    level: str
    unit: str
    pushed_at: int
    answer_by: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that nobody took back; as in `warning_responses`."""

    transition: str
    occurred_at: int
    event_id: str
    department: str

    @property
    def stamp(self) -> tuple[int, str, str]:
        return self.occurred_at, self.event_id, self.department


@dataclass(frozen=True, slots=True)
class WarningStanding:
    """How a warning stands; None where nothing tells.

    level, unit, answer_by: of the last push. acknowledged_at: of the first answer.
    verified_at: of the last finding, true or false, which holds. resolved_at: the first time.
    """

    state: State
    level: str | None = None
    unit: str | None = None
    answer_by: int | None = None
    acknowledged_at: int | None = None
    verified_at: int | None = None
    resolved_at: int | None = None


def warning_standing(
    pushes: Collection[Pushed], answers: Collection[Answer], *, withdrawn: bool
) -> WarningStanding:
    """Return how the warning of these pushes and answers stands."""
    last = max(pushes, key=lambda each: (each.pushed_at, each.level), default=None)
    found = max(
        (each for each in answers if each.transition in FINDINGS),
        key=lambda each: each.stamp,
        default=None,
    )
    acknowledged_at = _first(answers)
    resolved_at = _first(each for each in answers if each.transition == "resolved")
    reached: tuple[tuple[bool, State], ...] = (
        (withdrawn, "withdrawn"),
        (resolved_at is not None, "resolved"),
        (found is not None and found.transition == "verified", "verified"),
        (found is not None, "false_alarm"),
        (acknowledged_at is not None, "acknowledged"),
        (last is not None, "pushed"),
    )
    return WarningStanding(
        state=next((state for is_so, state in reached if is_so), "raised"),
        level=last.level if last else None,
        unit=last.unit if last else None,
        answer_by=last.answer_by if last else None,
        acknowledged_at=acknowledged_at,
        verified_at=found.occurred_at if found else None,
        resolved_at=resolved_at,
    )


def false_alarm_rate(*, verified: int, false_alarms: int) -> float | None:
    """Return the share of false alarms in what was looked at; None of fewer than RATED_FROM."""
    looked_at = verified + false_alarms
    return false_alarms / looked_at if looked_at >= RATED_FROM else None


def _first(answers: Iterable[Answer]) -> int | None:
    return min((each.occurred_at for each in answers), default=None)
