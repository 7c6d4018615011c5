"""What is kept and told of windows comes to the same however the orders arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import psycopg
import pytest

from maplebridge.processors.rule_files import load_rules
from maplebridge.processors.rules import Cause
from maplebridge.processors.windows_store import WindowStore
from maplebridge.projections.folds import fold_all
from maplebridge.projections.standing import Amendment
from maplebridge.projections.store import DATABASE
from maplebridge.schemas import Event
from maplebridge.schemas.case_rules import load_case_rules
from tests.processors.lanes import Lane
from tests.processors.made_events import AT, MINUTE, catalogue, communities, event_id

PLACE = (communities()[0], "gas")
RULES = load_rules()
RULE = RULES["urgent-orders"]
Told = list[Event]
Done = TypeVar("Done")


def made(*minutes: int) -> list[Cause]:
    return [
        Cause(AT + minute * MINUTE, event_id(number), f"n{number}", "hotline")
        for number, minute in enumerate(minutes)
    ]


def with_store(lane: Lane, work: Callable[[WindowStore], Coroutine[Any, Any, Done]]) -> Done:
    settings = lane.kafka.profile.settings("react")

    async def run() -> Done:
        connection = await psycopg.AsyncConnection.connect(
            settings.postgres_dsn(DATABASE),
            password=settings.secret.get_secret_value(),
            options=f"-c search_path={lane.schema} -c timezone=UTC",
            autocommit=True,
        )
        async with connection:
            return await work(WindowStore(connection, lane.kafka.codec, RULES))

    return asyncio.run(run())


def add(lane: Lane, batches: Sequence[Sequence[Cause]]) -> int:
    async def work(store: WindowStore) -> int:
        return sum([await store.add({RULE.name: {PLACE: batch}}) for batch in batches])

    return with_store(lane, work)


def taken_back(order: Cause, number: int, department: str = "hotline") -> Amendment:
    amending_id = event_id(900 + number)
    return Amendment(order.event_id, amending_id, department, "hotline.order", "event.retraction")


def told(lane: Lane) -> Told:
    """Return every statement so far, in its order."""
    rows = lane.rows("SELECT value FROM outbox ORDER BY id")
    return [lane.kafka.codec.decode(bytes(row[0])).event for row in rows]


def standing(lane: Lane) -> set[tuple[str, int, int, int]]:
    """Return the warnings that hold for one who folded all that was told."""
    contract = catalogue().get("reaction.warning")
    change = fold_all(((contract, event) for event in told(lane)), load_case_rules())
    return {
        (each.warning_id, each.window_from, each.window_to, each.events)
        for each in change.warnings.values()
        if not each.withdrawn
    }


def expected(orders: Sequence[Cause]) -> set[tuple[str, int, int, int]]:
    return {
        (RULE.warning_id(PLACE, each), each.window_from, each.window_to, each.events)
        for each in RULE.windows(orders)
    }


@pytest.mark.parametrize("seed", range(12))
def test_any_arrival_in_any_batches_comes_to_what_the_whole_set_says(lane: Lane, seed: int) -> None:
    """F5: late, repeated and out of order; withdrawn windows are taken back."""
    random = Random(seed)
    orders = made(*(random.randrange(0, 240) for _ in range(random.randrange(4, 24))))
    arriving = orders + random.choices(orders, k=5)
    random.shuffle(arriving)
    batches: list[list[Cause]] = []
    while arriving:
        size = random.randrange(1, 6)
        batches.append(arriving[:size])
        arriving = arriving[size:]
    add(lane, batches)
    assert standing(lane) == expected(orders)
    said = len(told(lane))
    assert add(lane, batches) == 0
    assert len(told(lane)) == said


def test_a_late_earlier_order_takes_the_old_warning_back_and_raises_the_new(lane: Lane) -> None:
    early, *orders = made(0, 10, 20, 30)
    assert add(lane, [orders]) == 1
    assert add(lane, [[early]]) == 2
    assert [each["meta"]["transition"] for each in told(lane)] == ["raised", "withdrawn", "raised"]
    old, gone, new = told(lane)
    assert old["warning_id"] == gone["warning_id"] != new["warning_id"]
    assert old["revision"] < gone["revision"] < new["revision"]
    assert standing(lane) == expected([early, *orders])


def test_an_order_of_another_department_takes_no_id_away(lane: Lane) -> None:
    """T4: whoever comes first."""
    orders = made(100, 110, 120)
    foe = Cause(orders[1].occurred_at, orders[1].event_id, "other", "grid")
    add(lane, [[foe], orders])
    assert standing(lane) == expected([foe, *orders])

    async def take_back(store: WindowStore) -> int:
        return await store.add({}, [taken_back(foe, 1, "grid")])

    assert with_store(lane, take_back) == 1
    assert standing(lane) == expected(orders)


def test_an_order_told_again_with_an_earlier_stamp_moves(lane: Lane) -> None:
    """Its first stamp holds, whichever comes first."""
    orders = made(100, 110, 120)
    again = Cause(AT, event_id(99), "n2", "hotline")
    add(lane, [orders, [again]])
    assert standing(lane) == set() == expected([*orders[:2], again])
    assert add(lane, [orders]) == 0


@pytest.mark.parametrize("seed", range(12))
def test_orders_taken_back_leave_their_windows_in_whatever_order_it_is_told(
    lane: Lane, seed: int
) -> None:
    """F5: the retraction before the order too; a number received twice falls to the second."""
    random = Random(seed)
    orders = made(*(random.randrange(0, 120) for _ in range(random.randrange(6, 16))))
    again = [
        Cause(each.occurred_at + MINUTE, event_id(500 + at), each.number, "hotline")
        for at, each in enumerate(random.sample(orders, 3))
    ]
    gone = random.sample([*orders, *again], 5)
    arriving: list[Cause | Amendment] = [*orders, *again]
    arriving += [taken_back(each, at) for at, each in enumerate(gone)]
    arriving += [taken_back(orders[0], 50, "grid")]
    arriving += random.choices(arriving, k=4)
    random.shuffle(arriving)

    async def work(store: WindowStore) -> None:
        left = arriving
        while left:
            size = random.randrange(1, 6)
            batch, left = left[:size], left[size:]
            some = [each for each in batch if isinstance(each, Cause)]
            await store.add(
                {RULE.name: {PLACE: some}} if some else {},
                [each for each in batch if isinstance(each, Amendment)],
            )

    with_store(lane, work)
    standing_by_number: dict[str, Cause] = {}
    for each in sorted({*orders, *again} - set(gone)):
        standing_by_number.setdefault(each.number, each)
    assert standing(lane) == expected(list(standing_by_number.values()))


def test_statements_have_ids_of_their_own(lane: Lane) -> None:
    add(lane, [[each] for each in made(10, 20, 30, 0, 40)])
    ids = [each["meta"]["event_id"] for each in told(lane)]
    assert len(set(ids)) == len(ids) > 2


def test_places_do_not_meet(lane: Lane) -> None:
    one, two, three = made(0, 1, 2)

    async def work(store: WindowStore) -> int:
        return await store.add({RULE.name: {PLACE: [one, two], (communities()[1], "gas"): [three]}})

    assert with_store(lane, work) == 0
    assert told(lane) == []


def test_rules_do_not_meet_and_an_amendment_reaches_its_own_type_alone(lane: Lane) -> None:
    """T4: one id in two departments' types; what takes the alert back leaves the order."""
    sensors = RULES["sensor-gas"]
    orders = made(0, 1, 2)
    alerts = [replace(each, number=each.event_id) for each in orders[:2]]
    gone = taken_back(alerts[0], 1)._replace(event_type="sensor.alert")

    async def work(store: WindowStore) -> int:
        told = await store.add({RULE.name: {PLACE: orders}, sensors.name: {PLACE: alerts}})
        return told + await store.add({}, [gone])

    assert with_store(lane, work) == 3
    said = [(each["rule"], each["meta"]["transition"], each["severity"]) for each in told(lane)]
    assert sorted(said) == [
        ("sensor-gas", "raised", "yellow"),
        ("sensor-gas", "withdrawn", "blue"),
        ("urgent-orders", "raised", "blue"),
    ]
    assert standing(lane) == expected(orders)
