"""From a department's spool to the projections, through outages and kills."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import resource
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from maplebridge.errors import KafkaUnavailable
from maplebridge.localstack import Stack
from maplebridge.producers import Department
from maplebridge.settings import Profile, Settings
from tests.processors.lanes import Lane
from tests.producers.orders import envelope, order

TYPE = "hotline.order"
STEPS = ("received", "dispatched", "replied", "closed")
AT = datetime(2025, 3, 3, tzinfo=UTC)
KILLS = 20


@contextmanager
def kafka_stopped(stack: Stack) -> Iterator[None]:
    stack.supervisor.stop_service("kafka")
    before = stack.profile.kafka_bootstrap
    try:
        yield
    finally:
        after = stack.up().kafka_bootstrap
        assert after == before, "another program took Kafka's port while it was down"


def settings_of(profile: Profile, home: Path) -> Settings:
    return profile.settings("dept-hotline").model_copy(update={"home": home})


def told(run: str, number: int) -> dict[str, Any]:
    """Return the arguments of the publishing of one event; four make a case."""
    step = number % len(STEPS)
    return {
        "event_type": TYPE,
        "fields": order(order_no=f"{run}-{number}"),
        **envelope(
            transition=STEPS[step],
            case_ref=f"{run}/{number // len(STEPS)}",
            occurred_at=AT + timedelta(seconds=number),
        ),
    }


def publish_many(department: Department, run: str, first: int, count: int) -> list[str]:
    """Publish in batches of 500; return the events' ids."""
    ids: list[str] = []
    for at in range(first, first + count, 500):
        events = [told(run, number) for number in range(at, min(at + 500, first + count))]
        ids += [each.event_id for each in department.publish_many(events)]
    return ids


def combined(lane: Lane, run: str) -> list[str]:
    """Return the run's events; a city that runs beside them may warn of its orders."""
    found = lane.rows("SELECT event_id::text FROM events WHERE starts_with(case_ref, %s)", run)
    return [event_id for (event_id,) in found]


def check_order(lane: Lane, run: str) -> None:
    """Check that each case's events lie in Kafka in the order of their times."""
    codec = lane.kafka.codec
    times: dict[bytes, list[int]] = defaultdict(list)
    ids: set[str] = set()
    for _, _, key, value, _ in sorted(lane.kafka.read(lane.since), key=lambda kept: kept[:2]):
        meta = codec.decode(value or b"").event["meta"]
        if (meta["case_ref"] or "").startswith(run) and meta["event_id"] not in ids:
            ids.add(meta["event_id"])
            times[key or b""].append(meta["occurred_at"])
    assert times
    assert all(each == sorted(each) for each in times.values())


@dataclass(frozen=True)
class Drained:
    """How long an outage's events took, in seconds, and what memory, in bytes."""

    spooling_s: float
    draining_s: float
    combining_s: float
    peak_before: int
    peak_after: int


def outage(stack: Stack, profile: Profile, lane: Lane, home: Path, events: int) -> Drained:
    run = f"outage-{time.time_ns()}"
    with Department("hotline", settings=settings_of(profile, home)) as hotline:
        before = publish_many(hotline, run, 0, 1_000)
        with kafka_stopped(stack):
            peak_before, began = peak_memory(), time.monotonic()
            ids = before + publish_many(hotline, run, 1_000, events)
            spooled = time.monotonic()
            with pytest.raises(KafkaUnavailable, match="events wait in the spool"):
                hotline.flush(2)
        back = time.monotonic()
        hotline.flush(30)
        drained, peak_after = time.monotonic(), peak_memory()
        assert hotline.waiting == 0
    combining = time.monotonic()
    written = lane.combine()
    combining_s = time.monotonic() - combining
    assert len(ids) == events + 1_000
    assert written.dead_lettered == 0
    assert sorted(combined(lane, run)) == sorted(ids)
    check_order(lane, run)
    return Drained(spooled - began, drained - back, combining_s, peak_before, peak_after)


