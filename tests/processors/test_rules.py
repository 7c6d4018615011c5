"""A warning rule depends on the set of what it counts, never on its arrival."""

from __future__ import annotations

from dataclasses import replace
from datetime import time
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.processors.rule_files import load_rules
from maplebridge.processors.rules import Cause, QuietHours, Rule, Window
from maplebridge.schemas import Event, load_code_lists
from tests.processors.made_events import AT, MINUTE, alert, communities, grid_case, order

RULES = load_rules()
RULE = RULES["urgent-orders"]
windows = RULE.windows
HALF_HOUR = 30 * MINUTE


def made(*minutes: float) -> list[Cause]:
    return [
        Cause(AT + int(minute * MINUTE), f"e{number}", f"n{number}", "hotline")
        for number, minute in enumerate(minutes)
    ]


sets = st.lists(st.integers(0, 180), max_size=14).map(lambda minutes: made(*minutes))


@given(sets, st.randoms())
def test_windows_depend_on_the_set_alone(orders: list[Cause], random: object) -> None:
    shuffled = list(orders)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert windows(shuffled) == windows(orders) == windows(iter(orders))


@given(sets)
def test_an_order_is_in_a_window_exactly_if_three_in_a_row_lie_close(orders: list[Cause]) -> None:
    found = windows(orders)
    ordered = sorted(orders)
    runs = [ordered[at : at + RULE.threshold] for at in range(len(ordered) - RULE.threshold + 1)]
    close = {
        order
        for run in runs
        if run[-1].occurred_at - run[0].occurred_at <= RULE.window_us
        for order in run
    }
    assert sum(window.events for window in found) == len(close)
    assert {window.first for window in found} <= {order.number for order in close}
    assert all(
        any(w.window_from <= each.occurred_at <= w.window_to for w in found) for each in close
    )


@given(sets, st.randoms())
def test_what_was_said_of_arrivals_ends_at_the_one_shot_result(
    orders: list[Cause], random: object
) -> None:
    """Told step by step, raised and withdrawn windows come to what the whole set says."""
    arriving = list(orders)
    random.shuffle(arriving)  # type: ignore[attr-defined]
    place = (communities()[0], "gas")
    standing: dict[str, Window] = {}
    for count in range(1, len(arriving) + 1):
        now = {RULE.warning_id(place, each): each for each in windows(arriving[:count])}
        for gone in standing.keys() - now.keys():
            del standing[gone]
        standing |= now
    assert standing == {RULE.warning_id(place, each): each for each in windows(orders)}


def test_three_orders_in_thirty_minutes_make_one_window() -> None:
    for arrival in permutations(made(0, 10, 30)):
        assert windows(arrival) == [Window("n0", AT, AT + HALF_HOUR, 3)]


def test_a_microsecond_more_than_thirty_minutes_is_no_window() -> None:
    late = Cause(AT + HALF_HOUR + 1, "e9", "n9", "hotline")
    assert windows([*made(0, 10), late]) == []


def test_two_orders_are_no_window() -> None:
    assert windows(made(0, 1)) == []


def test_runs_that_share_an_order_are_one_window_and_others_are_two() -> None:
    assert [each.events for each in windows(made(0, 15, 30, 45, 60))] == [5]
    assert [each.events for each in windows(made(0, 1, 2, 40, 41, 42))] == [3, 3]


def test_an_id_names_rule_place_and_first_order() -> None:
    (window,) = windows(made(0, 1, 2))
    here, there = (communities()[0], "gas"), (communities()[1], "gas")
    assert RULE.warning_id(here, window) == RULE.warning_id(here, window)
    assert RULE.warning_id(here, window) != RULE.warning_id(there, window)
    (moved,) = windows([Cause(AT - 1, "e9", "n9", "hotline"), *made(0, 1)])
    assert RULE.warning_id(here, moved) != RULE.warning_id(here, window)


