"""How a case stands, by its parts alone and a moment given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.projections.cases import CaseStanding, Part, due_of, standing_of
from maplebridge.schemas import load_code_lists
from maplebridge.schemas.case_rules import load_case_rules
from tests.processors.made_events import AT, MINUTE, event_id

HOUR = 60 * MINUTE
RULES = load_case_rules()
LIMITS = RULES.limits(load_code_lists())
ORDER = Part(
    event_type="hotline.order",
    department="hotline",
    unit="U-1",
    level="city",
    urgency="emergency",
    due_at=None,
    backfill=False,
    opened_at=AT,
    begun_at=AT,
    closed_at=None,
    returned=0,
    occurred_at=AT,
    event_id=event_id(1),
)
GRID = replace(
    ORDER, event_type="grid.case", department="grid", unit="U-2", level="community", urgency=None,
    opened_at=AT + HOUR, begun_at=AT + HOUR, occurred_at=AT + HOUR, event_id=event_id(2),
)  # fmt: skip
ACTIVITY = replace(GRID, event_type="org.activity", occurred_at=AT + 9 * HOUR)


def standing(*parts: Part, as_of: int = AT + HOUR) -> CaseStanding:
    return standing_of(parts, RULES, LIMITS, as_of=as_of)


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(0, "on_time"), (89, "on_time"), (90, "due_soon"), (120, "due_soon"), (121, "overdue")],
)
def test_an_emergency_is_due_in_two_hours_and_soon_in_the_last_fourth(
    minutes: int, expected: str
) -> None:
    found = standing(ORDER, as_of=AT + minutes * MINUTE)
    assert (found.due_at, found.timeliness) == (AT + 2 * HOUR, expected)


@pytest.mark.parametrize(
    ("urgency", "hours"),
    [("emergency", 2), ("utility", 24), ("general", 7 * 24), ("complex", 15 * 24)],
)
def test_a_matter_without_a_told_deadline_is_due_by_its_urgency(urgency: str, hours: int) -> None:
    assert due_of(replace(ORDER, urgency=urgency), LIMITS) == AT + hours * HOUR


def test_a_told_deadline_goes_before_that_of_the_urgency() -> None:
    assert due_of(replace(ORDER, due_at=AT + 5 * HOUR), LIMITS) == AT + 5 * HOUR


def test_history_has_no_deadline_but_a_told_one() -> None:
    past = replace(ORDER, backfill=True)
    assert due_of(past, LIMITS) is None
    assert standing(past, as_of=AT + 999 * HOUR).timeliness == "on_time"
    assert due_of(replace(past, due_at=AT), LIMITS) == AT


def test_an_order_opened_again_has_its_time_again() -> None:
    again = replace(ORDER, closed_at=AT + HOUR, begun_at=AT + 3 * HOUR)
    found = standing(again, as_of=AT + 4 * HOUR)
    assert (found.status, found.due_at, found.timeliness) == ("reopened", AT + 5 * HOUR, "on_time")


def test_a_matter_whose_beginning_is_not_known_yet_is_due_from_the_first_that_is() -> None:
    assert due_of(replace(ORDER, begun_at=None, opened_at=AT + HOUR), LIMITS) == AT + 3 * HOUR


@pytest.mark.parametrize(("hours", "expected"), [(2, "on_time"), (3, "closed_late")])
def test_a_closed_case_was_on_time_or_late_whenever_it_is_asked(hours: int, expected: str) -> None:
    closed = replace(ORDER, closed_at=AT + hours * HOUR, occurred_at=AT + hours * HOUR)
    for as_of in (AT, AT + 999 * HOUR):
        found = standing(closed, as_of=as_of)
        assert (found.status, found.timeliness) == ("closed", expected)


def test_the_open_part_told_of_last_says_who_handles_a_case() -> None:
    assert standing(ORDER, GRID).unit == "U-2"
    done = replace(GRID, closed_at=AT + 2 * HOUR, occurred_at=AT + 2 * HOUR)
    found = standing(ORDER, done)
    assert (found.status, found.level, found.department, found.unit) == (
        "open", "city", "hotline", "U-1",
    )  # fmt: skip
    both = standing(replace(ORDER, closed_at=AT + HOUR), done)
    assert (both.status, both.level, both.unit) == ("closed", "community", "U-2")


def test_what_keeps_no_case_open_is_no_ones_matter_unless_there_is_nothing_else() -> None:
    assert standing(ORDER, ACTIVITY).department == "hotline"
    alone = standing(ACTIVITY)
    assert (alone.status, alone.department, alone.timeliness) == (None, "grid", None)


def test_an_open_case_is_as_late_as_the_worst_of_its_open_parts() -> None:
    late = replace(GRID, closed_at=AT + 9 * HOUR, due_at=AT)
    assert standing(ORDER, late).timeliness == "on_time"
    assert standing(ORDER, replace(late, closed_at=None)).timeliness == "overdue"


def test_returns_add_up_over_departments() -> None:
    assert standing(replace(ORDER, returned=2), replace(GRID, returned=1)).returned == 3


@pytest.mark.parametrize(("returns", "expected"), [(0, False), (1, False), (2, True), (3, True)])
def test_an_open_matter_that_was_returned_twice_is_to_be_adjudicated(
    returns: int, expected: bool
) -> None:
    sent_back = replace(ORDER, returned=returns)
    assert standing(sent_back, GRID).adjudication is expected
    assert standing(replace(sent_back, closed_at=AT + HOUR), GRID).adjudication is False


def test_a_case_of_no_parts_does_not_tell() -> None:
    assert standing() == CaseStanding()


@given(st.permutations([ORDER, GRID, ACTIVITY, replace(ORDER, event_type="mediation.case")]))
def test_the_order_of_the_parts_does_not_matter(parts: list[Part]) -> None:
    assert standing(*parts) == standing(*reversed(parts))
