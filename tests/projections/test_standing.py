"""Which entries count and which are out of place, by their set alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from maplebridge.projections.standing import (
    Amendment,
    Entry,
    amendment_of,
    misplaced,
    repeated,
)
from tests.processors.made_events import catalogue, corrected, event_id, order, retraction

ORDERS = catalogue().get("hotline.order").transitions
STEPS = sorted(ORDERS)


def entries(*transitions: str) -> list[Entry]:
    return [Entry(at, event_id(at), "hotline", name) for at, name in enumerate(transitions)]


def repeats(*transitions: str) -> dict[int, int]:
    """Return position -> the position of the entry it repeats."""
    made = entries(*transitions)
    places = {each: at for at, each in enumerate(made)}
    return {places[one]: places[other] for one, other in repeated(made, ORDERS).items()}


def test_received_twice_is_one_entry() -> None:
    assert repeats("received", "received", "received") == {1: 0, 2: 0}


def test_what_lies_between_may_permit_a_transition_again() -> None:
    assert repeats("received", "dispatched", "returned", "dispatched") == {}
    assert repeats("received", "dispatched", "accepted", "dispatched") == {}
    assert repeats("received", "dispatched", "replied", "dispatched") == {3: 1}
    assert repeats("received", "dispatched", "returned", "dispatched", "dispatched") == {4: 3}


def test_a_repeated_entry_permits_nothing() -> None:
    """`returned` is repeated, so it does not let `dispatched` come again."""
    path = ("received", "dispatched", "returned", "dispatched", "replied", "returned", "dispatched")
    assert repeats(*path) == {}
    assert repeats("returned", "dispatched", "replied", "dispatched") == {3: 1}
    assert repeats("dispatched", "returned", "returned", "dispatched", "dispatched") == {2: 1, 4: 3}


def test_of_one_instant_the_smaller_id_was_there_first() -> None:
    later, first = (Entry(0, event_id(at), "hotline", "received") for at in (2, 1))
    assert repeated([later, first], ORDERS) == {later: first}


def test_of_one_instant_and_one_id_the_departments_decide() -> None:
    later, first = (Entry(0, event_id(1), name, "received") for name in ("hotline", "grid"))
    assert repeated([later, first], ORDERS) == {later: first}


@given(st.lists(st.sampled_from(STEPS), max_size=12), st.randoms())
def test_the_order_of_arrival_is_nothing_to_the_rules(
    transitions: list[str], random: object
) -> None:
    """F5."""
    made = entries(*transitions)
    shuffled = sorted(made, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert repeated(shuffled, ORDERS) == repeated(made, ORDERS)
    assert misplaced(shuffled, ORDERS) == misplaced(made, ORDERS)


def test_a_step_that_cannot_follow_is_named_with_what_it_followed() -> None:
    made = entries("received", "closed", "dispatched", "accepted")
    assert misplaced(made, ORDERS) == {made[2]: "closed"}


def test_a_case_begins_with_a_first_step() -> None:
    made = entries("dispatched", "accepted")
    assert misplaced(made, ORDERS) == {made[0]: None}
    assert misplaced(entries("received"), ORDERS) == {}


def test_a_correction_speaks_of_its_own_type_and_a_retraction_of_the_one_it_names() -> None:
    made, control = order(), catalogue().get("event.retraction")
    contract = catalogue().get("hotline.order")
    assert amendment_of(contract, made) is None
    target = made["meta"]["event_id"]
    again, back = corrected(made), retraction(made)
    assert amendment_of(contract, again) == Amendment(
        target, again["meta"]["event_id"], "hotline", "hotline.order", "hotline.order"
    )
    assert amendment_of(control, back) == Amendment(
        target, back["meta"]["event_id"], "hotline", "hotline.order", "event.retraction"
    )