def test_more_orders_are_more_severe() -> None:
    found = [RULE.severity(windows(made(*range(count)))[0].events) for count in (3, 5, 8, 12)]
    assert found == ["blue", "yellow", "orange", "red"]


def test_only_newly_received_urgent_orders_count() -> None:
    gas = {"category": "gas", "order_no": "n1"}
    assert RULE.counted(order(gas)) is not None
    assert RULE.counted(order(gas, backfill=True)) is None
    assert RULE.counted(order(gas, transition="dispatched")) is None
    assert RULE.counted(order({"category": "road"})) is None


def test_the_id_of_a_warning_is_the_one_it_had_before_rules_were_data() -> None:
    (window,) = windows(made(0, 1, 2))
    known = "29fad34a-28b1-5613-bd82-33bee18c8c1e"
    assert RULE.warning_id(("330681001001", "gas"), window) == known


@given(sets, st.randoms())
def test_windows_of_any_rule_depend_on_the_set_alone(causes: list[Cause], random: object) -> None:
    shuffled = list(causes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for rule in RULES.values():
        assert rule.windows(shuffled) == rule.windows(causes)


def test_a_window_shorter_than_the_dwell_is_none() -> None:
    lasting = replace(RULE, dwell_us=10 * MINUTE)
    assert lasting.windows(made(0, 1, 9)) == []
    assert [each.events for each in lasting.windows(made(0, 1, 9, 10))] == [4]


@pytest.mark.parametrize(
    ("start", "end", "counted"),
    [("22:00", "06:00", True), ("08:00", "09:30", False), ("09:00", "09:01", False),
     ("08:00", "09:00", True), ("20:00", "10:00", False)],
)  # fmt: skip
def test_what_happens_in_quiet_hours_does_not_count(start: str, end: str, counted: bool) -> None:
    """AT is 09:00 in Shanghai."""
    quiet = QuietHours(
        time.fromisoformat(start), time.fromisoformat(end), ZoneInfo("Asia/Shanghai")
    )
    gas = order({"category": "gas", "order_no": "n1"})
    assert (replace(RULE, quiet=quiet).counted(gas) is not None) is counted


def counting(event: Event) -> set[str]:
    """Return the names of the rules that count an event."""
    event_type = event["meta"]["event_type"]
    return {
        name
        for name, rule in RULES.items()
        if rule.event_type == event_type and rule.counted(event) is not None
    }


def test_each_kind_of_sensor_has_a_rule_and_no_alert_two() -> None:
    kinds = load_code_lists().get("sensor_kind").codes
    assert len(kinds) == 9
    for kind in kinds:
        assert counting(alert({"kind": kind})) == {f"sensor-{kind.replace('_', '-')}"}
        assert counting(alert({"kind": kind}, transition="verified")) == set()


def test_a_grid_case_counts_by_its_class_however_it_begins() -> None:
    for step in ("collected", "filed"):
        case = grid_case({"class_code": "emergency"}, transition=step)
        assert counting(case) == {"grid-emergencies"}
    assert counting(grid_case({"class_code": "utilities"})) == {"grid-city-fabric"}
    assert counting(grid_case({"class_code": "utilities"}, transition="closed")) == set()
    assert counting(grid_case({"class_code": "advertising"})) == set()


def test_what_is_about_one_thing_has_one_number() -> None:
    def number(rule: str, event: Event) -> str:
        counted = RULES[rule].counted(event)
        assert counted is not None
        return counted[1].number

    case = grid_case({"class_code": "emergency", "case_no": "G7"})
    assert number("grid-emergencies", case) == "G7"
    # a device in a dwelling is not named in the open: each alert is a thing of its own
    gas = alert({"kind": "gas"})
    assert number("sensor-gas", gas) == gas["meta"]["event_id"]


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
def test_the_least_window_of_a_rule_has_its_least_colour(rule: Rule) -> None:
    least = Window("n", AT, AT, rule.threshold)
    colours = [colour for _, colour in rule.colours]
    assert rule.severity(least.events) == colours[-1]
    assert rule.severity(99) == colours[0]
