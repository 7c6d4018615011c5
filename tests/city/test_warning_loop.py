"""The loop of a warning on the running city: raised, pushed, answered by a department, and read."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import psycopg
import pytest

from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.processors.rule_files import load_rules
from maplebridge.producers import Department
from maplebridge.projections.store import connect
from maplebridge.reading import make_reader
from maplebridge.rebuild import verify
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import AT, MINUTE, alert, catalogue, communities

PUSHES = catalogue().get("reaction.push").topic
RULE = load_rules()["sensor-gas"]
ANSWERED, LEFT, UNSEEN = communities()[25:28]
LEVELS = list(RULE.responsible)


@pytest.fixture
def connection(city: Profile) -> Iterator[psycopg.Connection[Any]]:
    with connect(city.settings("admin")) as made:
        yield made


def rows(city: Profile, community: str) -> list[dict[str, Any]]:
    with make_reader(city) as reader:
        found = reader.query("warnings", app="emergency-duty", purpose="safety_response")
    return [row for row in found if row["community"] == community]


def state(city: Profile, community: str) -> tuple[Any, ...]:
    found = rows(city, community)
    return (found[0]["state"], found[0]["level"], found[0]["unit"]) if found else ()


def come_due(connection: psycopg.Connection[Any], warning_id: str) -> None:
    """Let the time of a level be up, which is ten minutes and more, now."""
    connection.execute(
        "UPDATE window_climbs SET due_at = now() WHERE warning_id = %s", (warning_id,)
    )


def test_a_warning_is_answered_climbs_if_it_is_not_and_is_read_alike_after_a_rebuild(
    city: Profile, kafka: Kafka, connection: psycopg.Connection[Any], tmp_path: Path
) -> None:
    since = kafka.ends([PUSHES])
    kafka.publish(
        alert({"kind": "gas"}, community=place, occurred_at=AT + minute * MINUTE)
        for place in (ANSWERED, LEFT)
        for minute in (0, 1)
    )
    pushed = ("pushed", "community", RULE.responsible["community"])
    await_true(lambda: [state(city, place) for place in (ANSWERED, LEFT)] == [pushed] * 2)
    answered, left = (str(rows(city, place)[0]["warning_id"]) for place in (ANSWERED, LEFT))

    settings = city.settings("dept-grid").model_copy(update={"home": tmp_path})
    with Department("grid", settings=settings) as grid:

        def answer(transition: str) -> None:
            grid.publish(
                "warning.response",
                {"warning_id": answered, "level": "community", "unit": "grid-team"},
                community=ANSWERED,
                transition=transition,
                occurred_at=datetime.now(UTC),
                purpose="safety_response",
                legal_basis="statutory_duty",
                case_ref=answered,
            ).result(30)

        answer("acknowledged")
        await_true(lambda: state(city, ANSWERED)[:1] == ("acknowledged",))
        for level in LEVELS[1:]:
            come_due(connection, answered)
            come_due(connection, left)
            reached = ("pushed", level, RULE.responsible[level])
            await_true(partial(lambda now: state(city, LEFT) == now, reached))
        assert state(city, ANSWERED) == ("acknowledged", *pushed[1:])
        for step in ("verified", "false_alarm", "resolved"):
            answer(step)
        await_true(lambda: state(city, ANSWERED)[:1] == ("resolved",))

    told = [kafka.codec.decode(each[3] or b"").event for each in kafka.read(since)]
    ours = {
        name: [each for each in told if each["warning_id"] == name] for name in (answered, left)
    }
    assert [each["level"] for each in ours[answered]] == ["community"]
    assert {each["meta"]["event_id"]: each["level"] for each in ours[left]} == {
        str(uuid5(UUID(left), level)): level for level in LEVELS
    }
    with make_reader(city) as reader:
        outcomes = reader.query("warning_outcomes", app="emergency-duty", purpose="safety_response")
    (gas,) = (row for row in outcomes if row["rule"] == RULE.name)
    assert (gas["answered"], gas["verified"], gas["false_alarms"]) == (1, 0, 1)
    assert gas["false_alarm_rate"] is None

    # the relay tells them once more: nothing is counted twice, and a replay comes to the same
    for event in ours[left]:
        value = kafka.codec.encode(catalogue().get("reaction.push"), event)
        kafka.write(PUSHES, value, key=event["meta"]["event_id"].encode())
    kafka.flush()
    time.sleep(1)
    before = rows(city, ANSWERED) + rows(city, LEFT)
    assert verify(city).difference is None
    assert rows(city, ANSWERED) + rows(city, LEFT) == before


def test_levels_whose_time_was_up_while_react_was_dead_are_told_when_it_is_back(
    stack: Stack, city: Profile, kafka: Kafka, connection: psycopg.Connection[Any]
) -> None:
    """F1: each once, and dated at when it was due."""
    kafka.publish(
        alert({"kind": "gas"}, community=UNSEEN, occurred_at=AT + minute * MINUTE)
        for minute in (0, 1)
    )
    pushed = ("pushed", "community", RULE.responsible["community"])
    await_true(lambda: state(city, UNSEEN) == pushed)
    react = stack.supervisor.find("react")
    assert react is not None
    os.kill(react.pid, signal.SIGKILL)
    await_true(lambda: stack.supervisor.find("react") is None)

    (warning_id,) = (row["warning_id"] for row in rows(city, UNSEEN))
    within = timedelta(microseconds=RULE.acknowledge_within_us)
    due_at = datetime.now(UTC) - 1.5 * within
    connection.execute(
        "UPDATE window_climbs SET due_at = %s WHERE warning_id = %s", (due_at, warning_id)
    )
    up(stack, Progress())
    climbed = (
        "SELECT level, pushed_at FROM warning_pushes WHERE warning_id = %s"
        " AND level <> 'community' ORDER BY pushed_at"
    )
    expected = [("town", due_at), ("county", due_at + within)]
    await_true(lambda: connection.execute(climbed, (warning_id,)).fetchall() == expected)
