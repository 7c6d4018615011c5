"""The bulk lane: department topics folded into PostgreSQL, exactly once.

Two threads: one reads and judges, one writes, so that Python decodes the next
batch while PostgreSQL takes in the last. Offsets stand in the same transaction
as what was made of them; Kafka's own committed offsets are for lag displays.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from maplebridge.errors import ContractRefused, EventInvalid, KafkaUnavailable
from maplebridge.kafka_log import log_error
from maplebridge.processors.judge import Judge
from maplebridge.processors.refused import letter_of, log_letters
from maplebridge.projections.letters import DeadLetter
from maplebridge.projections.store import (
    Accepted,
    Fenced,
    Place,
    ProjectionStore,
    Span,
    Written,
    translated,
)
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

BATCH = 5000
POLL_S = 0.05
MAX_POLL_INTERVAL_S = 120
DRAIN_S = MAX_POLL_INTERVAL_S / 4


@dataclass(slots=True)
class Batch:
    """Judged records of some partitions, in order, with the offsets they cover."""

    spans: list[Span] = field(default_factory=list)
    accepted: list[Accepted] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)

    def without(self, places: Collection[Place]) -> Batch:
        return Batch(
            [each for each in self.spans if each.place not in places],
            [each for each in self.accepted if each.place not in places],
            [each for each in self.dead if (each.topic, each.partition) not in places],
        )


@dataclass(slots=True)
class _Position:
    epoch: int
    next_offset: int


class Combine:
    """One worker of the bulk lane.

    store: writes batches; claims: another store over a connection of its own, used to
    take partitions over while a batch is being written. ends: for a rebuild, the offset of
    each partition to stop before; without it the worker shares the topics with its group.
    """

    def __init__(
        self,
        settings: Settings,
        topics: Sequence[str],
        judge: Judge,
        store: ProjectionStore,
        claims: ProjectionStore,
        *,
        on_written: Callable[[Written], None] | None = None,
        ends: Mapping[Place, int] | None = None,
        batch: int = BATCH,
    ) -> None:
        self._settings = settings
        self._topics = list(topics)
        self._judge = judge
        self._store = store
        self._claims = claims
        self._on_written = on_written
        self._ends = ends
        self._batch = batch
        self._positions: dict[Place, _Position] = {}
        self._moves = 0
        self._is_waiting = False
        self._queue: queue.Queue[Batch | None] = queue.Queue(maxsize=2)
        self._failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        """Combine until `stop` is set; what was read is written before it returns.

        Raises KafkaUnavailable, StoreUnavailable, RegistryUnavailable, or Fenced if another
        worker took a partition over unnoticed; nothing is lost, the next run goes on where
        the last transaction ended.
        """
        try:
            with translated(self._settings):
                self._run(stop)
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc

    def _run(self, stop: threading.Event) -> None:
        consumer = self._consumer()
        writer = threading.Thread(target=self._write, name="combine-writer")
        writer.start()
        try:
            self._begin(consumer)
            while not stop.is_set() and self._failure is None and not self._finished():
                moves = self._moves
                messages = consumer.consume(self._batch, POLL_S)
                if messages:
                    self._is_waiting = False
                if messages and moves != self._moves:
                    # some may be from before their partition moved: read them again
                    self._assign(consumer)
                elif messages:
                    self._put(self._judge_all(messages))
        finally:
            self._queue.put(None)
            writer.join()
            consumer.close()
        if self._failure is not None:
            raise self._failure

    def _begin(self, consumer: Consumer) -> None:
        if self._ends is None:
            consumer.subscribe(
                self._topics,
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
        else:
            self._on_assign(consumer, [TopicPartition(*place) for place in sorted(self._ends)])

    def _finished(self) -> bool:
        return self._ends is not None and all(
            self._positions[place].next_offset >= end for place, end in self._ends.items()
        )

    def _consumer(self) -> Consumer:
        return Consumer(
            self._settings.kafka_config(
                **{
                    "group.id": self._store.consumer,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "error",
                    "isolation.level": "read_committed",
                    "max.poll.interval.ms": MAX_POLL_INTERVAL_S * 1000,
                    "session.timeout.ms": 10_000,
                    "fetch.max.bytes": 16_000_000,
                    # a signed batch lies in all partitions: read side by side, its tree is
                    # verified once and soon done with
                    "max.partition.fetch.bytes": 131_072,
                    "queued.max.messages.kbytes": 65_536,
                    "fetch.wait.max.ms": 50,
                    # it tells of a lost connection here alone, never among the messages
                    "error_cb": self._on_error,
                }
            )
        )

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN and not self._is_waiting:
            self._is_waiting = True
            address = self._settings.kafka_bootstrap
            log.warning("Kafka at %s does not answer; combine waits for it", address)
        elif error.code() not in (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT):
            log_error(error)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            next_offset, epoch = self._claims.claim(each.topic, each.partition)
            self._positions[each.topic, each.partition] = _Position(epoch, next_offset)
        self._moves += 1
        self._assign(consumer)

    def _assign(self, consumer: Consumer) -> None:
        consumer.assign(
            [
                TopicPartition(*place, position.next_offset)
                for place, position in sorted(self._positions.items(), key=lambda each: each[0])
            ]
        )

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        deadline = time.monotonic() + DRAIN_S
        while self._queue.unfinished_tasks and time.monotonic() < deadline and not self._failure:
            time.sleep(0.01)
        self._on_lost(consumer, partitions)

    def _on_lost(self, _: Consumer, partitions: list[TopicPartition]) -> None:
        self._moves += 1
        for each in partitions:
            self._positions.pop((each.topic, each.partition), None)

    def _judge_all(self, messages: Sequence[Message]) -> Batch:
        batch = Batch()
        ends: dict[Place, int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                self._raise_if_fatal(error)
                continue
            topic, partition, offset = _place(message)
            place = (topic, partition)
            if place not in self._positions or (self._ends and offset >= self._ends[place]):
                continue
            self._judge_one(message, topic, partition, offset, batch)
            ends[place] = offset + 1
        for (topic, partition), end in sorted(ends.items()):
            position = self._positions[topic, partition]
            batch.spans.append(Span(topic, partition, position.epoch, position.next_offset, end))
            position.next_offset = end
        log_letters(batch.dead)
        return batch

    def _judge_one(
        self, message: Message, topic: str, partition: int, offset: int, batch: Batch
    ) -> None:
        key, value = message.key(), message.value()
        timestamp_ms = message.timestamp()[1]
        try:
            contract, event = self._judge.judge(topic, key, value, timestamp_ms)
        except (EventInvalid, ContractRefused) as error:
            batch.dead.append(letter_of(message, topic, partition, offset, error))
        else:
            batch.accepted.append(
                Accepted(topic, partition, contract, event, key or b"", value or b"", timestamp_ms)
            )

    def _raise_if_fatal(self, error: KafkaError) -> None:
        if error.fatal() or not error.retriable():
            if error.code() in (KafkaError._TRANSPORT, KafkaError._RESOLVE):
                return
            raise KafkaUnavailable(self._settings.kafka_bootstrap, error.name())

    def _put(self, batch: Batch) -> None:
        while batch.spans and self._failure is None:
            try:
                self._queue.put(batch, timeout=0.5)
            except queue.Full:
                continue
            return

    def _write(self) -> None:
        while True:
            batch = self._queue.get()
            try:
                if batch is None:
                    return
                if self._failure is None:
                    self._write_one(batch)
            except BaseException as failure:
                self._failure = failure
            finally:
                self._queue.task_done()

    def _write_one(self, batch: Batch) -> None:
        try:
            written = self._store.write(batch.spans, batch.accepted, batch.dead)
        except Fenced as fenced:
            if any(self._holds(span) for span in batch.spans if span.place in fenced.places):
                raise
            log.warning("%s; its records are left to it", fenced.message)
            self._write_one(batch.without(fenced.places))
            return
        if self._on_written is not None:
            self._on_written(written)

    def _holds(self, span: Span) -> bool:
        """Tell whether the span's partition is still ours, and since the same claim."""
        position = self._positions.get(span.place)
        return position is not None and position.epoch == span.epoch


def _place(message: Message) -> tuple[str, int, int]:
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    if topic is None or partition is None or offset is None:
        raise KafkaException(KafkaError(KafkaError._BAD_MSG))
    return topic, partition, offset
