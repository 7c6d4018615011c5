"""Matters, which statistics count: all that the events of one type say of one case.

An event without a case is a matter of its own. Pure: rows in, matters out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict

Answer = Literal["contacted", "resolved"]
Span = tuple[datetime, datetime]
"""since, until: half open"""


@dataclass(frozen=True, slots=True)
class Step:
    """One event that counts; the columns of `events` that statistics are made of, and no other.

    case: the case's reference, or the event's id where it has none.
    """

    case: str
    event_type: str
    event_id: str
    department: str
    community: str
    transition: str
    category: str
    level: str | None
    occurred_at: datetime
    due_at: datetime | None
    contacted: bool | None
    resolved: bool | None

    @property
    def stamp(self) -> tuple[datetime, str, str]:
        return self.occurred_at, self.event_id, self.department


@dataclass(frozen=True, slots=True)
class Matter:
    """The steps of one case and one type, in their order; there is at least one."""

    case: str
    event_type: str
    steps: tuple[Step, ...]

    @property
    def community(self) -> str:
        """The one where it was seen last."""
        return self.steps[-1].community

    @property
    def due_at(self) -> datetime | None:
        """The deadline that was told last."""
        return self.steps[-1].due_at

    def last(self, transitions: Iterable[str]) -> Step | None:
        wanted = frozenset(transitions)
        return next((each for each in reversed(self.steps) if each.transition in wanted), None)

    def since(self, step: Step) -> tuple[Step, ...]:
        """Return a step and all after it."""
        return self.steps[self.steps.index(step) :]


def matters_of(steps: Iterable[Step]) -> list[Matter]:
    """Return the matters of steps in any order, sorted by case and type."""
    found: Mapping[tuple[str, str], list[Step]] = defaultdict(list)
    for step in steps:
        found[step.case, step.event_type].append(step)
    return [
        Matter(case, event_type, tuple(sorted(held, key=lambda each: each.stamp)))
        for (case, event_type), held in sorted(found.items())
    ]


class Condition(BaseModel):
    """What must hold of a matter since a step; see indicators.yaml. Nothing holds always."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    levels: frozenset[str] = frozenset()
    codes: frozenset[str] = frozenset()
    tells: Answer | None = None
    affirms: Answer | None = None
    within: timedelta | None = None
    on_time: bool = False

    def holds(self, matter: Matter, began: Step) -> bool:
        after = matter.since(began)
        reached = next((each for each in after if each.transition in self.steps), None)
        return (
            (not self.steps or reached is not None)
            and not any(each.transition in self.without for each in after)
            and (not self.levels or began.level in self.levels)
            and (not self.codes or began.category in self.codes)
            and (self.tells is None or getattr(began, self.tells) is not None)
            and (self.affirms is None or getattr(began, self.affirms) is True)
            and (self.within is None or _is_within(began, reached, self.within))
            and (not self.on_time or _is_on_time(matter, reached))
        )


def _is_within(began: Step, reached: Step | None, limit: timedelta) -> bool:
    return reached is not None and reached.occurred_at - began.occurred_at <= limit


def _is_on_time(matter: Matter, reached: Step | None) -> bool:
    due = matter.due_at
    return reached is not None and due is not None and reached.occurred_at <= due