def peak_memory() -> int:
    """Return the peak resident size of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_ten_thousand_events_of_an_outage_are_drained_in_order_none_lost_none_twice(
    stack: Stack, provisioned: Profile, lane: Lane, tmp_path: Path
) -> None:
    """F3, F5."""
    outage(stack, provisioned, lane, tmp_path, 10_000)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_events_of_an_outage_are_drained_none_lost_none_twice(
    stack: Stack, provisioned: Profile, lane: Lane, tmp_path: Path
) -> None:
    """F3, F5; prints the figures of docs/performance.md."""
    events = 100_000
    took = outage(stack, provisioned, lane, tmp_path, events)
    for name, seconds in (
        ("spooled", took.spooling_s),
        ("drained", took.draining_s),
        ("combined", took.combining_s),
    ):
        print(f"{events:,} events {name} in {seconds:.1f} s, {events / seconds:,.0f} a second")
    grown = (took.peak_after - took.peak_before) / 1e6
    print(f"peak memory {took.peak_after / 1e6:.0f} MB, {grown:.0f} MB of it for the outage")


def test_what_waits_goes_out_with_the_next_publisher_after_the_outage(
    stack: Stack, provisioned: Profile, lane: Lane, tmp_path: Path
) -> None:
    run = f"later-{time.time_ns()}"
    settings = settings_of(provisioned, tmp_path)
    with kafka_stopped(stack):
        hotline = Department("hotline", settings=settings).open()
        ids = publish_many(hotline, run, 0, 3_000)
        hotline.close(0)
    with Department("hotline", settings=settings) as hotline:
        ids += publish_many(hotline, run, 3_000, 1_000)
    lane.combine()
    assert len(ids) == 4_000
    assert sorted(combined(lane, run)) == sorted(ids)
    check_order(lane, run)


def publish_without_end(settings: Settings, run: str, first: int, sender: Connection) -> None:
    """Publish until killed, and tell the id of each event that was taken."""
    with Department("hotline", settings=settings) as hotline:
        number = first
        while True:
            if number % 3:
                taken = [hotline.publish(**told(run, number))]
            else:
                taken = hotline.publish_many([told(run, number)])
            sender.send(taken[0].event_id)
            number += 1


def until_killed(receiver: Connection) -> Iterator[str]:
    """Yield the ids of a publisher until its end, which may come in the midst of one."""
    with suppress(EOFError, OSError):
        while True:
            yield receiver.recv()


def test_whatever_publish_returned_for_outlives_a_kill_at_any_moment(
    provisioned: Profile, lane: Lane, tmp_path: Path
) -> None:
    """F1: SIGKILL of the publisher; what was taken is combined, and once."""
    run = f"killed-{time.time_ns()}"
    chance = random.Random(20261122)
    settings = settings_of(provisioned, tmp_path)
    taken: list[str] = []
    # each publisher is a fork of one process that has imported everything
    publishers = multiprocessing.get_context("forkserver")
    publishers.set_forkserver_preload([__name__])
    for kill in range(KILLS):
        receiver, sender = publishers.Pipe(duplex=False)
        process = publishers.Process(
            target=publish_without_end, args=(settings, run, kill * 1_000_000, sender)
        )
        process.start()
        sender.close()
        ids = until_killed(receiver)
        taken.append(next(ids))
        killer = threading.Timer(chance.uniform(0, 0.4), process.kill)
        killer.start()
        taken += ids
        process.join()
        receiver.close()
        killer.join()
    with Department("hotline", settings=settings) as hotline:
        hotline.flush(30)
    lane.combine()
    arrived = combined(lane, run)
    assert set(taken) <= set(arrived)
    assert len(arrived) == len(set(arrived))
    # at most one event of each process was taken before its id could be told
    assert len(arrived) - len(set(taken)) <= KILLS
    check_order(lane, run)


def test_events_published_beside_an_event_loop_arrive_and_are_awaited(
    provisioned: Profile, lane: Lane, tmp_path: Path
) -> None:
    run = f"async-{time.time_ns()}"

    async def publish() -> list[str]:
        async with Department("hotline", settings=settings_of(provisioned, tmp_path)) as hotline:
            deliveries = [await hotline.publish_async(**told(run, number)) for number in range(40)]
            others = await asyncio.gather(
                *(hotline.publish_async(**told(run, 1_000 + 4 * number)) for number in range(40))
            )
            receipts = await asyncio.gather(*deliveries, *others)
            assert all(receipt.offset >= 0 for receipt in receipts)
            assert (await deliveries[0]).topic == "mb.dept.hotline.hotline.order"
            return [each.event_id for each in (*deliveries, *others)]

    ids = asyncio.run(publish())
    lane.combine()
    assert len(ids) == 80
    assert sorted(combined(lane, run)) == sorted(ids)
