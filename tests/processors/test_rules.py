"""The warning rule depends on the set of orders, never on their arrival."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from maplebridge.processors.rules import ORDERS, WINDOW_US, Order, Window, order_of, windows
from maplebridge.schemas import load_code_lists
from tests.processors.made_events import AT, MINUTE, communities, order

CATEGORIES = load_code_lists().get("hotline_category")
HALF_HOUR = 30 * MINUTE


def made(*minutes: float) -> list[Order]:
    return [
        Order(AT + int(minute * MINUTE), f"e{number}", f"n{number}", "hotline")
        for number, minute in enumerate(minutes)
    ]


sets = st.lists(st.integers(0, 180), max_size=14).map(lambda minutes: made(*minutes))


@given(sets, st.randoms())
def test_windows_depend_on_the_set_alone(orders: list[Order], random: object) -> None:
    shuffled = list(orders)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert windows(shuffled) == windows(orders) == windows(iter(orders))


@given(sets)
def test_an_order_is_in_a_window_exactly_if_three_in_a_row_lie_close(orders: list[Order]) -> None:
    found = windows(orders)
    ordered = sorted(orders)
    runs = [ordered[at : at + ORDERS] for at in range(len(ordered) - ORDERS + 1)]
    close = {
        order
        for run in runs
        if run[-1].occurred_at - run[0].occurred_at <= WINDOW_US
        for order in run
    }
    assert sum(window.orders for window in found) == len(close)
    assert {window.first for window in found} <= {order.order_no for order in close}
    assert all(
        any(w.window_from <= each.occurred_at <= w.window_to for w in found) for each in close
    )


@given(sets, st.randoms())
def test_what_was_said_of_arrivals_ends_at_the_one_shot_result(
    orders: list[Order], random: object
) -> None:
    """Told step by step, raised and withdrawn windows come to what the whole set says."""
    arriving = list(orders)
    random.shuffle(arriving)  # type: ignore[attr-defined]
    place = (communities()[0], "gas")
    standing: dict[str, Window] = {}
    for count in range(1, len(arriving) + 1):
        now = {each.warning_id(place): each for each in windows(arriving[:count])}
        for gone in standing.keys() - now.keys():
            del standing[gone]
        standing |= now
    assert standing == {each.warning_id(place): each for each in windows(orders)}


def test_three_orders_in_thirty_minutes_make_one_window() -> None:
    for arrival in permutations(made(0, 10, 30)):
        assert windows(arrival) == [Window("n0", AT, AT + HALF_HOUR, 3)]


def test_a_microsecond_more_than_thirty_minutes_is_no_window() -> None:
    late = Order(AT + HALF_HOUR + 1, "e9", "n9", "hotline")
    assert windows([*made(0, 10), late]) == []


def test_two_orders_are_no_window() -> None:
    assert windows(made(0, 1)) == []


def test_runs_that_share_an_order_are_one_window_and_others_are_two() -> None:
    assert [each.orders for each in windows(made(0, 15, 30, 45, 60))] == [5]
    assert [each.orders for each in windows(made(0, 1, 2, 40, 41, 42))] == [3, 3]


def test_an_id_names_rule_place_and_first_order() -> None:
    (window,) = windows(made(0, 1, 2))
    here, there = (communities()[0], "gas"), (communities()[1], "gas")
    assert window.warning_id(here) == window.warning_id(here)
    assert window.warning_id(here) != window.warning_id(there)
    (moved,) = windows([Order(AT - 1, "e9", "n9", "hotline"), *made(0, 1)])
    assert moved.warning_id(here) != window.warning_id(here)


def test_more_orders_are_more_severe() -> None:
    found = [windows(made(*range(count)))[0].severity for count in (3, 5, 8, 12)]
    assert found == ["blue", "yellow", "orange", "red"]


def test_only_newly_received_urgent_orders_count() -> None:
    gas = {"category": "gas", "order_no": "n1"}
    assert order_of(order(gas), CATEGORIES) is not None
    assert order_of(order(gas, backfill=True), CATEGORIES) is None
    assert order_of(order(gas, transition="dispatched"), CATEGORIES) is None
    assert order_of(order({"category": "road"}), CATEGORIES) is None
