"""How cases stand, told naively: each case's events walked through one by one in their order.

It shares no code with the folds; a made-up case has orders, grid cases and mediations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from maplebridge.schemas import Event
from tests.processors.made_events import MINUTE

HOUR = 60 * MINUTE
LIMITS = {"emergency": 2 * HOUR, "utility": 24 * HOUR, "general": 168 * HOUR, "complex": 360 * HOUR}
CENTRES = {"village_outpost": "community", "town_position": "town", "county_terminal": "county"}
OPENING = {"hotline.order": {"received", "reopened"}, "grid.case": {"collected", "filed"},
           "mediation.case": {"applied", "escalated"}}  # fmt: skip
CLOSING = {"hotline.order": {"closed"}, "grid.case": {"closed"},
           "mediation.case": {"agreed", "failed", "withdrawn"}}  # fmt: skip


@dataclass
class Matter:
    """What one department has said of a case so far."""

    first: int
    status: str = "open"
    began: int | None = None
    ended: int | None = None
    returns: int = 0
    last: Event | None = None

    def tell(self, event: Event) -> None:
        meta = event["meta"]
        kind, step, now = meta["event_type"], meta["transition"], meta["occurred_at"]
        if step in OPENING[kind]:
            self.began = now
            if self.status == "closed":
                self.status = "reopened"
        if step in CLOSING[kind]:
            self.status, self.ended = "closed", now
        if step == "returned":
            self.returns += 1

    @property
    def due(self) -> int | None:
        event = self.last or {}
        if event.get("due_at") is not None or event["meta"]["backfill"]:
            return event.get("due_at")
        limit = LIMITS.get(event.get("urgency", ""))
        return limit and (self.first if self.began is None else self.began) + limit

    def timeliness(self, now: int) -> str:
        due, since = self.due, self.first if self.began is None else self.began
        if self.status == "closed":
            return "closed_late" if due is not None and (self.ended or 0) > due else "on_time"
        if due is not None and now > due:
            return "overdue"
        return "due_soon" if due is not None and now >= due - (due - since) / 4 else "on_time"

    @property
    def level(self) -> str | None:
        event = self.last or {}
        if event["meta"]["event_type"] == "mediation.case":
            return CENTRES[event["escalated_to"] or event["centre_level"]]
        return {"hotline.order": "city", "grid.case": "community"}[event["meta"]["event_type"]]


def stamp(event: Event) -> tuple[Any, ...]:
    meta = event["meta"]
    return meta["occurred_at"], meta["event_id"], meta["department"], meta["event_type"]


def standings(counted: Sequence[Event], as_of: datetime) -> dict[str, tuple[Any, ...]]:
    """Return by case: status, level, department, unit, deadline, timeliness, returns, whether
    somebody has to adjudicate."""
    now = int(as_of.timestamp()) * 1_000_000
    cases: dict[str, dict[str, Matter]] = defaultdict(dict)
    in_order = sorted(counted, key=stamp)
    for event in in_order:
        case_ref, kind = event["meta"]["case_ref"], event["meta"]["event_type"]
        if case_ref is not None and kind in OPENING:
            matter = cases[case_ref].setdefault(kind, Matter(event["meta"]["occurred_at"]))
            matter.last = event
    # of one moment, what closes is told last
    for event in sorted(in_order, key=lambda each: (each["meta"]["occurred_at"], closing(each))):
        kind = event["meta"]["event_type"]
        if event["meta"]["case_ref"] in cases and kind in OPENING:
            cases[event["meta"]["case_ref"]][kind].tell(event)
    return {case_ref: standing(list(each.values()), now) for case_ref, each in cases.items()}


def closing(event: Event) -> bool:
    return event["meta"]["transition"] in CLOSING.get(event["meta"]["event_type"], ())


def standing(matters: Sequence[Matter], now: int) -> tuple[Any, ...]:
    still = [each for each in matters if each.status != "closed"] or matters
    last = max(still, key=lambda each: stamp(each.last or {}))
    event = last.last or {}
    dues = [each.due for each in still if each.due is not None]
    late = [each.timeliness(now) for each in still]
    return (
        max((each.status for each in still), key=["closed", "open", "reopened"].index),
        last.level,
        event["meta"]["department"],
        event.get("unit"),
        datetime.fromtimestamp(0, UTC) + timedelta(microseconds=min(dues)) if dues else None,
        max(late, key=["on_time", "closed_late", "due_soon", "overdue"].index),
        sum(each.returns for each in matters),
        any(each.returns > 1 and each.status != "closed" for each in matters),
    )
