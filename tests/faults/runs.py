"""One fault, at a place and time of a seed's choice, and what must hold after it.

L: every acknowledged event reaches its projection or a dead letter. D: the state is that of a
clean replay. A run publishes some events, each a few times and not in their order, with records
among them that nobody may send; lets the fault fall on those who combine them; publishes more;
and lets a worker that nothing befalls go on to the end.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from maplebridge.localstack import Stack
from maplebridge.projections.migrate import MIGRATIONS, migrate
from maplebridge.projections.store import connect
from maplebridge.schemas import Event
from tests.faults.workers import (
    COMBINE_POINTS,
    GAVE_UP,
    PAUSED_TRANSACTION_S,
    RELAY_POINTS,
    Trap,
    combine,
    relay,
    start,
)
from tests.processors.lanes import Kafka, Lane, await_true
from tests.processors.made_events import catalogue, corpus, corrected, retraction
from tests.processors.made_poison import HOTLINE, Poison

EVENTS = 60
RECOVERY_S = 30.0
HOUR_S, YEAR_S = 3600.0, 365 * 86_400.0
CORE_TOPICS = [contract.core_topic for contract in catalogue()]
NEXT = "9999_next.sql"


@dataclass
class Run:
    """A run in the making: what is published, and who works on it."""

    stack: Stack
    kafka: Kafka
    lane: Lane
    clean: Lane
    poison: list[Poison]
    random: Random
    folder: Path
    published: dict[str, Event] = field(default_factory=dict)
    poisoned: int = 0
    build: str = ""
    workers: list[BaseProcess] = field(default_factory=list)

    def publish(self, *, times: int = 1, poison: int = 2, flush: bool = True) -> None:
        """Write events in no order, a few up to `times` more, and poison among them."""
        made = corpus(EVENTS, seed=self.random.randrange(2**32), live_ids=True)
        made += [retraction(each) for each in self.random.sample(made, 5)]
        made += [corrected(each) for each in self.random.sample(made[:EVENTS], 5)]
        self.published |= {each["meta"]["event_id"]: each for each in made}
        arriving: list[Event | Poison] = [*made, *self.random.choices(made, k=20 * times)]
        arriving += self.random.sample(self.poison, poison)
        self.poisoned += poison
        self.random.shuffle(arriving)
        for each in arriving:
            if isinstance(each, tuple):
                _, _, key, value = each
                self.kafka.write(HOTLINE.topic, value, key=key)
            else:
                self.kafka.publish_one(each)
        if flush:
            self.kafka.flush()

    def start(self, trap: Trap | None = None, *, in_group: bool = False) -> BaseProcess:
        """Start a worker over all that is there, or one of the group."""
        trap = trap or Trap(build=self.build)
        ends = None if in_group else self.lane.ends()
        home = self.kafka.profile.home
        worker = start(combine, home, self.lane.schema, self.lane.consumer, ends, trap)
        self.workers.append(worker)
        return worker

    def relay(self, trap: Trap) -> int | None:
        return end_of(start(relay, self.kafka.profile.home, self.lane.schema, trap))

    @property
    def done(self) -> int:
        """How many records were combined or set aside, repeated ones too."""
        ((count,),) = self.lane.rows("SELECT sum(next_offset)::bigint FROM offsets")
        return int(count) - sum(self.lane.since.values())

    def finish(self) -> float:
        """Let a worker that nothing befalls go on to the end; return the seconds it took."""
        began = time.monotonic()
        assert end_of(self.start()) == 0
        return time.monotonic() - began

    def check(self) -> None:
        """L and D."""
        self.clean.combine(self.lane.ends())
        ids = {event_id for (event_id,) in self.lane.rows("SELECT event_id::text FROM events")}
        assert ids == set(self.published)
        assert self.lane.rows("SELECT count(*) FROM dead_letters") == [(self.poisoned,)]
        for query in (
            'SELECT topic, partition, "offset", reason, path FROM dead_letters ORDER BY 1, 2, 3',
            "SELECT * FROM community_hour_tallies ORDER BY 1, 2, 3, 4, 5, 6",
        ):
            assert self.lane.rows(query) == self.clean.rows(query)
        assert self.lane.hash() == self.clean.hash()

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.join()


def end_of(worker: BaseProcess) -> int | None:
    worker.join(60)
    return worker.exitcode


def to_be_sent(lane: Lane) -> set[bytes]:
    """Return the events of the core streams in the outbox."""
    rows = lane.rows("SELECT value FROM outbox WHERE topic = ANY(%s)", CORE_TOPICS)
    return {bytes(value) for (value,) in rows}


def killed(run: Run) -> None:
    """F1: workers and relays are killed where it hurts, or at any moment."""
    for _ in range(run.random.randrange(1, 4)):
        point = run.random.choice((*COMBINE_POINTS, ""))
        worker = run.start(Trap(point, run.random.randrange(1, 5)))
        if not point:
            time.sleep(run.random.random())
            worker.kill()
        assert end_of(worker) in (-signal.SIGKILL, 0)
    run.finish()
    decided = to_be_sent(run.lane)
    core = run.kafka.ends(CORE_TOPICS)
    for point in run.random.sample(RELAY_POINTS, 2):
        assert run.relay(Trap(point, run.random.randrange(1, 3))) in (-signal.SIGKILL, 0)
    assert run.relay(Trap()) == 0
    assert run.lane.rows("SELECT count(*) FROM outbox") == [(0,)]
    sent = {value for _, _, _, value, _ in run.kafka.read(core)}
    assert decided <= sent


def paused(run: Run) -> None:
    """F2: a worker is stopped past its transaction's limit, overtaken, and let go again."""
    point = run.random.choice(("after poll", "before commit"))
    worker = run.start(Trap(point, run.random.randrange(1, 4), signal.SIGSTOP))
    await_true(lambda: _is_stopped(worker))
    time.sleep(run.random.random() * PAUSED_TRANSACTION_S)
    run.finish()
    before = run.lane.hash()
    os.kill(worker.pid or 0, signal.SIGCONT)
    assert end_of(worker) == GAVE_UP
    assert run.lane.hash() == before


