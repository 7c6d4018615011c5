"""How a warning stands in its loop, whatever came first, came twice or was taken back."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.queries import Row, read_model
from maplebridge.projections.store import (
    REBUILT,
    Accepted,
    ProjectionStore,
    Span,
    connect,
    state_hash,
)
from maplebridge.projections.warnings import (
    Answer,
    Pushed,
    WarningStanding,
    false_alarm_rate,
    warning_standing,
)
from maplebridge.schemas import Event
from maplebridge.settings import Profile
from maplebridge.wiring import open_stores
from tests.processors.made_events import (
    AT,
    MINUTE,
    OTHER_TOWN,
    catalogue,
    communities,
    corrected,
    event_id,
    push,
    response,
    retraction,
    warning,
)

TOPIC = "mb.dept.emergency.warning.response"
PLACE = communities(OTHER_TOWN)[0]
PUSHES = [
    Pushed("community", "c", AT, AT + 10 * MINUTE),
    Pushed("town", "t", AT + 10 * MINUTE, AT + 20 * MINUTE),
]


def answer(transition: str, minute: int, number: int = 0) -> Answer:
    number = number or minute
    return Answer(transition, AT + minute * MINUTE, event_id(number), "emergency")


ANSWERS = [
    answer("acknowledged", 12),
    answer("acknowledged", 14),
    answer("verified", 16),
    answer("false_alarm", 18),
    answer("resolved", 30),
]


def standing(*answers: Answer) -> WarningStanding:
    return warning_standing(PUSHES, answers, withdrawn=False)


@given(st.permutations(PUSHES), st.lists(st.sampled_from(ANSWERS)), st.booleans())
def test_the_order_and_the_number_of_tellings_do_not_matter(
    pushes: list[Pushed], told: list[Answer], withdrawn: bool
) -> None:
    once = warning_standing(PUSHES, sorted(set(told), key=str), withdrawn=withdrawn)
    assert warning_standing(pushes, told, withdrawn=withdrawn) == once


def test_a_warning_goes_round_its_loop() -> None:
    assert warning_standing([], [], withdrawn=False) == WarningStanding("raised")
    states = [standing(*ANSWERS[:number]).state for number in range(len(ANSWERS) + 1)]
    assert states == [
        "pushed", "acknowledged", "acknowledged", "verified", "false_alarm", "resolved",
    ]  # fmt: skip
    assert warning_standing(PUSHES, ANSWERS, withdrawn=True).state == "withdrawn"


def test_the_last_push_says_who_answers_for_it_and_the_last_finding_holds() -> None:
    found = standing(*ANSWERS)
    assert (found.level, found.unit, found.answer_by) == ("town", "t", AT + 20 * MINUTE)
    assert found.acknowledged_at == AT + 12 * MINUTE
    assert found.verified_at == AT + 18 * MINUTE
    assert found.resolved_at == AT + 30 * MINUTE


def test_who_verifies_has_taken_it_on() -> None:
    assert standing(answer("verified", 16)).acknowledged_at == AT + 16 * MINUTE


def test_of_two_findings_at_one_instant_the_greater_id_holds() -> None:
    both = [answer("verified", 16, 1), answer("false_alarm", 16, 2)]
    assert standing(*both).state == standing(*reversed(both)).state == "false_alarm"


def test_a_rate_of_fewer_than_ten_is_none() -> None:
    assert false_alarm_rate(verified=0, false_alarms=0) is None
    assert false_alarm_rate(verified=6, false_alarms=3) is None
    assert false_alarm_rate(verified=7, false_alarms=3) == 0.3
    assert false_alarm_rate(verified=10, false_alarms=0) == 0.0


@pytest.fixture(scope="module")
def stores(provisioned: Profile) -> Iterator[tuple[ProjectionStore, psycopg.Connection[Any]]]:
    schema = f"t_{secrets.token_hex(4)}"
    with connect(provisioned.settings("admin"), schema="public") as owner:
        migrate(owner, schema=schema)
        opened = open_stores(provisioned.settings("combine"), schema=schema, with_outbox=False)
        with connect(provisioned.settings("admin"), schema=schema) as admin:
            yield opened[0], admin
        for each in opened:
            each.connection.close()
        drop(owner, schema=schema)


def write(store: ProjectionStore, batches: Sequence[Sequence[Event]]) -> None:
    at, epoch = store.claim(TOPIC, 0)
    for batch in batches:
        accepted = [
            Accepted(TOPIC, 0, catalogue().get(each["meta"]["event_type"]), each, b"k", b"v", 0)
            for each in batch
        ]
        store.write([Span(TOPIC, 0, epoch, at, at + len(batch))], accepted, [])
        at += len(batch)


def read(admin: psycopg.Connection[Any], model: str) -> list[Row]:
    as_of = datetime(2026, 3, 3, tzinfo=UTC)
    return read_model(admin, catalogue(), model, prefix=PLACE[:6], as_of=as_of)


def looped() -> list[Event]:
    """Events of five warnings: answered, climbed, found false, taken back and corrected."""
    names = [event_id(100 + number) for number in range(5)]

    def told(name: str, step: str, minute: int, number: int, **changes: Any) -> Event:
        common = {"event_id": event_id(number), "community": PLACE}
        return response(name, step, occurred_at=AT + minute * MINUTE, **common, **changes)

    events: list[Event] = []
    for number, name in enumerate(names):
        common = {"community": PLACE}
        events.append(warning(name, number + 1, event_id=event_id(200 + number), **common))
        for step, level in enumerate(("community", "town")[: 1 + number % 2]):
            at = AT + step * 30 * MINUTE
            made = push(name, level, event_id=event_id(300 + 10 * number + step), occurred_at=at,
                        **common)  # fmt: skip
            events.append(made)
    gone = told(names[2], "acknowledged", 3, 21)
    wrong = told(names[3], "verified", 9, 31)
    right = corrected(wrong, event_id=event_id(32), transition="false_alarm")
    return [
        *events,
        told(names[0], "acknowledged", 1, 1, case_ref=names[0]),
        # entered twice
        told(names[0], "acknowledged", 2, 2, case_ref=names[0]),
        told(names[0], "verified", 4, 3, case_ref=names[0]),
        told(names[0], "resolved", 8, 4, case_ref=names[0]),
        told(names[1], "acknowledged", 45, 11, department="grid"),
        gone,
        retraction(gone, event_id=event_id(22)),
        # another department's takes nothing back
        retraction(right, event_id=event_id(23), department="grid"),
        wrong,
        right,
    ]


@pytest.mark.parametrize("seed", range(12))
def test_any_arrival_in_any_batches_comes_to_the_same_loop(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]], seed: int
) -> None:
    """F5: out of order, duplicated and late; an answer that is taken back is none."""
    store, admin = stores
    random = Random(seed)
    events = looped()
    arriving = [*events, *random.sample(events, len(events) // 2)]
    random.shuffle(arriving)
    batches, left = [], arriving
    while left:
        size = random.randrange(1, 6)
        batches.append(left[:size])
        left = left[size:]
    admin.execute(f"TRUNCATE {', '.join(REBUILT)}")
    write(store, batches)
    told = {
        str(row["warning_id"])[-3:]: (row["state"], row["level"], row["unit"])
        for row in read(admin, "warnings")
    }
    assert told == {
        event_id(100)[-3:]: ("resolved", "community", "unit-of-community"),
        event_id(101)[-3:]: ("acknowledged", "town", "unit-of-town"),
        event_id(102)[-3:]: ("pushed", "community", "unit-of-community"),
        event_id(103)[-3:]: ("false_alarm", "town", "unit-of-town"),
        event_id(104)[-3:]: ("pushed", "community", "unit-of-community"),
    }
    assert read(admin, "warning_outcomes") == [
        {
            "rule": "urgent-orders",
            "warnings": 5,
            "answered": 3,
            "verified": 1,
            "false_alarms": 1,
            "false_alarm_rate": None,
        }
    ]
    hashed = state_hash(admin)
    admin.execute(f"TRUNCATE {', '.join(REBUILT)}")
    write(store, [events])
    assert state_hash(admin) == hashed


def test_of_ten_and_more_that_were_looked_at_the_share_of_false_alarms_is_told(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    """A withdrawn warning and one of another region count for nothing."""
    store, admin = stores
    names = [event_id(1000 + number) for number in range(14)]
    events = [
        warning(name, 1, event_id=event_id(2000 + number), community=PLACE)
        for number, name in enumerate(names)
    ]
    events.append(
        warning(names[12], 2, event_id=event_id(3000), community=PLACE, transition="withdrawn")
    )
    events += [
        response(
            name,
            "false_alarm" if number < 4 or number == 12 else "verified",
            event_id=event_id(4000 + number),
            community=PLACE,
        )
        for number, name in enumerate(names[:13])
    ]
    admin.execute(f"TRUNCATE {', '.join(REBUILT)}")
    write(store, [events])
    (row,) = read(admin, "warning_outcomes")
    assert (row["warnings"], row["answered"], row["verified"]) == (13, 12, 8)
    assert (row["false_alarms"], row["false_alarm_rate"]) == (4, 4 / 12)
    as_of = datetime(2026, 3, 3, tzinfo=UTC)
    assert read_model(admin, catalogue(), "warning_outcomes", prefix="110", as_of=as_of) == []
