"""The bulk lane is exact whatever happens to its workers."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from random import Random

import pytest

from maplebridge.access_policy.acl import ANSWERS_TOPIC
from maplebridge.errors import RegistryUnavailable, StoreUnavailable
from maplebridge.projections.store import Place, Written
from maplebridge.wiring import make_combine
from tests.processors.lanes import Kafka, Lane, await_true
from tests.processors.made_events import corpus, corrected, retraction

WORKER = Path(__file__).with_name("combine_worker.py")
KILLS = 10
BATCH = 40
Start = Callable[[Lane, Mapping[Place, int]], "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start workers as processes; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def make(lane: Lane, ends: Mapping[Place, int]) -> subprocess.Popen[str]:
        worker = subprocess.Popen(
            [
                sys.executable,
                str(WORKER),
                str(lane.kafka.profile.home),
                lane.schema,
                lane.consumer,
                str(BATCH),
                json.dumps([[*place, end] for place, end in ends.items()]),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(worker)
        return worker

    yield make
    for worker in started:
        worker.kill()
        worker.communicate()


def await_batches(worker: subprocess.Popen[str], count: int) -> None:
    assert worker.stdout is not None
    for _ in range(count):
        assert worker.stdout.readline().strip().isdigit()


def assert_same(lane: Lane, clean: Lane) -> None:
    tallies = "SELECT * FROM community_hour_tallies ORDER BY 1, 2, 3, 4, 5, 6"
    outbox = "SELECT topic, key, value FROM outbox WHERE topic <> %s ORDER BY 1, 2, 3"
    assert lane.rows(tallies) == clean.rows(tallies)
    assert lane.rows(outbox, ANSWERS_TOPIC) == clean.rows(outbox, ANSWERS_TOPIC)
    assert lane.answers() == clean.answers()
    assert lane.hash() == clean.hash()


def test_a_worker_killed_ten_times_leaves_what_a_clean_run_leaves(
    kafka: Kafka, lanes: Callable[..., Lane], start: Start
) -> None:
    """F1: SIGKILL at random points of the run, seeded."""
    random = Random(20260302)
    lane = lanes()
    clean = lanes(lane.since)
    kafka.publish(corpus(4000, seed=11, live_ids=True))
    ends = lane.ends()
    for _ in range(KILLS):
        worker = start(lane, ends)
        await_batches(worker, random.randrange(1, 8))
        time.sleep(random.random() * 0.02)
        worker.kill()
        assert worker.wait() == -signal.SIGKILL
    left = sum(ends.values()) - lane.rows("SELECT sum(next_offset) FROM offsets")[0][0]
    assert left > 0
    assert start(lane, ends).wait(60) == 0
    assert clean.combine(ends).combined == 4000
    assert_same(lane, clean)


def test_a_paused_worker_whose_partitions_moved_writes_nothing(
    kafka: Kafka, lanes: Callable[..., Lane], start: Start
) -> None:
    """T15, F2: stopped in mid-run, overtaken, and let go again."""
    lane = lanes()
    clean = lanes(lane.since)
    kafka.publish(corpus(1500, seed=12, live_ids=True))
    ends = lane.ends()
    worker = start(lane, ends)
    await_batches(worker, 3)
    worker.send_signal(signal.SIGSTOP)
    taken_over = lane.combine(ends).combined
    after = lane.hash()
    worker.send_signal(signal.SIGCONT)
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 9
    assert output.split()[-1] in ("Fenced", "StoreUnavailable")
    assert 0 < taken_over < 1500
    assert lane.hash() == after
    clean.combine(ends)
    assert_same(lane, clean)


class Member:
    """One worker of a group, in a thread."""

    def __init__(self, lane: Lane) -> None:
        self.stop = threading.Event()
        self.written: list[Written] = []
        self.failure: BaseException | None = None
        self._worker = make_combine(
            lane.kafka.profile.settings("combine"),
            lane.stores(),
            on_written=self.written.append,
            batch=50,
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._worker.run(self.stop)
        except BaseException as failure:
            self.failure = failure

    @property
    def combined(self) -> int:
        return sum(each.combined for each in self.written)

    def leave(self) -> None:
        self.stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_two_workers_share_the_partitions_and_one_leaves_in_mid_run(
    kafka: Kafka, lanes: Callable[..., Lane]
) -> None:
    """F12: a rebalance loses nothing and counts nothing twice."""
    lane = lanes()
    clean = lanes(lane.since)
    first, second = Member(lane), Member(lane)
    published = 0

    def publish(count: int) -> None:
        nonlocal published
        published += count
        kafka.publish(corpus(count, seed=1000 + published, live_ids=True))

    def both_work() -> bool:
        publish(20)
        time.sleep(0.2)
        return first.combined > 0 and second.combined > 0

    try:
        await_true(both_work)
        publish(3000)
        second.leave()
        publish(500)
        await_true(lambda: first.combined + second.combined == published)
    finally:
        first.leave()
        second.leave()
    assert (first.failure, second.failure) == (None, None)
    assert sum(each.repeated for each in first.written + second.written) == 0
    clean.combine()
    assert_same(lane, clean)


def test_a_lost_database_connection_is_told_and_the_next_run_goes_on(
    kafka: Kafka, lanes: Callable[..., Lane]
) -> None:
    """F4: what PostgreSQL did not commit is combined by the next run."""
    lane = lanes()
    clean = lanes(lane.since)
    kafka.publish(corpus(600, seed=17, live_ids=True))
    ends = lane.ends()
    store, claims = lane.stores()
    cut = threading.Event()

    def on_written(_: Written) -> None:
        if not cut.is_set():
            cut.set()
            lane.connection.execute(
                "SELECT pg_terminate_backend(%s)", (store.connection.info.backend_pid,)
            )

    worker = make_combine(
        kafka.profile.settings("combine"),
        (store, claims),
        ends=ends,
        on_written=on_written,
        batch=100,
    )
    with pytest.raises(StoreUnavailable):
        worker.run(threading.Event())
    lane.combine(ends)
    clean.combine(ends)
    assert_same(lane, clean)


def test_a_database_lost_while_partitions_are_claimed_is_told(kafka: Kafka, lane: Lane) -> None:
    """F4: the error comes out of Kafka's callback as what it is."""
    store, claims = lane.stores()
    pid = claims.connection.info.backend_pid
    lane.connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
    worker = make_combine(kafka.profile.settings("combine"), (store, claims))
    with pytest.raises(StoreUnavailable):
        worker.run(threading.Event())


