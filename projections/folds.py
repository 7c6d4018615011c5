"""What events add up to: pure folds that give the same state in any order.

Registers carry the stamp (occurred_at, event_id, department) and the greater stamp wins;
tallies are counts. A fold never looks at a
clock, a socket or an earlier state: it makes a `Change`, and adding changes up
is commutative and associative, so the store may add them in any grouping.
What a fold cannot tell, whether an entry repeats another, it marks for `settling`.

Times are microseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from maplebridge.schemas import Contract, Event
from maplebridge.schemas.contracts import SERVICES

HOUR_US = 3_600_000_000

TallyKey = tuple[str, int, str, str, str, str]
"""community, hour, event type, transition, category, unit"""


@dataclass(slots=True)
class CasePart:
    """What the events of one type say of one case so far.

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
    orders: int
    withdrawn: bool
    revision: int


@dataclass(slots=True)
class Change:
    """What a batch of events adds to the projections."""

    tallies: dict[TallyKey, int] = field(default_factory=dict)
    parts: dict[tuple[str, str], CasePart] = field(default_factory=dict)
    warnings: dict[str, Warning] = field(default_factory=dict)


def fold(change: Change, contract: Contract, event: Event) -> None:
    """Add one event to `change`; the event must not have been folded before."""
    meta = event["meta"]
    if contract.department == "react":
        _fold_warning(change, event, meta)
        return
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
        _fold_part(change, contract, meta, event.get("state"), unit)


def is_of_cases(contract: Contract) -> bool:
    """Tell whether events of the contract make up cases; those of services speak of others."""
    return contract.department not in SERVICES


def fold_all(events: Iterable[tuple[Contract, Event]]) -> Change:
    change = Change()
    for contract, event in events:
        fold(change, contract, event)
    return change


def _fold_part(
    change: Change, contract: Contract, meta: dict[str, Any], state: str | None, unit: str | None
) -> None:
    case_ref, occurred_at, event_id = meta["case_ref"], meta["occurred_at"], meta["event_id"]
    key = (case_ref, contract.event_type)
    part = change.parts.get(key)
    step = meta["transition"]
    if part is None:
        change.parts[key] = CasePart(
            case_ref,
            contract.event_type,
            meta["department"],
            meta["community"],
            meta["transition"],
            state,
            unit,
            occurred_at,
            occurred_at,
            event_id,
            1,
            frozenset((step,)),
            False,
        )
        return
    part.events += 1
    part.doubled = part.doubled or step in part.steps
    part.steps |= {step}
    if occurred_at < part.opened_at:
        part.opened_at = occurred_at
    stamp = (occurred_at, event_id, meta["department"])
    if stamp > (part.occurred_at, part.event_id, part.department):
        part.community, part.transition = meta["community"], meta["transition"]
        part.state, part.unit, part.department = state, unit, meta["department"]
        part.occurred_at, part.event_id = occurred_at, event_id


def _fold_warning(change: Change, event: Event, meta: dict[str, Any]) -> None:
    told = Warning(
        warning_id=event["warning_id"],
        rule=event["rule"],
        community=meta["community"],
        category=event["category"],
        severity=event["severity"],
        window_from=event["window_from"],
        window_to=event["window_to"],
        orders=event["orders"],
        withdrawn=meta["transition"] == "withdrawn",
        revision=event["revision"],
    )
    known = change.warnings.get(told.warning_id)
    if known is None or known.revision < told.revision:
        change.warnings[told.warning_id] = told
