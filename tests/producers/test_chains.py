"""What a department's own events correct and retract: each names what stands by now."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest

from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.producers import Department
from maplebridge.producers.batch import Batch
from maplebridge.producers.ids import uuid7
from maplebridge.schemas import AvroCodec, load_catalogue
from maplebridge.schemas.codec import frame_of
from maplebridge.settings import Settings
from tests.producers.orders import AT, envelope, order

TYPE = "hotline.order"
RETRACTION = "event.retraction"


@pytest.fixture
def hotline(settings: Settings) -> Iterator[Department]:
    """A department that is open and whose servers are all down."""
    department = Department("hotline", settings=settings).open()
    yield department
    department.close(0)


def publish(department: Department, **changes: Any) -> str:
    return department.publish(TYPE, order(), **envelope(**changes)).event_id


def retraction(target: str, /, **changes: Any) -> dict[str, Any]:
    return {
        "event_type": RETRACTION,
        "fields": {"retracts": target, "retracts_type": TYPE, "reason": "entered_in_error"},
        **envelope(transition="retracted", occurred_at=AT + timedelta(minutes=30)),
        **changes,
    }


def amended(department: Department) -> list[tuple[str, str]]:
    """Return (event id, what it corrects or retracts) of all that waits in the spool."""
    parts = department._parts
    assert parts is not None
    found = []
    for body, name in parts.store.db.execute(
        "SELECT body, event_type FROM spool JOIN spool_streams USING (stream) ORDER BY seq"
    ):
        schema = load_catalogue().get(name).schema
        event = AvroCodec(schema, 1).decode(frame_of(1) + body)
        target = event["retracts"] if name == RETRACTION else event["meta"]["corrects"]
        if target is not None:
            found.append((event["meta"]["event_id"], target))
    return found


def test_a_chain_of_corrections_that_all_name_the_first_event_names_the_last(
    hotline: Department,
) -> None:
    first = publish(hotline)
    second = hotline.correct(first, TYPE, order(), **envelope()).event_id
    third = hotline.correct(first, TYPE, order(), **envelope()).event_id
    fourth = hotline.correct(second, TYPE, order(), **envelope()).event_id
    taken_back = hotline.publish(**retraction(second)).event_id
    assert amended(hotline) == [
        (second, first),
        (third, second),
        (fourth, third),
        (taken_back, fourth),
    ]


def test_the_chain_holds_within_a_batch_and_forgets_what_was_undone(hotline: Department) -> None:
    first, undone = uuid7(), uuid7()

    def publish_two(batch: Batch) -> None:
        with batch.together():
            batch.publish(TYPE, order(), **envelope(event_id=undone, corrects=first))
            batch.publish(TYPE, order(category="whales"), **envelope())

    with hotline.batch() as batch:
        batch.publish(TYPE, order(), **envelope(event_id=first))
        with pytest.raises(EventInvalid):
            publish_two(batch)
        second = batch.publish(TYPE, order(), **envelope(corrects=first)).event_id
        third = batch.publish(TYPE, order(), **envelope(corrects=first)).event_id
        taken_back = batch.publish(**retraction(first)).event_id
    assert amended(hotline) == [(second, first), (third, second), (taken_back, third)]


def test_a_repeated_event_names_what_it_named_before(
    hotline: Department, settings: Settings
) -> None:
    first = publish(hotline)
    correction = envelope(corrects=first, event_id=uuid7())
    taken_back = retraction(first, event_id=uuid7())
    hotline.publish(TYPE, order(), **correction)
    hotline.correct(first, TYPE, order(), **envelope())
    hotline.publish(**taken_back)
    before = amended(hotline)
    hotline.close(0)
    with_new_memory = Department("hotline", settings=settings).open()
    with_new_memory.publish(TYPE, order(), **correction)
    with_new_memory.publish(**taken_back)
    assert amended(with_new_memory) == [*before, before[0], before[2]]
    with_new_memory.close(0)


def test_of_many_corrections_at_once_each_names_another_event(hotline: Department) -> None:
    first = publish(hotline)

    def correct() -> None:
        for _ in range(10):
            hotline.correct(first, TYPE, order(), **envelope())

    threads = [Thread(target=correct) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    pairs = amended(hotline)
    # committed in whatever order, they are one chain: each but the last is corrected once
    assert len(pairs) == 40
    end = chain_end({target: one for one, target in pairs}, first)
    assert end not in {target for _, target in pairs}


def chain_end(corrected_by: dict[str, str], event_id: str) -> str:
    while event_id in corrected_by:
        event_id = corrected_by.pop(event_id)
    assert corrected_by == {}
    return event_id


def test_a_correction_put_aside_stands_for_nothing_until_it_is_sent_again(
    hotline: Department,
) -> None:
    parts = hotline._parts
    assert parts is not None
    first = publish(hotline)
    refused = hotline.correct(first, TYPE, order(), **envelope())
    parts.refusals.put_aside(refused, ContractRefused("made up"))
    assert parts.amendments.chain(first) == [first]
    parts.refusals.retry([refused.seq])
    assert parts.amendments.chain(first) == [first, refused.event_id]
    again = hotline.correct(first, TYPE, order(), **envelope())
    parts.refusals.put_aside(again, ContractRefused("made up"))
    parts.refusals.discard([again.seq])
    assert parts.amendments.every() == [(refused.event_id, first, False)]


def test_events_that_correct_each_other_do_not_go_round_for_ever(hotline: Department) -> None:
    one, other = uuid7(), uuid7()
    publish(hotline, event_id=one)
    publish(hotline, event_id=other, corrects=one)
    publish(hotline, event_id=one, corrects=other)
    parts = hotline._parts
    assert parts is not None
    assert parts.amendments.chain(one) == [one, other]
    publish(hotline, corrects=one)


@pytest.mark.parametrize("named", ["x", 5, ""])
def test_what_names_no_event_is_refused(hotline: Department, named: Any) -> None:
    with pytest.raises(EventInvalid) as caught:
        publish(hotline, corrects=named)
    assert caught.value.path == "meta.corrects"
    with pytest.raises(EventInvalid) as caught:
        hotline.publish(**retraction(named))
    assert caught.value.path == "retracts"
    parts = hotline._parts
    assert parts is not None
    assert parts.amendments.every() == []


def taken_back_at(department: Department, target: str, community: str) -> None:
    department.retract(
        target,
        event_type=TYPE,
        community=community,
        reason="entered_in_error",
        occurred_at=AT,
    )


def test_what_was_retracted_is_neither_corrected_nor_retracted_again(
    hotline: Department, settings: Settings
) -> None:
    first = publish(hotline, case_ref="R1")
    second = hotline.correct(first, TYPE, order(), **envelope(case_ref="R1")).event_id
    with hotline.batch() as batch:
        batch.publish(**retraction(first))
        # known before it is written, too
        with pytest.raises(EventInvalid, match=f"{second} was retracted before") as caught:
            batch.publish(**retraction(second))
        assert caught.value.path == "retracts"
    for named in (first, second):
        with pytest.raises(EventInvalid, match=f"{second} was retracted before") as caught:
            hotline.correct(named, TYPE, order(), **envelope(case_ref="R1"))
        assert caught.value.path == "meta.corrects"
        assert "anew under a new id" in caught.value.todo
    hotline.close(0)
    later = Department("hotline", settings=settings).open()
    with pytest.raises(EventInvalid, match="was retracted before"):
        taken_back_at(later, first, "330681001002")
    publish(later, case_ref="R1")
    later.close(0)


def test_a_retraction_that_was_undone_or_put_aside_keeps_nothing_from_being_amended(
    hotline: Department,
) -> None:
    parts = hotline._parts
    assert parts is not None
    first = publish(hotline)

    def fail() -> None:
        with hotline.batch() as batch:
            batch.publish(**retraction(first))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    refused = hotline.publish(**retraction(first))
    parts.refusals.put_aside(refused, ContractRefused("made up"))
    hotline.correct(first, TYPE, order(), **envelope())


def test_a_correction_keeps_the_transition_of_what_it_corrects(hotline: Department) -> None:
    first = publish(hotline, case_ref="R1")
    told = envelope(case_ref="R1", transition="dispatched")
    with pytest.raises(EventInvalid, match=r"says received of a case of hotline\.order") as caught:
        hotline.correct(first, TYPE, order(), **told)
    assert caught.value.path == "meta.transition"
    with hotline.batch() as batch:
        made = batch.publish(TYPE, order(), **envelope(case_ref="R2"))
        with pytest.raises(EventInvalid, match="says received"):
            batch.publish(TYPE, order(), **{**told, "case_ref": "R2", "corrects": made.event_id})
    # of an event without a case the store keeps no transition
    loose = publish(hotline)
    hotline.correct(loose, TYPE, order(), **envelope(transition="dispatched"))
