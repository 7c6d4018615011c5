"""The life-cycle of a case, as far as its own publisher knows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.errors import EventInvalid
from maplebridge.producers import Department
from maplebridge.producers.batch import Batch
from maplebridge.producers.lifecycle import Step, check_step
from maplebridge.schemas import load_catalogue
from maplebridge.settings import Settings
from tests.producers.orders import AT, COMMUNITY, envelope, order

TYPE = "hotline.order"
CONTRACT = load_catalogue().get(TYPE)
NAMES = sorted(CONTRACT.transitions)


@pytest.fixture
def hotline(settings: Settings) -> Iterator[Department]:
    department = Department("hotline", settings=settings).open()
    yield department
    department.close(0)


def publish(department: Department, transition: str, minute: int, **changes: Any) -> str:
    told = envelope(
        transition=transition, occurred_at=AT + timedelta(minutes=minute), case_ref="L1"
    )
    return department.publish(TYPE, order(), **{**told, **changes}).event_id


def test_an_impossible_transition_is_refused_and_the_allowed_ones_are_named(
    hotline: Department,
) -> None:
    publish(hotline, "received", 0)
    with pytest.raises(EventInvalid, match="called_back cannot follow received") as caught:
        publish(hotline, "called_back", 1)
    assert caught.value.path == "meta.transition"
    assert caught.value.todo == "After received: dispatched, replied, closed."
    publish(hotline, "dispatched", 1)
    publish(hotline, "replied", 2)
    with pytest.raises(EventInvalid, match="received cannot follow replied"):
        publish(hotline, "received", 3)


def test_what_was_sent_is_remembered_after_a_restart(settings: Settings) -> None:
    for transition, minute in (("received", 0), ("dispatched", 1)):
        department = Department("hotline", settings=settings).open()
        publish(department, transition, minute)
        department.close(0)
    department = Department("hotline", settings=settings).open()
    with pytest.raises(EventInvalid, match="closed cannot follow dispatched"):
        publish(department, "closed", 2)
    department.close(0)


def test_the_order_of_the_times_decides_and_not_that_of_the_calls(hotline: Department) -> None:
    publish(hotline, "closed", 9)
    publish(hotline, "received", 0)
    publish(hotline, "replied", 5)
    with pytest.raises(EventInvalid, match="reopened cannot follow replied"):
        publish(hotline, "reopened", 6)


def test_a_case_nothing_is_known_of_and_an_event_without_case_are_taken(
    hotline: Department,
) -> None:
    publish(hotline, "closed", 0, case_ref="other")
    publish(hotline, "received", 0)
    publish(hotline, "called_back", 1, case_ref=None)


def test_a_batch_judges_its_own_events_and_forgets_them_if_it_fails(hotline: Department) -> None:
    def told(transition: str, minute: int) -> dict[str, Any]:
        return envelope(
            transition=transition, occurred_at=AT + timedelta(minutes=minute), case_ref="L1"
        )

    with hotline.batch() as batch:
        batch.publish(TYPE, order(), **told("received", 0))
        with pytest.raises(EventInvalid):
            batch.publish(TYPE, order(), **told("reopened", 1))

    def fail() -> None:
        with hotline.batch() as batch:
            batch.publish(TYPE, order(), **told("dispatched", 1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(EventInvalid, match="accepted cannot follow received"):
        publish(hotline, "accepted", 2)


def test_a_repeated_event_is_no_second_step(hotline: Department) -> None:
    first = publish(hotline, "received", 0)
    publish(hotline, "received", 0, event_id=first)


def test_history_may_have_gaps_and_is_remembered(hotline: Department) -> None:
    publish(hotline, "received", 0)
    publish(hotline, "called_back", 1, backfill=True)
    publish(hotline, "reopened", 2)


def test_a_correction_takes_the_place_of_what_it_corrects(hotline: Department) -> None:
    publish(hotline, "received", 0)
    wrong = publish(hotline, "dispatched", 1)
    told = envelope(transition="dispatched", occurred_at=AT + timedelta(minutes=2), case_ref="L1")
    hotline.correct(wrong, TYPE, order(), **told)
    publish(hotline, "accepted", 3)


@pytest.mark.parametrize("moved_to", ["Z", None])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_correction_into_another_case_leaves_no_step_behind(
    settings: Settings, moved_to: str | None, restarted: bool
) -> None:
    department = Department("hotline", settings=settings).open()
    publish(department, "received", 0)
    wrong = publish(department, "dispatched", 1)
    publish(department, "received", 0, case_ref="Z")
    publish(department, "dispatched", 1, case_ref=moved_to, corrects=wrong)
    if restarted:
        department.close(0)
        department = Department("hotline", settings=settings).open()
    publish(department, "dispatched", 2)
    publish(department, "accepted", 3)
    if moved_to is not None:
        with pytest.raises(EventInvalid, match="closed cannot follow dispatched"):
            publish(department, "closed", 3, case_ref=moved_to)
    department.close(0)


def test_a_correction_into_another_case_that_fails_leaves_both_as_they_were(
    hotline: Department,
) -> None:
    publish(hotline, "received", 0)
    right = publish(hotline, "dispatched", 1)
    publish(hotline, "received", 0, case_ref="Z")

    def fail() -> None:
        told = envelope(transition="dispatched", occurred_at=AT + timedelta(minutes=1))
        with hotline.batch() as batch:
            batch.publish(TYPE, order(), **{**told, "case_ref": "Z", "corrects": right})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with pytest.raises(EventInvalid, match="dispatched cannot follow dispatched"):
        publish(hotline, "dispatched", 2)
    with pytest.raises(EventInvalid, match="accepted cannot follow received"):
        publish(hotline, "accepted", 2, case_ref="Z")


def test_what_was_taken_back_is_no_step(hotline: Department) -> None:
    publish(hotline, "received", 0)
    wrong = publish(hotline, "closed", 1)
    hotline.retract(
        wrong,
        event_type=TYPE,
        community=COMMUNITY,
        case_ref="L1",
        reason="entered_in_error",
        occurred_at=AT,
    )
    other = publish(hotline, "dispatched", 2)
    with pytest.raises(EventInvalid, match="reason"):
        hotline.retract(
            other, event_type=TYPE, community=COMMUNITY, reason="a mood", occurred_at=AT
        )


@given(
    before=st.lists(st.tuples(st.integers(0, 5), st.sampled_from(NAMES)), max_size=6),
    at=st.integers(0, 5),
    transition=st.sampled_from(NAMES),
)
def test_a_step_is_judged_by_its_two_neighbours_alone(
    before: list[tuple[int, str]], at: int, transition: str
) -> None:
    steps = sorted(Step(when, f"{number}", name) for number, (when, name) in enumerate(before))
    step = Step(at, "new", transition)
    chain = sorted([*steps, step])
    place = chain.index(step)
    fits = all(
        first.transition in CONTRACT.transitions[second.transition].after
        for first, second in pairwise(chain[max(place - 1, 0) : place + 2])
    )
    try:
        check_step(CONTRACT, steps, step)
    except EventInvalid:
        assert not fits
    else:
        assert fits


def retraction(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_type": "event.retraction",
        "fields": {"retracts": event_id, "retracts_type": TYPE, "reason": "entered_in_error"},
        **envelope(transition="retracted", occurred_at=AT + timedelta(minutes=30)),
        **changes,
    }


def test_a_step_must_fit_what_was_sent_after_it_in_time(hotline: Department) -> None:
    publish(hotline, "received", 1)
    publish(hotline, "dispatched", 3)
    with pytest.raises(EventInvalid, match="dispatched cannot follow closed") as caught:
        publish(hotline, "closed", 2)
    assert caught.value.path == "meta.transition"


@pytest.mark.parametrize("case_ref", ["L1", None])
def test_a_retraction_is_no_step_and_takes_one_back_however_it_is_published(
    hotline: Department, case_ref: str | None
) -> None:
    publish(hotline, "received", 0)
    first, second = publish(hotline, "dispatched", 1), publish(hotline, "accepted", 2)
    hotline.publish(**retraction(second, case_ref=case_ref))
    hotline.publish_many([retraction(first, case_ref=case_ref)])
    publish(hotline, "closed", 3)


def test_a_retraction_goes_to_the_case_of_its_event(hotline: Department) -> None:
    taken_back = publish(hotline, "received", 0)
    told = retraction(taken_back)
    told["fields"]["retracts_type"] = "mediation.case"
    with pytest.raises(EventInvalid, match=r"one of hotline\.order") as caught:
        hotline.publish(**told)
    assert caught.value.path == "retracts_type"
    hotline.retract(
        taken_back,
        event_type=TYPE,
        community=COMMUNITY,
        reason="entered_in_error",
        occurred_at=AT,
    )
    parts = hotline._parts
    assert parts is not None
    keys = [key for (key,) in parts.store.db.execute("SELECT event_key FROM spool ORDER BY seq")]
    assert keys == ["L1", "L1"]


def test_an_event_retracted_in_its_own_batch_is_no_step_after_it(hotline: Department) -> None:
    with hotline.batch() as batch:
        told = envelope(transition="closed", occurred_at=AT, case_ref="L1")
        made = batch.publish(TYPE, order(), **told)
        batch.publish(**retraction(made.event_id))
    parts = hotline._parts
    assert parts is not None
    assert parts.lifecycles.case_of(made.event_id) is None


def test_a_batch_that_fails_takes_back_no_step_of_another_batch(hotline: Department) -> None:
    told = envelope(case_ref="L1")

    def fail() -> None:
        with hotline.batch() as failing:
            failing.publish(TYPE, order(), **envelope(case_ref="other"))
            raise ZeroDivisionError

    with hotline.batch() as batch:
        batch.publish(TYPE, order(), **told)
        with pytest.raises(ZeroDivisionError):
            fail()
        later = {"transition": "accepted", "occurred_at": AT + timedelta(minutes=1)}
        with pytest.raises(EventInvalid, match="accepted cannot follow received"):
            batch.publish(TYPE, order(), **{**told, **later})


def test_events_published_together_are_taken_all_or_none(hotline: Department) -> None:
    later = envelope(case_ref="L1", occurred_at=AT + timedelta(minutes=1))

    def publish_two(batch: Batch) -> None:
        with batch.together():
            batch.publish(TYPE, order(), **later, import_digest=b"said")
            batch.publish(TYPE, order(category="whales"), **later)

    with hotline.batch() as batch:
        before = batch.publish(TYPE, order(), **envelope(case_ref="L0"))
        with pytest.raises(EventInvalid, match="unknown code"):
            publish_two(batch)
        # what was undone is no step any more: another may be received a minute before it
        with batch.together():
            after = batch.publish(TYPE, order(), **envelope(case_ref="L1"))
    parts = hotline._parts
    assert parts is not None
    ids = [event_id for (event_id,) in parts.store.db.execute("SELECT event_id FROM spool")]
    assert sorted(ids) == sorted([before.event_id, after.event_id])
    assert parts.store.db.execute("SELECT count(*) FROM imported").fetchone() == (0,)