def kafka_killed(run: Run) -> None:
    """F3: while events are on their way and a worker reads."""
    worker = run.start(in_group=True)
    run.publish(flush=False)
    server = run.stack.supervisor.find("kafka")
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    run.stack.up()
    run.kafka.flush()
    worker.terminate()
    assert end_of(worker) in (0, GAVE_UP)


def postgres_killed(run: Run) -> None:
    """F4: as a worker is about to commit."""
    server = run.stack.supervisor.find("postgresql")
    assert server is not None
    trap = Trap("before commit", run.random.randrange(1, 5), target=server.pid)
    worker = run.start(trap)
    assert end_of(worker) == GAVE_UP
    await_true(lambda: run.stack.supervisor.find("postgresql") is None)
    run.stack.up()
    for lane in (run.lane, run.clean):
        lane.connection.close()
        lane.connection = connect(run.kafka.profile.settings("admin"), schema=lane.schema)


def disordered(run: Run) -> None:
    """F5: most events come three times, and all of them in another order."""
    for _ in range(2):
        run.publish(times=8)
        run.finish()


def poisoned(run: Run) -> None:
    """F6: every kind of record that nobody may send."""
    run.publish(poison=len(run.poison))


def clock_moved(run: Run) -> None:
    """F9: of one worker by an hour or a year, of the next the other way."""
    clock_s = run.random.choice((HOUR_S, -HOUR_S, YEAR_S, -YEAR_S))
    point, nth = run.random.choice(COMBINE_POINTS), run.random.randrange(1, 5)
    assert end_of(run.start(Trap(point, nth, clock_s=clock_s))) in (-signal.SIGKILL, 0)
    run.publish()
    assert end_of(run.start(Trap(clock_s=-clock_s))) == 0


def rebalanced(run: Run) -> None:
    """F12: workers join and leave the group, all the time."""
    group: list[BaseProcess] = []
    for _ in range(run.random.randrange(3, 7)):
        if len(group) > 1 and run.random.random() < 0.5:
            group.pop(run.random.randrange(len(group))).terminate()
        else:
            group.append(run.start(in_group=True))
        run.publish()
        time.sleep(run.random.random())
    for worker in group:
        worker.terminate()
    assert {end_of(worker) for worker in run.workers} <= {0, GAVE_UP}


def upgraded(run: Run) -> None:
    """F14: workers of the next build beside those of this one, before and after its migration."""
    folder = run.folder / "migrations"
    shutil.copytree(Path(str(MIGRATIONS)), folder)
    (folder / NEXT).write_text("ALTER TABLE events ADD COLUMN next text NOT NULL DEFAULT 'x';")
    older = run.start(in_group=True)
    await_true(lambda: run.done > 0)
    hasty = run.start(Trap(build=NEXT), in_group=True)
    while hasty.is_alive():
        run.publish()
        time.sleep(run.random.random())
    assert end_of(hasty) == GAVE_UP
    with connect(run.kafka.profile.settings("admin"), schema="public") as owner:
        assert migrate(owner, schema=run.lane.schema, folder=folder) == [NEXT]
    run.build = NEXT
    newer = run.start(in_group=True)
    run.publish()
    assert end_of(older) == GAVE_UP
    before = run.done
    run.publish()
    await_true(lambda: run.done > before)
    newer.terminate()
    assert end_of(newer) == 0


FAULTS: Mapping[str, Callable[[Run], None]] = {
    "F1": killed,
    "F2": paused,
    "F3": kafka_killed,
    "F4": postgres_killed,
    "F5": disordered,
    "F6": poisoned,
    "F9": clock_moved,
    "F12": rebalanced,
    "F14": upgraded,
}


def _is_stopped(worker: BaseProcess) -> bool:
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return fields[0] == "T"


def went_through(run: Run, fault: str) -> float:
    """Let a fault happen and check what must hold; return the seconds from it to the end."""
    try:
        run.publish()
        FAULTS[fault](run)
        run.publish()
        took = run.finish()
        run.check()
    finally:
        run.close()
    return took
