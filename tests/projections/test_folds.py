"""Folds give one state whatever the order and the grouping of the events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from maplebridge.projections.folds import CasePart, Change, Warning, fold_all
from maplebridge.schemas import Event
from maplebridge.schemas.case_rules import load_case_rules
from tests.processors.made_events import (
    AT,
    MINUTE,
    catalogue,
    corpus,
    event_id,
    mediation,
    order,
    warning,
)

EVENTS = corpus(60, seed=1)
WARNING = "b7e151c9-5f0e-5b6c-9a0e-6d61706c6500"


def folded(events: Sequence[Event]) -> Change:
    typed = ((catalogue().get(each["meta"]["event_type"]), each) for each in events)
    return fold_all(typed, load_case_rules())


def merged(changes: Sequence[Change]) -> Change:
    """Add changes up as the store's statements do."""
    whole = Change()
    for change in changes:
        for key, count in change.tallies.items():
            whole.tallies[key] = whole.tallies.get(key, 0) + count
        for place, part in change.parts.items():
            known = whole.parts.get(place)
            whole.parts[place] = part if known is None else _joined(known, part)
        for warning_id, told in change.warnings.items():
            held = whole.warnings.get(warning_id)
            if held is None or held.revision < told.revision:
                whole.warnings[warning_id] = told
    return whole


def _joined(one: CasePart, other: CasePart) -> CasePart:
    stamp = (other.occurred_at, other.event_id, other.department) > (
        one.occurred_at,
        one.event_id,
        one.department,
    )
    return replace(
        other if stamp else one,
        events=one.events + other.events,
        opened_at=min(one.opened_at, other.opened_at),
        begun_at=_later(one.begun_at, other.begun_at),
        closed_at=_later(one.closed_at, other.closed_at),
        returned=one.returned + other.returned,
        steps=one.steps | other.steps,
        doubled=one.doubled or other.doubled or bool(one.steps & other.steps),
    )


def _later(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)


@given(st.permutations(EVENTS), st.lists(st.integers(0, len(EVENTS)), max_size=6))
def test_folds_commute_in_any_order_and_any_grouping(
    shuffled: list[Event], cuts: list[int]
) -> None:
    """T4, F5: the state depends on the set of events alone."""
    edges = [0, *sorted(cuts), len(shuffled)]
    groups = [shuffled[start:end] for start, end in pairwise(edges)]
    whole = merged([folded(group) for group in groups])
    assert whole == folded(EVENTS) == folded(shuffled)


@given(st.permutations(range(1, 7)), st.sets(st.integers(1, 6)))
def test_the_greatest_revision_of_a_warning_holds(
    revisions: list[int], withdrawn: set[int]
) -> None:
    told = [
        warning(WARNING, each, transition="withdrawn" if each in withdrawn else "raised")
        for each in revisions
    ]
    held = folded(told).warnings[WARNING]
    assert held == Warning(
        WARNING,
        "urgent-orders",
        told[0]["meta"]["community"],
        "gas",
        "blue",
        AT,
        AT + 6 * MINUTE,
        3,
        6 in withdrawn,
        6,
    )


def test_of_two_events_at_one_instant_the_greater_id_holds() -> None:
    low = order({"state": "open"}, case_ref="C", event_id=event_id(1))
    high = order({"state": "closed"}, case_ref="C", event_id=event_id(2))
    for events in ([low, high], [high, low]):
        (part,) = folded(events).parts.values()
        assert (part.state, part.event_id, part.events) == ("closed", event_id(2), 2)


def test_a_late_event_opens_a_case_earlier_and_changes_nothing_else() -> None:
    new = order({"state": "closed"}, case_ref="C", occurred_at=AT)
    late = order({"state": "open"}, case_ref="C", occurred_at=AT - MINUTE)
    (part,) = folded([new, late]).parts.values()
    assert (part.state, part.opened_at, part.occurred_at) == ("closed", AT - MINUTE, AT)


def test_departments_have_their_own_part_of_a_case() -> None:
    parts = folded([order(case_ref="C"), mediation(case_ref="C")]).parts
    assert set(parts) == {("C", "hotline.order"), ("C", "mediation.case")}


def test_an_event_without_a_case_is_tallied_alone() -> None:
    change = folded([order(occurred_at=AT + 59 * MINUTE)])
    ((key, count),) = change.tallies.items()
    assert (key[1], count, change.parts) == (AT, 1, {})


def test_a_warning_is_not_tallied() -> None:
    assert folded([warning(WARNING, 1)]).tallies == {}