def test_replayed_duplicates_in_any_order_leave_the_same_state(
    kafka: Kafka, lanes: Callable[..., Lane]
) -> None:
    """T4, F5: the corpus comes shuffled, each event up to three times."""
    events = corpus(400, seed=18, live_ids=True)
    hashes: list[str] = []
    for seed in range(3):
        lane = lanes()
        arriving = events + (Random(seed).choices(events, k=500) if seed else [])
        Random(seed).shuffle(arriving)
        kafka.publish(arriving)
        written = lane.combine()
        assert (written.combined, written.repeated) == (400, len(arriving) - 400)
        hashes.append(lane.hash())
        core = lane.rows(
            "SELECT count(*), count(DISTINCT value) FROM outbox WHERE topic <> %s", ANSWERS_TOPIC
        )
        assert core == [(400, 400)]
    assert len(set(hashes)) == 1


def test_a_hash_reads_nothing_but_the_state(kafka: Kafka, lane: Lane) -> None:
    """Offsets, epochs and the outbox are no part of it."""
    kafka.publish(corpus(20, seed=19, live_ids=True))
    lane.combine()
    before = lane.hash()
    lane.connection.execute("UPDATE offsets SET epoch = epoch + 7")
    lane.connection.execute("DELETE FROM outbox")
    assert lane.hash() == before
    lane.connection.execute("UPDATE case_parts SET state = 'x'")
    assert lane.hash() != before


def test_a_registry_that_is_down_holds_combine_up_and_condemns_nothing(
    kafka: Kafka, lanes: Callable[..., Lane]
) -> None:
    """F7: an event whose schema cannot be looked up is judged by the next run."""
    lane = lanes()
    kafka.publish(corpus(30, seed=61, live_ids=True))
    ends = lane.ends()
    settings = kafka.profile.settings("combine")
    down = settings.model_copy(update={"registry_url": "http://127.0.0.1:9"})
    with pytest.raises(RegistryUnavailable):
        make_combine(down, lane.stores(), ends=ends).run(threading.Event())
    assert lane.rows("SELECT count(*) FROM dead_letters") == [(0,)]
    written = lane.combine(ends)
    assert (written.combined, written.dead_lettered) == (30, 0)


def test_two_workers_at_one_time_miss_no_retraction(
    kafka: Kafka, lanes: Callable[..., Lane]
) -> None:
    """F5: targets and what takes them back lie in different topics, read by different workers."""
    lane = lanes()
    clean = lanes(lane.since)
    first, second = Member(lane), Member(lane)
    published = 0
    try:
        for seed in range(12):
            events = corpus(150, seed=70 + seed, live_ids=True)
            amended = [retraction(each) for each in events[::3]]
            amended += [corrected(each) for each in events[1::10]]
            arriving = [*events, *amended]
            Random(seed).shuffle(arriving)
            kafka.publish(arriving)
            published += len(arriving)
        await_true(lambda: first.combined + second.combined == published, 120)
    finally:
        first.leave()
        second.leave()
    assert (first.failure, second.failure) == (None, None)
    clean.combine()
    assert_same(lane, clean)
