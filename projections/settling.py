"""What amendments and repeated entries change: the few cases a batch has to look at again.

A case's events of one type are judged as a whole by `standing`, whenever one of them is
amended or a transition came twice; what differs from what was counted goes into the
batch's change. All other batches pay for one look-up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

import psycopg

from maplebridge.projections.folds import HOUR_US, CasePart, Change, begins, joined
from maplebridge.projections.standing import Amendment, Entry, Identity, columns, repeated
from maplebridge.schemas import Catalogue
from maplebridge.schemas.case_rules import CaseRules
from maplebridge.schemas.contracts import SERVICES
from maplebridge.schemas.read_models import RESPONSE
from maplebridge.schemas.recognised import Recognised
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "settling.sql")

Group = tuple[str, str]
"""case reference, event type"""


class Verdict(NamedTuple):
    """Whether an event counts, and of its type the one it repeats."""

    counted: bool
    repeats: str | None = None
    repeats_department: str | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    event_id: str
    event_type: str
    case_ref: str | None
    department: str
    community: str
    transition: str
    category: str
    state: str | None
    unit: str | None
    occurred_at: int
    counted: bool
    repeats: str | None
    repeats_department: str | None
    level: str | None
    urgency: str | None
    due_at: int | None
    backfill: bool
    void: bool

    @property
    def identity(self) -> Identity:
        return self.event_id, self.department, self.event_type

    @property
    def entry(self) -> Entry:
        return Entry(self.occurred_at, self.event_id, self.department, self.transition)

    @property
    def verdict(self) -> Verdict:
        return Verdict(self.counted, self.repeats, self.repeats_department)

    @property
    def hour(self) -> int:
        return self.occurred_at - self.occurred_at % HOUR_US


@dataclass(frozen=True, slots=True)
class Settled:
    """What takes the place of the parts of the cases looked at, and the answers to give."""

    parts: Sequence[CasePart] = ()
    answers: Sequence[Recognised] = ()


class Settling:
    """Settles what one batch touched, inside the batch's transaction."""

    def __init__(
        self, connection: psycopg.Connection[Any], catalogue: Catalogue, rules: CaseRules
    ) -> None:
        self._connection = connection
        self._lifecycles = {each.event_type: each.transitions for each in catalogue}
        self._rules = rules
        self._services = {each.event_type for each in catalogue if each.department in SERVICES}

    def hold(self, *, amends: bool) -> None:
        """Keep an amendment and its target from being written at one time, unseen by each other.

        The first statement of the transaction: whoever waits here holds nothing yet.
        """
        self._connection.execute(SQL["exclude" if amends else "share"])

    def void_on_arrival(
        self, fresh: Collection[Identity], amendments: Collection[Amendment]
    ) -> set[Identity]:
        """Keep new amendments; return those of the fresh events that are void."""
        if not fresh:
            return set()
        if amendments:
            with self._connection.cursor().copy(SQL["copy_amendments"]) as copy:
                for each in amendments:
                    copy.write_row(each)
        # a repeated event is among the incoming too, and was settled when it was new
        void = set(self._connection.execute(SQL["void_on_arrival"])) & set(fresh)
        if void:
            self._connection.execute(SQL["uncount"], columns(sorted(void)))
        return void

    def settle(
        self, change: Change, repeating: Iterable[Group], amendments: Collection[Amendment]
    ) -> Settled:
        """Judge cases anew, add to `change` what differs in its tallies, and drop their parts.

        repeating: the cases in which a transition came twice.
        """
        groups: set[Group] = set(repeating)
        singles: set[Identity] = set()
        if amendments:
            targets = {(each.target_id, each.department, each.event_type) for each in amendments}
            answers = sorted(each for each in targets if each[2] == RESPONSE)
            if answers:
                self._connection.execute(SQL["drop_responses"], columns(answers))
            for event_id, department, event_type, case_ref in self._connection.execute(
                SQL["amended"], columns(sorted(targets))
            ):
                if case_ref is None or event_type in self._services:
                    singles.add((event_id, department, event_type))
                else:
                    groups.add((case_ref, event_type))
        if not groups and not singles:
            return Settled()
        return self._judge(change, sorted(groups), sorted(singles))

    def _judge(
        self, change: Change, groups: Sequence[Group], singles: Sequence[Identity]
    ) -> Settled:
        rows = self._rows(groups, singles)
        by_group: dict[Group, list[_Row]] = defaultdict(list)
        for row in rows.values():
            if row.identity not in singles:
                by_group[row.case_ref or "", row.event_type].append(row)
        now = {identity: Verdict(not rows[identity].void) for identity in singles}
        parts: list[CasePart] = []
        for group in groups:
            held = [row for row in by_group[group] if not row.void]
            doubles = repeated((row.entry for row in held), self._lifecycles.get(group[1], {}))
            for row in by_group[group]:
                told = doubles.get(row.entry)
                now[row.identity] = (
                    Verdict(False, told.event_id, told.department)
                    if told is not None and not row.void
                    else Verdict(not row.void)
                )
            counted = [row for row in held if row.entry not in doubles]
            if counted:
                whole = reduce(joined, map(self._part, counted))
                steps = frozenset(row.transition for row in held)
                parts.append(replace(whole, steps=steps, doubled=bool(doubles)))
        self._write(change, groups, rows, now)
        answers = [
            _answer(rows[identity], verdict)
            for identity, verdict in sorted(now.items())
            if verdict[1:] != rows[identity].verdict[1:]
        ]
        return Settled(parts, answers)

    def _part(self, row: _Row) -> CasePart:
        """Return what one entry says of its case."""
        rule = self._rules.of(row.event_type)
        lifecycle = self._lifecycles.get(row.event_type, {})
        return CasePart(
            case_ref=row.case_ref or "",
            event_type=row.event_type,
            department=row.department,
            community=row.community,
            transition=row.transition,
            state=row.state,
            unit=row.unit,
            opened_at=row.occurred_at,
            occurred_at=row.occurred_at,
            event_id=row.event_id,
            events=1,
            level=row.level,
            urgency=row.urgency,
            due_at=row.due_at,
            backfill=row.backfill,
            begun_at=row.occurred_at if begins(lifecycle, rule, row.transition) else None,
            closed_at=row.occurred_at if row.transition in rule.closes else None,
            returned=int(row.transition in rule.returns),
            steps=frozenset((row.transition,)),
            doubled=False,
        )

    def _rows(self, groups: Sequence[Group], singles: Sequence[Identity]) -> dict[Identity, _Row]:
        found = self._connection.execute(
            SQL["rows"],
            {
                "case_refs": [case_ref for case_ref, _ in groups],
                "types": [event_type for _, event_type in groups],
                **columns(singles),
            },
        )
        return {row.identity: row for row in (_Row(*each) for each in found)}

    def _write(
        self,
        change: Change,
        groups: Sequence[Group],
        rows: Mapping[Identity, _Row],
        now: Mapping[Identity, Verdict],
    ) -> None:
        changed = sorted(
            identity for identity, verdict in now.items() if verdict != rows[identity].verdict
        )
        for identity in changed:
            row, counts = rows[identity], now[identity].counted
            if counts != row.counted:
                key = (
                    row.community,
                    row.hour,
                    row.event_type,
                    row.transition,
                    row.category,
                    row.unit or "",
                )
                change.tallies[key] = change.tallies.get(key, 0) + (1 if counts else -1)
        self._connection.execute(
            SQL["judge"],
            {
                **columns(changed),
                "counted": [now[identity].counted for identity in changed],
                "repeats": [now[identity].repeats for identity in changed],
                "repeats_departments": [now[identity].repeats_department for identity in changed],
            },
        )
        self._connection.execute(
            SQL["drop_parts"],
            {
                "case_refs": [case_ref for case_ref, _ in groups],
                "types": [event_type for _, event_type in groups],
            },
        )


def _answer(entry: _Row, verdict: Verdict) -> Recognised:
    return Recognised(
        event_id=entry.event_id,
        event_type=entry.event_type,
        department=entry.department,
        repeats=verdict.repeats,
        repeats_department=verdict.repeats_department,
    )
