"""Warning rules: pure, and computed from the set of events, never from their arrival.

A rule speaks of places. Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo
from typing import Any
from uuid import UUID, uuid5

from maplebridge.schemas import Event

NAMESPACE = UUID("b7e151c9-5f0e-5b6c-9a0e-6d61706c6500")

Place = tuple[str, str]
"""community, category"""


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """One event a rule counts; the order of two is that of their stamps.

    number: what it is about; of several events about one thing the earliest counts.
    department: who published it, and alone may take it back.
    """

    occurred_at: int
    event_id: str
    number: str
    department: str


@dataclass(frozen=True, slots=True)
class Window:
    """Events close enough together for a warning; `first` is the number that names it."""

    first: str
    window_from: int
    window_to: int
    events: int


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Hours of the day, in `zone`, whose events do not count; `start` may be before midnight."""

    start: time
    end: time
    zone: tzinfo

    def __contains__(self, at: int) -> bool:
        now = datetime.fromtimestamp(at // 1_000_000, UTC).astimezone(self.zone).time()
        if self.start < self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


@dataclass(frozen=True)
class Rule:
    """What is counted, where, and from how many on it is a warning.

    where: codes by the field that must have one of them. number, split_by: paths of fields.
    colours: the least count of each, the greatest first. dwell_us: how long a window must last.
    responsible: code of the unit by level, from the lowest on: community, town, county, city.
    acknowledge_within_us: how long the unit of a level has to answer before the next is told.
    """

    name: str
    doc: str
    event_type: str
    transitions: frozenset[str]
    where: Mapping[str, frozenset[str]]
    number: str
    split_by: str
    window_us: int
    threshold: int
    colours: tuple[tuple[int, str], ...]
    dwell_us: int = 0
    quiet: QuietHours | None = None
    responsible: Mapping[str, str] = field(default_factory=dict)
    acknowledge_within_us: int = 0

    def counted(self, event: Event) -> tuple[Place, Cause] | None:
        """Return where and what the rule counts of an event of its type, or None.

        Events of a named transition count, which have the named codes; never history.
        """
        meta = event["meta"]
        if meta["transition"] not in self.transitions or meta["backfill"]:
            return None
        if any(event[name] not in codes for name, codes in self.where.items()):
            return None
        at = meta["occurred_at"]
        if self.quiet is not None and at in self.quiet:
            return None
        place = (meta["community"], event[self.split_by])
        return place, Cause(at, meta["event_id"], _value(event, self.number), meta["department"])

    def windows(self, causes: Iterable[Cause]) -> list[Window]:
        """Return the windows of one place: runs in which any `threshold` in a row lie close.

        Close are those within window_us. Runs that share an event are one window, and a
        window that lasts less than dwell_us is none. The result depends on the set alone.
        """
        ordered = sorted(causes)
        covered: list[tuple[int, int]] = []
        for last in range(self.threshold - 1, len(ordered)):
            start = last - self.threshold + 1
            if ordered[last].occurred_at - ordered[start].occurred_at > self.window_us:
                continue
            if covered and start <= covered[-1][1]:
                covered[-1] = (covered[-1][0], last)
            else:
                covered.append((start, last))
        return [
            Window(
                ordered[start].number,
                ordered[start].occurred_at,
                ordered[last].occurred_at,
                last - start + 1,
            )
            for start, last in covered
            if ordered[last].occurred_at - ordered[start].occurred_at >= self.dwell_us
        ]

    def warning_id(self, place: Place, window: Window) -> str:
        """Return the UUIDv5 (RFC 9562) of rule, place and the window's first number."""
        return str(uuid5(NAMESPACE, "/".join((self.name, *place, window.first))))

    def severity(self, events: int) -> str:
        """Return the colour of so many events."""
        return next(colour for least, colour in self.colours if events >= least)

    def level_above(self, level: str | None) -> str | None:
        """Return the next level, None above the highest; the lowest is above None."""
        levels = list(self.responsible)
        above = levels if level is None else levels[levels.index(level) + 1 :]
        return above[0] if above else None


def _value(event: Event, path: str) -> Any:
    head, _, rest = path.partition(".")
    return event[head][rest] if rest else event[head]
