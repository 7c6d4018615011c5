"""The two ways on which views go out to the apps.

Views that name their events go as they come. Those that do not go in rounds, in the order
of their tokens: which event came when, or next to which, would name it to two apps that
compare what they got.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import KafkaError, Message, TopicPartition

from maplebridge.settings import Settings

BATCH = 1000
ROUND_MAX = 5000
ROUND_MAX_BYTES = 100_000_000
_LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Lane:
    """One way out. name: of its consumer group and transactional id.

    names_events: which views take this way. most: events in one transaction.
    round_s: how old its first event is when a round goes out; 0: nothing waits.
    """

    name: str
    names_events: bool
    most: int
    round_s: float


def lanes_of(settings: Settings) -> tuple[Lane, Lane]:
    return (
        Lane("deliver", names_events=True, most=BATCH, round_s=0),
        Lane("deliver-rounds", False, most=ROUND_MAX, round_s=settings.pseudonym_round_s),
    )


class Gathering:
    """The messages of the next transaction on a lane, as Kafka gives them."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._messages: list[Message] = []
        self._bytes = 0
        self._ends: set[tuple[str | None, int | None]] = set()

    @property
    def room(self) -> int:
        return min(BATCH, self._lane.most - len(self._messages))

    def take(self, polled: Iterable[Message]) -> None:
        """Take messages, and that a partition's end was reached."""
        for message in polled:
            place = message.topic(), message.partition()
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                self._ends.add(place)
                continue
            self._ends.discard(place)
            self._messages.append(message)
            self._bytes += len(message.value() or b"")

    def is_over(self, assigned: Collection[TopicPartition], *, now_s: float) -> bool:
        """Tell whether the messages go out now.

        By the age of the oldest in Kafka, so that a restart does not make a round longer;
        and not before all that waits was read, so that it does not make it smaller.
        """
        if not self._messages:
            return False
        full = len(self._messages) >= self._lane.most or self._bytes >= ROUND_MAX_BYTES
        if full or not self._lane.round_s:
            return True
        oldest_s = min(message.timestamp()[1] for message in self._messages) / 1000
        if now_s < oldest_s + self._lane.round_s:
            return False
        return all((each.topic, each.partition) in self._ends for each in assigned)

    def release(self) -> list[Message]:
        """Return the messages, and begin anew."""
        released, self._messages, self._bytes = self._messages, [], 0
        return released


class Runner(Protocol):
    def run(self, stop: threading.Event) -> None: ...


class Together:
    """Runs some until one is told to stop, or fails."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = runners

    def run(self, stop: threading.Event) -> None:
        """Return when `stop` is set and all have returned; raises what the first to fail did."""
        halt = threading.Event()
        with ThreadPoolExecutor(len(self._runners)) as pool:
            running = [pool.submit(runner.run, halt) for runner in self._runners]
            while not stop.wait(_LOOK_S) and not any(each.done() for each in running):
                pass
            halt.set()
        for each in running:
            each.result()
