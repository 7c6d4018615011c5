"""What was refused for good is neither imported nor a step until it is sent again."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from maplebridge.errors import AccessDenied, ContractRefused, EventInvalid
from maplebridge.problems import Problem
from maplebridge.producers import Department
from maplebridge.producers.agent import Desk
from maplebridge.producers.agent.answers import Answers
from maplebridge.producers.agent.desk import Answer
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.ids import uuid7
from maplebridge.settings import Settings
from tests.producers.agents import event
from tests.producers.orders import AT, envelope, order

TYPE = "hotline.order"


@pytest.fixture
def hotline(settings: Settings) -> Department:
    """A department that is open and whose servers are all down."""
    return Department("hotline", settings=settings).open()


def test_an_event_put_aside_is_not_sent_and_one_sent_again_is(hotline: Department) -> None:
    parts = hotline._parts
    assert parts is not None
    digest = hotline.imports.digest("a row")
    with hotline.batch() as batch:
        batch.publish(TYPE, order(), **envelope(case_ref="R1"))
        dispatched = batch.publish(
            TYPE,
            order(),
            import_digest=digest,
            **envelope(
                transition="dispatched", occurred_at=AT + timedelta(minutes=1), case_ref="R1"
            ),
        )
    accepted = {
        "event_type": TYPE,
        "fields": order(),
        **envelope(transition="accepted", occurred_at=AT + timedelta(minutes=2), case_ref="R1"),
    }
    parts.refusals.put_aside(dispatched, ContractRefused("made up"))
    assert hotline.imports.find([dispatched.event_id]) == {}
    with pytest.raises(EventInvalid, match="accepted cannot follow received"):
        hotline.publish(**accepted)
    parts.refusals.retry([dispatched.seq])
    assert hotline.imports.find([dispatched.event_id]) == {dispatched.event_id: digest}
    hotline.publish(**accepted)
    hotline.close(0)


def test_nothing_is_left_of_an_event_that_was_discarded(hotline: Department) -> None:
    parts = hotline._parts
    assert parts is not None
    with hotline.batch() as batch:
        taken = batch.publish(
            TYPE, order(), import_digest=hotline.imports.digest("a row"), **envelope(case_ref="R2")
        )
    parts.refusals.put_aside(taken, AccessDenied("made up"))
    parts.refusals.discard([taken.seq])
    tables = ("spool", "spool_refused", "imported", "imported_aside")
    for table in (*tables, "lifecycle_steps", "lifecycle_aside"):
        assert parts.store.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    hotline.close(0)


def test_the_agent_tells_no_caller_that_it_was_refused_for_anothers_event(
    hotline: Department, tmp_path: Path
) -> None:
    parts = hotline._parts
    assert parts is not None
    answers = Answers(tmp_path / "agent.db")
    desk = Desk(hotline, answers)
    body = json.dumps(event()).encode()

    def take() -> Answer:
        return desk.take(TYPE, "application/json", body, key="mine", now=0.0)

    others = hotline.publish(TYPE, order(), **envelope())
    parts.refusals.put_aside(others, AccessDenied("the topic is another's"))
    with pytest.raises(Problem) as refused:
        take()
    assert refused.value.kind == "unavailable"
    assert hotline.spool.count == 0
    assert take().status == 202
    answers.close()
    hotline.close(0)


def test_what_became_of_events_before_a_restart_is_found_in_the_spool(
    hotline: Department, tmp_path: Path
) -> None:
    parts = hotline._parts
    assert parts is not None
    answers = Answers(tmp_path / "agent.db")
    desk = Desk(hotline, answers)
    waits, refused = (hotline.publish(TYPE, order(), **envelope()) for _ in range(2))
    parts.refusals.put_aside(refused, AccessDenied("made up"))
    arrived = uuid7()
    states = desk.states([waits.event_id, refused.event_id, arrived])
    assert [each["status"] for each in states.values()] == ["accepted", "refused", "acknowledged"]
    assert states[refused.event_id]["error"]["detail"] == "made up"
    assert desk.left_over([waits.event_id, refused.event_id, arrived]) == [waits.seq]
    answers.close()
    hotline.close(0)


def test_a_refusal_is_told_to_events_of_the_same_topic_alone(hotline: Department) -> None:
    parts = hotline._parts
    assert parts is not None
    control = Delivery(uuid7(), "mb.control.event.retraction", parts.sender)
    parts.refusals.put_aside(control, AccessDenied("made up"))
    taken = hotline.publish(TYPE, order(), **envelope())
    parts.refusals.put_aside(taken, AccessDenied("the topic is another's"))
    with pytest.raises(AccessDenied, match="another's"):
        hotline.publish(TYPE, order(), **envelope())
    hotline.close(0)
