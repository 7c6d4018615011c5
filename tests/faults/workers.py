"""Workers as processes of their own, each with a trap: what befalls it, and where.

What runs in a process is the product's own; the trap alone is put around the calls by which
it reaches Kafka, PostgreSQL and the clock.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import confluent_kafka
import psycopg

import maplebridge.processors.combine
import maplebridge.processors.relay
import maplebridge.projections.store
from maplebridge.errors import MapleBridgeError
from maplebridge.processors.relay import Relay
from maplebridge.projections.store import Place, connect
from maplebridge.settings import Profile
from maplebridge.wiring import make_combine, open_stores

BATCH = 25
PAUSED_TRANSACTION_S = 2.0
GAVE_UP = 9
"""The exit code of a worker that met what it cannot go on with."""
COMBINE_POINTS = ("after poll", "before commit", "after commit")
RELAY_POINTS = ("before produce", "after produce")


@dataclass(frozen=True)
class Trap:
    """At the nth time that a worker comes to `point`, `sent` goes to `target`, or to itself.

    clock_s: how far its clock is off. build: the newest migration that it knows.
    """

    point: str = ""
    nth: int = 1
    sent: signal.Signals = signal.SIGKILL
    target: int = 0
    clock_s: float = 0.0
    build: str = ""


def start(target: Callable[..., None], *args: Any) -> BaseProcess:
    """Start a worker: a fork of one process that has imported everything."""
    workers = multiprocessing.get_context("forkserver")
    workers.set_forkserver_preload([__name__])
    process = workers.Process(target=target, args=args, daemon=True)
    process.start()
    return process


def combine(
    home: Path, schema: str, consumer: str, ends: Mapping[Place, int] | None, trap: Trap
) -> None:
    """Combine up to `ends`; without them in the consumer's group, until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    _set(trap)
    settings = Profile.load(home).settings("combine")
    try:
        stores = open_stores(
            settings, consumer=consumer, schema=schema, transaction_limit_s=PAUSED_TRANSACTION_S
        )
        make_combine(settings, stores, ends=ends, batch=BATCH).run(stop)
    except MapleBridgeError as error:
        print(type(error).__name__, file=sys.stderr)
        sys.exit(GAVE_UP)


def relay(home: Path, schema: str, trap: Trap) -> None:
    """Send what is in the outbox."""
    _set(trap)
    settings = Profile.load(home).settings("relay")
    with connect(settings, schema=schema) as connection:
        relaying = Relay(settings, connection)
        while relaying.relay_once():
            pass


def _set(trap: Trap) -> None:
    """Put the trap around Kafka's clients, transactions and the clock of this process."""
    reached = 0

    def at(point: str) -> None:
        nonlocal reached
        if point == trap.point:
            reached += 1
            if reached == trap.nth:
                os.kill(trap.target or os.getpid(), trap.sent)

    class Consumer(confluent_kafka.Consumer):
        def consume(self, *args: Any, **kwargs: Any) -> list[confluent_kafka.Message]:
            found = super().consume(*args, **kwargs)
            if found:
                at("after poll")
            return found

    class Producer(confluent_kafka.Producer):
        def produce(self, *args: Any, **kwargs: Any) -> None:
            at("before produce")
            super().produce(*args, **kwargs)

        def flush(self, *args: Any) -> int:
            left = super().flush(*args)
            at("after produce")
            return left

    begun = psycopg.Connection.transaction

    @contextmanager
    def transaction(*args: Any, **kwargs: Any) -> Iterator[psycopg.Transaction]:
        with begun(*args, **kwargs) as made:
            yield made
            at("before commit")
        at("after commit")

    now, now_ns = time.time, time.time_ns
    injected: list[tuple[Any, str, Any]] = [
        (maplebridge.processors.combine, "Consumer", Consumer),
        (maplebridge.processors.relay, "Producer", Producer),
        (psycopg.Connection, "transaction", transaction),
        (time, "time", lambda: now() + trap.clock_s),
        (time, "time_ns", lambda: now_ns() + int(trap.clock_s * 1e9)),
    ]
    if trap.build:
        injected.append((maplebridge.projections.store, "newest", lambda: trap.build))
    for owner, name, made in injected:
        setattr(owner, name, made)
