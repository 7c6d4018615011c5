"""Statistics of places: pure counts of matters, and what the read models say of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from importlib import resources
from random import Random
from typing import Any

import pytest

from maplebridge.errors import InputError
from maplebridge.projections.indicators import load_indicators, parse_indicators
from maplebridge.projections.matters import Step, matters_of
from maplebridge.projections.statistics import (
    STATISTICS,
    Place,
    Row,
    index_rows,
    indicator_rows,
    light_rows,
    period_of,
    places_in,
)
from maplebridge.schemas import load_catalogue, load_regions
from maplebridge.schemas.read_models import load_read_models

DECLARED = load_indicators()
MARCH = period_of(DECLARED, "indicators", month="2026-03", as_of=datetime.now(UTC))
BEGIN = datetime(2026, 3, 2, 1, tzinfo=UTC)
HERE, THERE = "330681001001", "330681001002"
TOWN = Place("330681001000", frozenset({HERE, THERE}))
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
numbers = iter(range(1_000_000))


def step(case: str, event_type: str, transition: str, **changes: Any) -> Step:
    made = Step(
        case=case,
        event_type=event_type,
        event_id=f"{next(numbers):06}",
        department="made-up",
        community=HERE,
        transition=transition,
        category="",
        level=None,
        occurred_at=BEGIN,
        due_at=None,
        contacted=None,
        resolved=None,
    )
    return replace(made, **changes)


def many(count: int, event_type: str, *transitions: str, **changes: Any) -> list[Step]:
    """So many cases, each with these transitions a minute after one another."""
    cases = [f"{event_type}-{next(numbers)}" for _ in range(count)]
    return [
        step(case, event_type, each, **{"occurred_at": BEGIN + number * MINUTE, **changes})
        for case in cases
        for number, each in enumerate(transitions)
    ]


def counted(steps: Sequence[Step], indicator: str, place: Place = TOWN) -> tuple[int, int]:
    row = told(steps, place)[indicator]
    return row["numerator"], row["denominator"]


def told(steps: Sequence[Step], place: Place = TOWN) -> dict[str, Row]:
    rows = indicator_rows(DECLARED, matters_of(steps), [place], MARCH)
    return {row["indicator"]: row for row in rows}


def evaluations(yes: int, no: int, unasked: int, left_out: int) -> list[Step]:
    kind = "hotline.evaluation"
    return [
        *many(yes, kind, "evaluated", contacted=True, resolved=True, category="satisfied"),
        *many(no, kind, "evaluated", contacted=False, resolved=False, category="dissatisfied"),
        *many(unasked, kind, "evaluated", category="not_asked"),
        *many(left_out, kind, "evaluated", "excluded", contacted=False, resolved=False,
              category="dissatisfied"),
    ]  # fmt: skip


@pytest.mark.parametrize("rate", ["contacted", "resolved", "satisfied"])
def test_the_three_rates_leave_out_who_was_not_asked_and_what_is_excluded(rate: str) -> None:
    row = told(evaluations(9, 3, 5, 4))[rate]
    assert (row["numerator"], row["denominator"], row["value"]) == (9, 12, 0.75)


def test_a_review_takes_the_place_of_the_evaluation_before() -> None:
    (first,) = many(1, "hotline.evaluation", "evaluated", contacted=False)
    later = replace(
        first, event_id="r", transition="reviewed", contacted=True, occurred_at=BEGIN + DAY
    )
    assert counted([first], "contacted") == (0, 1)
    assert counted([later, first], "contacted") == (1, 1)


def test_mediation_success_is_agreed_of_agreed_and_failed() -> None:
    kind = "mediation.case"
    steps = [
        *many(6, kind, "applied", "accepted", "agreed", level="community"),
        *many(3, kind, "applied", "accepted", "agreed", level="county"),
        *many(1, kind, "applied", "accepted", "failed", level="town"),
        *many(5, kind, "applied", "withdrawn"),
        *many(2, kind, "applied", "accepted"),
    ]
    assert counted(steps, "mediated") == (9, 10)
    assert counted(steps, "mediated_near") == (6, 9)
    levels = [counted(steps, f"agreed_in_{each}") for each in ("village", "town", "county")]
    assert levels == [(6, 9), (0, 9), (3, 9)]
    assert told(steps)["mediated"]["counts"] == {
        "mediation.case agreed": 9, "mediation.case failed": 1,
    }  # fmt: skip


def test_what_failed_below_and_was_agreed_above_is_one_agreement() -> None:
    steps = many(1, "mediation.case", "accepted", "failed", "escalated", "accepted", "agreed")
    assert counted(steps, "mediated") == (1, 1)


def test_a_task_counts_where_its_deadline_lies_done_or_not() -> None:
    kind, due = "responsibility.task", BEGIN + DAY
    before = {"occurred_at": BEGIN - 40 * DAY}
    steps = [
        *many(2, kind, "assigned", "completed", due_at=due),
        *many(3, kind, "assigned", due_at=due, **before),
        *many(4, kind, "assigned", due_at=due + 60 * DAY),
    ]
    late = many(1, kind, "assigned", due_at=due)
    done = replace(late[0], transition="completed", event_id="x", occurred_at=due + MINUTE)
    assert counted([*steps, *late, done], "tasks_on_time") == (2, 6)


def test_an_alert_is_acknowledged_in_time_or_not() -> None:
    quick = many(2, "sensor.alert", "raised", "acknowledged")
    slow = many(1, "sensor.alert", "raised")
    answer = replace(slow[0], transition="verified", event_id="x", occurred_at=BEGIN + 31 * MINUTE)
    assert counted([*quick, *slow, answer], "alerts_acknowledged") == (2, 3)


def test_an_order_that_was_opened_again_did_not_stay_closed() -> None:
    steps = [
        *many(3, "hotline.order", "received", "closed"),
        *many(1, "hotline.order", "received", "closed", "reopened"),
    ]
    assert counted(steps, "stayed_closed") == (3, 4)


def test_kinds_of_organisation_are_covered_per_community() -> None:
    kind = "org.activity"
    steps = [
        *many(2, kind, "held", category="mediation"),
        *many(1, kind, "held", category="mutual_aid"),
        *many(1, kind, "held", category="mediation", community=THERE),
        *many(1, kind, "planned", category="civic_culture"),
    ]
    assert counted(steps, "organisations_cover") == (3, 12)
    one = Place(HERE, frozenset({HERE}))
    assert told(steps, one)["organisations_cover"]["value"] is None


def test_a_denominator_under_ten_gives_no_value() -> None:
    nine = many(9, "mediation.case", "accepted", "agreed")
    assert (told(nine)["mediated"]["denominator"], told(nine)["mediated"]["value"]) == (9, None)
    ten = [*nine, *many(1, "mediation.case", "accepted", "failed")]
    assert told(ten)["mediated"]["value"] == 0.9


def test_a_period_is_half_open() -> None:
    for at, inside in (
        (MARCH[0], 1),
        (MARCH[1] - MINUTE, 1),
        (MARCH[0] - MINUTE, 0),
        (MARCH[1], 0),
    ):
        assert counted(many(1, "mediation.case", "agreed", occurred_at=at), "mediated")[1] == inside


def test_a_place_counts_its_own_and_what_came_to_it() -> None:
    steps = many(1, "mediation.case", "agreed", community="330681009009")
    assert counted(steps, "mediated") == (0, 0)
    moved = Place(TOWN.code, TOWN.communities, frozenset({"330681009009"}))
    assert counted(steps, "mediated", moved) == (1, 1)


def test_statistics_do_not_depend_on_the_order_of_arrival() -> None:
    chance = Random(20_261_128)
    steps = [*evaluations(9, 3, 5, 4), *many(9, "mediation.case", "accepted", "failed", "agreed")]
    before = told(steps)
    for _ in range(20):
        chance.shuffle(steps)
        assert told(steps) == before


def whole_city() -> list[Step]:
    """Ten of everything, of which eight are as they should be."""
    made: list[Step] = []
    for good, event_type, transitions, changes in (
        (8, "responsibility.task", ("assigned", "completed"), {"due_at": BEGIN + DAY}),
        (2, "responsibility.task", ("assigned",), {"due_at": BEGIN + DAY}),
        (8, "sensor.alert", ("raised", "acknowledged"), {}),
        (2, "sensor.alert", ("raised",), {}),
        (8, "grid.inspection", ("ordered", "cleared"), {}),
        (2, "grid.inspection", ("ordered",), {}),
        (8, "mediation.case", ("accepted", "agreed"), {"level": "town"}),
        (2, "mediation.case", ("accepted", "failed"), {"level": "town"}),
        (8, "hotline.order", ("received", "closed"), {}),
        (2, "hotline.order", ("received", "closed", "reopened"), {}),
        (8, "mediation.confirmation", ("applied", "confirmed", "performed"), {}),
        (2, "mediation.confirmation", ("applied", "confirmed"), {}),
        (8, "hall.proposal", ("submitted", "adopted", "implemented"), {}),
        (2, "hall.proposal", ("submitted",), {}),
    ):
        made += many(good, event_type, *transitions, **changes)
    return made


def test_the_index_is_the_weighted_mean_of_what_has_a_value() -> None:
    rows = indicator_rows(DECLARED, matters_of(whole_city()), [TOWN], MARCH)
    index = {row["dimension"]: row for row in index_rows(DECLARED, rows)}
    assert set(index) == {*DECLARED.dimensions, "index"}
    assert index["party_building"]["value"] == 0.8
    # 8 of 8 near is under ten; 8 of 10 agreed, 8 of 10 stayed closed
    assert (index["dispute_resolution"]["value"], index["dispute_resolution"]["having"]) == (0.8, 2)
    # all ten were confirmed, eight performed
    assert index["rule_of_law"]["value"] == 0.9
    # answered 8 of 10; adopted and implemented 8 of 8, too few
    assert (index["civilised_practice"]["value"], index["civilised_practice"]["having"]) == (0.8, 1)
    # 0 of 12 kinds, 0 of 10 mediations
    assert index["social_organisations"]["value"] == 0.0
    assert index["index"]["value"] == pytest.approx(
        (0.8 + 0.8 + 0.8 + 0.9 + 0.8 + 0.0) / 6, abs=1e-4
    )


def test_a_place_where_nothing_happened_has_no_index() -> None:
    place = Place(HERE, frozenset({HERE}))
    rows = indicator_rows(DECLARED, [], [place], MARCH)
    assert {row["value"] for row in index_rows(DECLARED, rows)} == {None}


def test_every_dimension_and_every_part_of_it_is_there() -> None:
    assert list(DECLARED.dimensions) == [
        "party_building", "peace_and_safety", "dispute_resolution", "rule_of_law",
        "civilised_practice", "social_organisations",
    ]  # fmt: skip
    assert {n for n in DECLARED.indicators if DECLARED.dimension_of(n) is None} == {
        "contacted", "resolved", "satisfied", "agreed_in_village", "agreed_in_town",
        "agreed_in_county",
    }  # fmt: skip


def lit(closed: int, left: int) -> Row:
    light = DECLARED.village_light
    span = period_of(DECLARED, "village_light", month=None, as_of=BEGIN + DAY)
    steps = [
        *many(closed, "hotline.order", "received", "closed"),
        *many(left, "grid.case", "collected", "filed"),
    ]
    (row,) = light_rows(light, DECLARED.least, matters_of(steps), [TOWN], span)
    return row


@pytest.mark.parametrize(
    ("closed", "left", "light"),
    [(2, 8, "red"), (3, 7, "amber"), (6, 4, "amber"), (7, 3, "green"), (10, 0, "green"),
     (0, 9, None), (9, 0, None), (0, 0, None)],
)  # fmt: skip
def test_the_light_is_red_from_eighty_per_cent_and_green_under_forty(
    closed: int, left: int, light: str | None
) -> None:
    assert lit(closed, left)["light"] == light


def test_what_is_opened_again_is_unresolved_again() -> None:
    light = DECLARED.village_light
    span = period_of(DECLARED, "village_light", month=None, as_of=BEGIN + DAY)
    steps = many(10, "hotline.order", "received", "closed", "reopened")
    (row,) = light_rows(light, DECLARED.least, matters_of(steps), [TOWN], span)
    assert (row["unresolved"], row["light"]) == (10, "red")


def test_the_light_changes_every_two_hours() -> None:
    light = DECLARED.village_light
    hours = [light.as_of(BEGIN.replace(hour=hour, minute=59)).hour for hour in range(6)]
    assert hours == [0, 0, 2, 2, 4, 4]


def test_a_level_lists_its_regions_in_use() -> None:
    regions, at = load_regions(), BEGIN
    county = places_in(regions, "330681000000", level="county", former=(), at=at)
    towns = places_in(regions, "330681000000", level="town", former=(), at=at)
    assert [each.code for each in county] == ["330681000000"]
    assert county[0].communities == frozenset().union(*(each.communities for each in towns))
    assert places_in(regions, HERE, level="community", former=(), at=at) == [
        Place(HERE, frozenset({HERE}))
    ]
    with pytest.raises(InputError, match="no county"):
        places_in(regions, HERE, level="county", former=(), at=at)


def columns() -> Iterator[str]:
    for each in fields(Step):
        yield "case_ref" if each.name == "case" else each.name


def test_statistics_are_declared_to_be_made_of_all_that_they_can_see() -> None:
    """A statistic sees steps and nothing else, so no grade below theirs can be right."""
    seen = {f"events.{name}" for name in columns()} | {"events.counted"}
    models = load_read_models().read_models
    for name in STATISTICS:
        for path, field in models[name].fields.items():
            if path in {"numerator", "denominator", "value", "counts", "having", "matters",
                        "unresolved", "light", "before", "weeks", "p_value",
                        "rising"}:  # fmt: skip
                assert set(field.by) == seen, (name, path)


BROKEN = {
    "begins: [raised]": ("begins: [rung]", "rung"),
    "good: {codes: [social_industry]}": ("good: {codes: [clubs]}", "codes"),
    "indicators: {tasks_on_time: 1}": ("indicators: {tasks: 1}", "party_building"),
    "    covers: org_kind": ("", "good or covers"),
    "red: 0.8": ("rot: 0.8", "rot"),
    "done: [declined, reviewed]": ("done: [gone]", "snap.report"),
    "hall.proposal: [submitted]": ("hall.proposal: [gone]", "rising_topics"),
}


@pytest.mark.parametrize("text", BROKEN)
def test_a_file_that_names_what_is_not_there_is_refused(text: str) -> None:
    file = resources.files("maplebridge.projections").joinpath("indicators.yaml")
    whole = file.read_text("utf-8")
    assert text in whole
    wrong, named = BROKEN[text]
    with pytest.raises(InputError, match=named):
        parse_indicators(whole.replace(text, wrong), load_catalogue())


def test_a_month_is_a_month() -> None:
    for text in ("2026-13", "March", "2026"):
        with pytest.raises(InputError):
            period_of(DECLARED, "indicators", month=text, as_of=BEGIN)
