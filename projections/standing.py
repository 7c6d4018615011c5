"""Which events of a case count: pure, and a function of the set of events alone.

An event is void if another of the same department, and of the type it names, corrects or
retracts it; that other may be void itself: to undo a retraction, publish anew. Of what is
not void, an entry repeats an earlier one of its transition unless something since then
permits that transition again. What is void or repeats does not count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from maplebridge.schemas import Contract, Event
from maplebridge.schemas.contracts import Transition

Lifecycle = Mapping[str, Transition]
RETRACTION = "event.retraction"

Identity = tuple[str, str, str]
"""event id, department, event type: an id says nothing across departments or types"""


def identity_of(contract: Contract, event: Event) -> Identity:
    meta = event["meta"]
    return meta["event_id"], meta["department"], contract.event_type


def columns(identities: Sequence[Identity]) -> dict[str, list[str]]:
    """Return identities as the arrays that queries take them in."""
    return {
        "ids": [event_id for event_id, _, _ in identities],
        "departments": [department for _, department, _ in identities],
        "event_types": [event_type for _, _, event_type in identities],
    }


class Amendment(NamedTuple):
    """Says that an event of `department` and of `event_type` is void; that department says it."""

    target_id: str
    amending_id: str
    department: str
    event_type: str
    amending_type: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a case and of one type; the order of two is that of their stamps."""

    occurred_at: int
    event_id: str
    department: str
    transition: str

    @property
    def stamp(self) -> tuple[int, str, str]:
        return self.occurred_at, self.event_id, self.department


def amendment_of(contract: Contract, event: Event) -> Amendment | None:
    """Return what an event amends, if anything."""
    meta = event["meta"]
    if contract.event_type == RETRACTION:
        target_id, event_type = event["retracts"], event["retracts_type"]
    else:
        target_id, event_type = meta["corrects"], contract.event_type
    if target_id is None:
        return None
    return Amendment(
        target_id, meta["event_id"], meta["department"], event_type, contract.event_type
    )


def repeated(entries: Iterable[Entry], lifecycle: Lifecycle) -> dict[Entry, Entry]:
    """Return the entries that repeat another, each with that other.

    entries: those of one case and one type that are not void, in any order.
    """
    found: dict[Entry, Entry] = {}
    standing: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda each: each.stamp):
        told = standing.get(entry.transition)
        if told is not None:
            found[entry] = told
            continue
        standing[entry.transition] = entry
        for name in _permitted_after(entry.transition, lifecycle):
            standing.pop(name, None)
    return found


def _permitted_after(transition: str, lifecycle: Lifecycle) -> list[str]:
    return [name for name, step in lifecycle.items() if transition in step.after]


def misplaced(entries: Iterable[Entry], lifecycle: Lifecycle) -> dict[Entry, str | None]:
    """Return the entries that cannot follow the one before, with that one's transition.

    None stands for the beginning, at which only a first transition may stand.
    entries: those of one case and one type that count, in any order.
    """
    found: dict[Entry, str | None] = {}
    before: str | None = None
    for entry in sorted(entries, key=lambda each: each.stamp):
        step = lifecycle.get(entry.transition)
        fits = step is not None and (step.first if before is None else before in step.after)
        if not fits:
            found[entry] = before
        before = entry.transition
    return found
