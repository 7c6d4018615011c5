"""What a department is told of an entry that was there already."""

from __future__ import annotations

import secrets

import pytest

from maplebridge.errors import AccessDenied
from maplebridge.producers import read_answers
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import AT, MINUTE, order, retraction


def test_a_department_is_answered_with_the_entry_that_was_there_already(
    city: Profile, kafka: Kafka
) -> None:
    """It reads the answer from Kafka with its own password, and nobody but the bus writes one."""
    case = f"ANSWER-{secrets.token_hex(4)}"
    first, second = order(case_ref=case), order(case_ref=case, occurred_at=AT + MINUTE)
    settings = city.settings("dept-hotline")

    def answered() -> bool:
        held = {each.event_id: each.repeats for each in read_answers("hotline", settings)}
        return held.get(second["meta"]["event_id"], "") == expected

    expected: str | None = first["meta"]["event_id"]
    kafka.publish([first, second])
    await_true(answered)
    expected = None
    kafka.publish([retraction(first)])
    await_true(answered)
    assert second["meta"]["event_id"] not in {
        each.event_id for each in read_answers("grid", city.settings("dept-grid"))
    }
    with pytest.raises(AccessDenied, match="app-town-mediation read"):
        read_answers("hotline", city.settings("app-town-mediation"))
