"""What events add up to: pure folds that give the same state in any order.

Registers carry the stamp (occurred_at, event_id, department) and the greater stamp wins;
tallies are counts. A fold never looks at a
clock, a socket or an earlier state: it makes a `Change`, and adding changes up
is commutative and associative, so the store may add them in any grouping.
What a fold cannot tell, whether an entry repeats another, it marks for `settling`.

Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from maplebridge.schemas import Contract, Event
from maplebridge.schemas.case_rules import CaseRule, CaseRules
from maplebridge.schemas.contracts import SERVICES, Transition
from maplebridge.schemas.read_models import PUSH, RESPONSE, WARNING

HOUR_US = 3_600_000_000

TallyKey = tuple[str, int, str, str, str, str]
"""community, hour, event type, transition, category, unit"""


@dataclass(slots=True)
class CasePart:
    """What the events of one type say of one case so far.

    level, urgency, due_at, backfill: as the last event said. begun_at, closed_at: when the
    matter was last opened and closed. returned: how often a unit gave it back.
    steps: the transitions there were. doubled: some entry repeats another, or, of a fold,
    may do so: one transition stands there twice.
    """

    case_ref: str
    event_type: str
    department: str
    community: str
    transition: str
    state: str | None
    unit: str | None
    opened_at: int
    occurred_at: int
    event_id: str
    events: int
    level: str | None
    urgency: str | None
    due_at: int | None
    backfill: bool
    begun_at: int | None
    closed_at: int | None
    returned: int
    steps: frozenset[str]
    doubled: bool


@dataclass(frozen=True, slots=True)
class Warning:
    """What was last said of a warning: a register whose stamp is `revision`."""

    warning_id: str
    rule: str
    community: str
    category: str
    severity: str
    window_from: int
    window_to: int
    events: int
    withdrawn: bool
    revision: int


@dataclass(frozen=True, slots=True)
class Push:
    """That a warning was put before the unit of a level; once, for its id is that of both."""

    warning_id: str
    level: str
    unit: str
    pushed_at: int
    answer_by: int | None


@dataclass(frozen=True, slots=True)
class Response:
    """What a unit answered to a warning, by one event of its department."""

    event_id: str
    department: str
    warning_id: str
    transition: str
    occurred_at: int


@dataclass(slots=True)
class Change:
    """What a batch of events adds to the projections."""

    tallies: dict[TallyKey, int] = field(default_factory=dict)
    parts: dict[tuple[str, str], CasePart] = field(default_factory=dict)
    warnings: dict[str, Warning] = field(default_factory=dict)
    pushes: set[Push] = field(default_factory=set)
    responses: set[Response] = field(default_factory=set)


def fold(change: Change, contract: Contract, event: Event, rules: CaseRules) -> None:
    """Add one event to `change`; the event must not have been folded before."""
    meta = event["meta"]
    if contract.event_type == WARNING:
        _fold_warning(change, event, meta)
        return
    if contract.event_type == PUSH:
        change.pushes.add(_push_of(event, meta))
        return
    if contract.event_type == RESPONSE:
        change.responses.add(_response_of(event, meta))
    occurred_at: int = meta["occurred_at"]
    unit = event[contract.handler] if contract.handler else None
    key = (
        meta["community"],
        occurred_at - occurred_at % HOUR_US,
        contract.event_type,
        meta["transition"],
        event[contract.tally] if contract.tally else "",
        unit or "",
    )
    tallies = change.tallies
    tallies[key] = tallies.get(key, 0) + 1
    if meta["case_ref"] is not None and is_of_cases(contract):
        _fold_part(change, contract, event, unit, rules.of(contract.event_type))


def is_of_cases(contract: Contract) -> bool:
    """Tell whether events of the contract make up cases; those of services speak of others."""
    return contract.department not in SERVICES


def fold_all(events: Iterable[tuple[Contract, Event]], rules: CaseRules) -> Change:
    change = Change()
    for contract, event in events:
        fold(change, contract, event, rules)
    return change


def _fold_part(
    change: Change, contract: Contract, event: Event, unit: str | None, rule: CaseRule
) -> None:
    new = _part_of(contract, event, unit, rule)
    key = (new.case_ref, new.event_type)
    part = change.parts.get(key)
    change.parts[key] = new if part is None else joined(part, new)


def joined(one: CasePart, other: CasePart) -> CasePart:
    """Return what two parts of one case and type say together, in whatever order."""
    return replace(
        max(one, other, key=lambda part: (part.occurred_at, part.event_id, part.department)),
        opened_at=min(one.opened_at, other.opened_at),
        events=one.events + other.events,
        begun_at=_later(one.begun_at, other.begun_at),
        closed_at=_later(one.closed_at, other.closed_at),
        returned=one.returned + other.returned,
        steps=one.steps | other.steps,
        doubled=one.doubled or other.doubled or not one.steps.isdisjoint(other.steps),
    )


def begins(lifecycle: Mapping[str, Transition], rule: CaseRule, transition: str) -> bool:
    """Tell whether a transition opens the matter, for the first time or again."""
    step = lifecycle.get(transition)
    return transition in rule.reopens or (step is not None and step.first)


def _later(one: int | None, other: int | None) -> int | None:
    return max((at for at in (one, other) if at is not None), default=None)


def _part_of(contract: Contract, event: Event, unit: str | None, rule: CaseRule) -> CasePart:
    """Return what one event says of its case."""
    meta = event["meta"]
    step, occurred_at = meta["transition"], meta["occurred_at"]
    return CasePart(
        case_ref=meta["case_ref"],
        event_type=contract.event_type,
        department=meta["department"],
        community=meta["community"],
        transition=step,
        state=event.get("state"),
        unit=unit,
        opened_at=occurred_at,
        occurred_at=occurred_at,
        event_id=meta["event_id"],
        events=1,
        level=rule.level_of(event),
        urgency=event.get("urgency"),
        due_at=event.get("due_at"),
        backfill=meta["backfill"],
        begun_at=occurred_at if begins(contract.transitions, rule, step) else None,
        closed_at=occurred_at if step in rule.closes else None,
        returned=int(step in rule.returns),
        steps=frozenset((step,)),
        doubled=False,
    )


def _fold_warning(change: Change, event: Event, meta: dict[str, Any]) -> None:
    told = Warning(
        warning_id=event["warning_id"],
        rule=event["rule"],
        community=meta["community"],
        category=event["category"],
        severity=event["severity"],
        window_from=event["window_from"],
        window_to=event["window_to"],
        events=event["events"],
        withdrawn=meta["transition"] == "withdrawn",
        revision=event["revision"],
    )
    known = change.warnings.get(told.warning_id)
    if known is None or known.revision < told.revision:
        change.warnings[told.warning_id] = told


def _push_of(event: Event, meta: dict[str, Any]) -> Push:
    return Push(
        warning_id=event["warning_id"],
        level=event["level"],
        unit=event["unit"],
        pushed_at=meta["occurred_at"],
        answer_by=event["answer_by"],
    )


def _response_of(event: Event, meta: dict[str, Any]) -> Response:
    return Response(
        event_id=meta["event_id"],
        department=meta["department"],
        warning_id=event["warning_id"],
        transition=meta["transition"],
        occurred_at=meta["occurred_at"],
    )
