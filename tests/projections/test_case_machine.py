"""The life of cases, step by step, against the naive reference in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any, ClassVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from maplebridge.projections.store import ProjectionStore
from maplebridge.schemas import Event
from maplebridge.settings import Profile
from tests.processors.made_events import (
    AT,
    MINUTE,
    MOMENT,
    communities,
    corrected,
    event_id,
    grid_case,
    mediation,
    order,
    retraction,
)
from tests.projections.whole_reference import (
    clear,
    opened_stores,
    reference,
    remembered,
    write,
)

STEPS = {
    "hotline.order": ("dispatched", "accepted", "returned", "replied", "closed", "reopened"),
    "grid.case": ("filed", "dispatched", "handled", "fed_back", "checked", "closed"),
    "mediation.case": ("accepted", "mediating", "escalated", "agreed", "failed", "withdrawn"),
}
MADE = {"hotline.order": order, "grid.case": grid_case, "mediation.case": mediation}
MOMENTS = st.integers(0, 12).map(lambda number: AT + number * 25 * MINUTE)
URGENCIES = st.sampled_from(["emergency", "utility", "general", "complex"])
DUE = st.none() | MOMENTS.map(lambda moment: moment + 60 * MINUTE)


class CaseLife(RuleBasedStateMachine):
    """Departments tell of three cases; what they told waits until a batch is written.

    Any step may come at any time, so that events stand before those that they follow.
    """

    stores: ClassVar[tuple[ProjectionStore, psycopg.Connection[Any]]]
    told: Bundle[Event] = Bundle("told")

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.waiting: list[Event] = []

    @initialize()
    def begin(self) -> None:
        clear(self.stores[1])

    def tell(self, event: Event) -> Event:
        self.events.append(event)
        self.waiting.append(event)
        return event

    def envelope(self, **changes: Any) -> dict[str, Any]:
        return {"event_id": event_id(len(self.events)), **changes}

    @rule(target=told, case=st.sampled_from("ABC"), at=MOMENTS, urgency=URGENCIES, due=DUE)
    def an_order_comes_in(self, case: str, at: int, urgency: str, due: int | None) -> Event:
        fields = {"urgency": urgency, "due_at": due, "state": "open"}
        place = {"case_ref": case, "occurred_at": at, "community": communities()[0]}
        return self.tell(order(fields, **self.envelope(**place)))

    @rule(
        target=told, before=told, at=MOMENTS, kind=st.sampled_from(["grid.case", "mediation.case"])
    )
    def another_department_takes_it_up(self, before: Event, at: int, kind: str) -> Event:
        case = before["meta"]["case_ref"] or "C"
        place = {"case_ref": case, "occurred_at": at, "community": communities()[1]}
        return self.tell(MADE[kind](None, **self.envelope(**place)))

    @rule(target=told, before=told, at=MOMENTS, data=st.data(), due=DUE)
    def it_goes_a_step(self, before: Event, at: int, data: st.DataObject, due: int | None) -> Event:
        meta = before["meta"]
        kind = meta["event_type"]
        if kind not in STEPS:
            return before
        step = data.draw(st.sampled_from(STEPS[kind]))
        fields: dict[str, Any] = {"state": step}
        if kind == "mediation.case":
            fields["escalated_to"] = "county_terminal" if step == "escalated" else None
        else:
            fields |= {"due_at": due, "unit": data.draw(st.sampled_from([None, "unit-1"]))}
        place = {name: meta[name] for name in ("case_ref", "community", "department")}
        return self.tell(
            MADE[kind](fields, transition=step, **self.envelope(occurred_at=at, **place))
        )

    @rule(target=told, before=told, case=st.sampled_from([None, "A", "B"]))
    def its_case_is_told_late(self, before: Event, case: str | None) -> Event:
        """A correction names another case, or the first that is known."""
        if before["meta"]["event_type"] not in STEPS:
            return before
        return self.tell(corrected(before, **self.envelope(case_ref=case)))

    @rule(before=told)
    def it_is_taken_back(self, before: Event) -> None:
        self.tell(retraction(before, **self.envelope()))

    @rule(before=told)
    def it_comes_again(self, before: Event) -> None:
        self.waiting.append(before)

    @rule(seed=st.integers(0, 2**32), parts=st.integers(1, 3), hours=st.integers(0, 400))
    def what_waits_is_combined(self, seed: int, parts: int, hours: int) -> None:
        store, admin = self.stores
        Random(seed).shuffle(self.waiting)
        size = len(self.waiting) // parts + 1
        write(store, [self.waiting[at : at + size] for at in range(0, len(self.waiting), size)])
        self.waiting.clear()
        as_of = MOMENT + timedelta(hours=hours)
        assert remembered(admin, as_of) == reference(self.events, as_of)

    def teardown(self) -> None:
        self.what_waits_is_combined(0, 2, 3)


@pytest.fixture(scope="module")
def stores(provisioned: Profile) -> Iterator[tuple[ProjectionStore, psycopg.Connection[Any]]]:
    with opened_stores(provisioned) as made:
        yield made


def test_cases_live_as_a_naive_reference_says(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    """F5, T4."""
    CaseLife.stores = stores
    run_state_machine_as_test(
        CaseLife,
        settings=settings(
            max_examples=40,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
