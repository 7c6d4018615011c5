"""A warning that nobody answers climbs from level to level, once each, whenever react looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid5

import psycopg
import pytest

from maplebridge.processors.climbing import Climbing
from maplebridge.processors.rule_files import load_rules
from maplebridge.processors.rules import Cause
from maplebridge.processors.windows_store import WindowStore
from maplebridge.projections.standing import Amendment
from maplebridge.projections.store import DATABASE
from maplebridge.schemas import Event
from tests.processors.lanes import Lane
from tests.processors.made_events import AT, MINUTE, communities, event_id, response, retraction

PLACE = (communities()[0], "gas")
RULES = load_rules()
RULE = RULES["urgent-orders"]
WITHIN = RULE.acknowledge_within_us
LEVELS = ["community", "town", "county", "city"]
NOW = AT + 60 * MINUTE
Done = TypeVar("Done")


def with_react(
    lane: Lane, work: Callable[[WindowStore, Climbing], Coroutine[Any, Any, Done]]
) -> Done:
    settings = lane.kafka.profile.settings("react")

    async def connect() -> psycopg.AsyncConnection[Any]:
        return await psycopg.AsyncConnection.connect(
            settings.postgres_dsn(DATABASE),
            password=settings.secret.get_secret_value(),
            options=f"-c search_path={lane.schema} -c timezone=UTC",
            autocommit=True,
        )

    async def run() -> Done:
        async with await connect() as windows, await connect() as climbs:
            codec = lane.kafka.codec
            return await work(WindowStore(windows, codec, RULES), Climbing(climbs, codec, RULES))

    return asyncio.run(run())


def causes(*minutes: int) -> list[Cause]:
    return [
        Cause(AT + minute * MINUTE, event_id(minute), f"n{minute}", "hotline") for minute in minutes
    ]


def raise_warning(lane: Lane, *minutes: int) -> None:
    async def work(store: WindowStore, _: Climbing) -> int:
        return await store.add({RULE.name: {PLACE: causes(*minutes)}})

    with_react(lane, work)


def climb(lane: Lane, *moments: int) -> list[int]:
    """Look at each of these moments; return how many pushes each led to."""

    async def work(_: WindowStore, climbing: Climbing) -> list[int]:
        return [await climbing.climb(moment) for moment in moments]

    return with_react(lane, work)


def answered(lane: Lane, *events: Event) -> None:
    """Let combine take in what units answer."""
    lane.kafka.publish(events)
    lane.combine()


def pushes(lane: Lane) -> list[Event]:
    """Return what was pushed so far, in its order."""
    rows = lane.rows("SELECT value FROM outbox WHERE topic = 'mb.react.reaction.push' ORDER BY id")
    return [lane.kafka.codec.decode(bytes(row[0])).event for row in rows]


def told(lane: Lane) -> list[tuple[str, int]]:
    return [(each["level"], each["meta"]["occurred_at"]) for each in pushes(lane)]


def warning_id(*minutes: int) -> str:
    (window,) = RULE.windows(causes(*minutes))
    return RULE.warning_id(PLACE, window)


def test_a_warning_is_pushed_to_the_unit_of_the_community_as_soon_as_it_is_raised(
    lane: Lane,
) -> None:
    raise_warning(lane, 0, 1, 2)
    assert climb(lane, NOW, NOW, NOW + WITHIN - 1) == [1, 0, 0]
    (pushed,) = pushes(lane)
    assert pushed["warning_id"] == warning_id(0, 1, 2)
    assert (pushed["level"], pushed["unit"]) == ("community", RULE.responsible["community"])
    assert pushed["answer_by"] == NOW + WITHIN
    assert (pushed["severity"], pushed["rule"], pushed["category"]) == ("blue", RULE.name, "gas")
    assert pushed["meta"]["transition"] == "pushed"
    assert pushed["meta"]["community"] == PLACE[0]


def test_it_climbs_a_level_whenever_its_time_is_up_and_stops_at_the_city(lane: Lane) -> None:
    raise_warning(lane, 0, 1, 2)
    moments = [NOW + step * WITHIN for step in range(6)]
    assert climb(lane, *moments) == [1, 1, 1, 1, 0, 0]
    assert told(lane) == list(zip(LEVELS, moments, strict=False))
    assert [each["unit"] for each in pushes(lane)] == list(RULE.responsible.values())
    assert [each["meta"]["transition"] for each in pushes(lane)] == ["pushed", *["climbed"] * 3]
    assert [each["answer_by"] for each in pushes(lane)] == [*moments[1:4], None]
    assert [each["meta"]["event_id"] for each in pushes(lane)] == [
        str(uuid5(UUID(warning_id(0, 1, 2)), level)) for level in LEVELS
    ]
    # nothing waits any more, so nothing is looked at
    assert lane.rows("SELECT count(*) FROM window_climbs WHERE waiting") == [(0,)]


@pytest.mark.parametrize("steps", [[0, 9], [0, 1, 9], [0, 1, 2, 3, 9]])
def test_a_stop_misses_no_climb_and_changes_no_time(lane: Lane, steps: Sequence[int]) -> None:
    """Each look is by another run of react: what came due meanwhile is told when it is back."""
    raise_warning(lane, 0, 1, 2)
    for step in steps:
        climb(lane, NOW + step * WITHIN)
    assert told(lane) == [(level, NOW + at * WITHIN) for at, level in enumerate(LEVELS)]


def test_several_that_look_at_one_time_push_once(lane: Lane) -> None:
    raise_warning(lane, 0, 1, 2)

    async def one() -> None:
        await asyncio.to_thread(climb, lane, NOW, NOW + WITHIN)

    async def all_at_once() -> None:
        await asyncio.gather(*(one() for _ in range(4)))

    asyncio.run(all_at_once())
    climb(lane, NOW + WITHIN)
    assert [level for level, _ in told(lane)] == ["community", "town"]


@pytest.mark.parametrize("step", ["acknowledged", "verified", "false_alarm"])
def test_a_warning_that_was_answered_meanwhile_does_not_climb(lane: Lane, step: str) -> None:
    raise_warning(lane, 0, 1, 2)
    climb(lane, NOW)
    answered(lane, response(warning_id(0, 1, 2), step, community=PLACE[0]))
    assert climb(lane, *(NOW + later * WITHIN for later in (1, 2, 9))) == [0, 0, 0]


def test_it_goes_on_climbing_if_the_acknowledgement_is_taken_back(lane: Lane) -> None:
    raise_warning(lane, 0, 1, 2)
    climb(lane, NOW)
    answer = response(warning_id(0, 1, 2), "acknowledged", community=PLACE[0])
    answered(lane, answer)
    assert climb(lane, NOW + WITHIN) == [0]
    answered(lane, retraction(answer))
    assert climb(lane, NOW + 2 * WITHIN - 1, NOW + 2 * WITHIN) == [0, 1]
    assert told(lane)[-1] == ("town", NOW + 2 * WITHIN)


def test_an_answer_to_another_warning_holds_nothing_up(lane: Lane) -> None:
    raise_warning(lane, 0, 1, 2)
    climb(lane, NOW)
    answered(lane, response(event_id(99), "acknowledged", community=PLACE[0]))
    assert climb(lane, NOW + WITHIN) == [1]


def test_a_withdrawn_warning_does_not_climb_and_the_one_in_its_place_begins_anew(
    lane: Lane,
) -> None:
    raise_warning(lane, 10, 11, 12)
    climb(lane, NOW)
    raise_warning(lane, 5)
    assert climb(lane, NOW + WITHIN) == [1]
    assert [each["warning_id"] for each in pushes(lane)] == [
        warning_id(10, 11, 12),
        warning_id(5, 10, 11, 12),
    ]
    assert told(lane)[-1] == ("community", NOW + WITHIN)


def test_a_warning_that_comes_back_goes_on_from_the_level_it_had(lane: Lane) -> None:
    raise_warning(lane, 0, 1, 2)
    climb(lane, NOW, NOW + WITHIN)

    async def take_back(store: WindowStore, _: Climbing) -> int:
        gone = causes(1)[0]
        back = Amendment(gone.event_id, event_id(900), "hotline", "hotline.order", "x")
        return await store.add({}, [back])

    with_react(lane, take_back)
    assert climb(lane, NOW + 5 * WITHIN) == [0]
    raise_warning(lane, 3)
    assert climb(lane, NOW + 5 * WITHIN) == [2]
    assert [level for level, _ in told(lane)] == LEVELS


def test_a_warning_that_grows_is_pushed_no_second_time(lane: Lane) -> None:
    raise_warning(lane, 0, 1, 2)
    climb(lane, NOW)
    raise_warning(lane, 3)
    assert climb(lane, NOW + 1, NOW + WITHIN) == [0, 1]
    assert [level for level, _ in told(lane)] == ["community", "town"]
