"""The lane to Kafka: events in batches, the masters they are sealed with always ahead of them.

A batch waits until Kafka has acknowledged the announcement of every master made
so far; meanwhile the next batch is being filled. So whoever can read an event
finds its keys at the broker, and sealing waits for nobody.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from maplebridge.access_policy.signatures import BATCH_MAX_EVENTS, BatchSigner, event_leaf
from maplebridge.errors import AccessDenied, KafkaUnavailable, MapleBridgeError, Unavailable
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.headers import CloudEventsHeaders, Headers
from maplebridge.producers.kafka_config import producer_config
from maplebridge.producers.kafka_errors import AUTHENTICATION, translate
from maplebridge.schemas.codec import ProofWriter
from maplebridge.settings import Settings

BATCH_EVENTS = 1_000
BATCH_BYTES = 4_000_000
LINGER_S = 0.05
_WAITING_BATCHES = 8
_PUMP_S = 0.1
_ADVANCE_EVENTS = 50


@dataclass(frozen=True)
class Announcement:
    """A batch of new masters, wrapped and encoded; `number` names it in the key store."""

    number: int
    topic: str
    key: bytes
    value: bytes


class Announcer(Protocol):
    """Where new masters come from."""

    def unannounced(self, besides: frozenset[int]) -> list[Announcement]: ...
    def announced(self, number: int) -> None: ...


class Outgoing(NamedTuple):
    """One event on its way; `value` is framed, its last field `proof` still null."""

    topic: str
    key: bytes
    value: bytes
    headers: CloudEventsHeaders
    occurred_at: datetime
    delivery: Delivery


@dataclass
class _Batch:
    events: list[Outgoing] = field(default_factory=list)
    size: int = 0
    needs: frozenset[int] = frozenset()


class Lane:
    """One idempotent producer with its batches. Safe to share between threads."""

    def __init__(self, settings: Settings, announcer: Announcer, signer: BatchSigner) -> None:
        self.address = settings.kafka_bootstrap
        self._principal = settings.principal
        self._announcer = announcer
        self._signer = signer
        self._proofs = ProofWriter()
        self._mutex = threading.RLock()
        self._filling = _Batch()
        self._waiting: deque[_Batch] = deque()
        self._unacknowledged: dict[int, None] = {}
        self._in_flight = 0
        self._refused: KafkaError | None = None
        self._fatal: KafkaError | None = None
        self._down = False
        self._first_failure: MapleBridgeError | None = None
        self._alarm: MapleBridgeError | None = None
        config = {**producer_config(settings), "error_cb": self._on_error}
        self._kafka = Producer(config)
        self._closing = threading.Event()
        self._lingerer = threading.Thread(target=self._linger, name="maplebridge-lane", daemon=True)

    def open(self, *, timeout_s: float = 10.0) -> Self:
        """Raises KafkaUnavailable or AccessDenied if Kafka cannot be spoken to."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._kafka.list_topics(timeout=min(1.0, timeout_s))
                break
            except KafkaException as exc:
                self._kafka.poll(0)
                late = time.monotonic() >= deadline
                if late or self._refused is not None or self._down:
                    raise self._translated(self._refused or exc.args[0], "") from exc
        self._lingerer.start()
        return self

    def add(self, event: Outgoing) -> None:
        """Take an event; it goes out when its batch is full or 50 ms old.

        Raises Unavailable or AccessDenied if an earlier event failed of it, since
        this one would too; each failure is raised here once.
        """
        with self._mutex:
            if self._alarm is not None:
                alarm, self._alarm = self._alarm, None
                raise alarm
            batch = self._filling
            batch.events.append(event)
            batch.size += len(event.value)
            count = len(batch.events)
            if count >= BATCH_EVENTS or batch.size >= BATCH_BYTES:
                self._close_batch()
                while len(self._waiting) >= _WAITING_BATCHES:
                    self._advance(_PUMP_S)
            elif count % _ADVANCE_EVENTS == 0:
                self._advance(0)

    def push(self, delivery: Delivery | None = None) -> None:
        """Let the batch go that is being filled, or only if `delivery` is in it."""
        with self._mutex:
            if delivery is None or any(e.delivery is delivery for e in self._filling.events):
                self._close_batch()

    def pump(self, timeout_s: float) -> None:
        """Move on what can move, and wait up to `timeout_s` for Kafka's reports."""
        with self._mutex:
            self._advance(timeout_s)

    def flush(self, timeout_s: float) -> None:
        """Wait until every event has arrived or failed.

        Raises the first failure since the last flush; KafkaUnavailable if events
        are still on their way after `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        self.push()
        while self.outstanding:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise KafkaUnavailable(
                    self.address, f"{self.outstanding:,} events without acknowledgement"
                )
            self.pump(min(left_s, _PUMP_S))
        self._raise_first_failure()

    @property
    def outstanding(self) -> int:
        """Events and announcements that have neither arrived nor failed."""
        with self._mutex:
            waiting = sum(len(batch.events) for batch in self._waiting)
            filling = len(self._filling.events)
            return filling + waiting + self._in_flight + len(self._unacknowledged)

    def close(self) -> None:
        """Let go of Kafka; what is still on its way is lost and was never acknowledged."""
        self._closing.set()
        if self._lingerer.is_alive():
            self._lingerer.join(timeout=5.0)
        with self._mutex:
            self._kafka.purge()
            self._kafka.flush(1.0)

    def _close_batch(self) -> None:
        batch, self._filling = self._filling, _Batch()
        if batch.events or not self._waiting:
            try:
                self._announce()
            except MapleBridgeError as exc:
                self._fail(batch.events, exc)
                return
        if batch.events:
            batch.needs = frozenset(self._unacknowledged)
            self._waiting.append(batch)
        self._advance(0)

    def _announce(self) -> None:
        for each in self._announcer.unannounced(frozenset(self._unacknowledged)):
            self._unacknowledged[each.number] = None

            def report(
                error: KafkaError | None, message: Message, number: int = each.number
            ) -> None:
                self._on_announced(number, error, message)

            try:
                self._produce(each.topic, each.key, each.value, None, report)
            except KafkaException as exc:
                del self._unacknowledged[each.number]
                raise self._translated(exc.args[0], each.topic) from exc

    def _on_announced(self, number: int, error: KafkaError | None, message: Message) -> None:
        self._unacknowledged.pop(number, None)
        if error is None:
            try:
                self._announcer.announced(number)
            except MapleBridgeError as exc:
                self._note(exc)  # it will be announced again, which is harmless
            return
        failure = self._translated(error, message.topic() or "")
        self._note(failure)
        for batch in self._waiting:
            if number in batch.needs:
                self._fail(batch.events, failure)
                batch.events = []

    def _advance(self, timeout_s: float) -> None:
        self._kafka.poll(timeout_s)
        while self._waiting and not any(
            number in self._unacknowledged for number in self._waiting[0].needs
        ):
            events = self._waiting.popleft().events
            self._in_flight += len(events)
            for at in range(0, len(events), BATCH_MAX_EVENTS):
                self._send(events[at : at + BATCH_MAX_EVENTS])

    def _send(self, events: list[Outgoing]) -> None:
        """Sign a batch and hand it to Kafka's client."""
        unproven = [event.value[:-1] for event in events]
        leaves = [
            event_leaf(event.topic, event.key, value)
            for event, value in zip(events, unproven, strict=True)
        ]
        proofs = self._signer.prove(leaves)
        for (topic, key, _, headers, occurred_at, delivery), value, proof in zip(
            events, unproven, proofs, strict=True
        ):
            made = headers.of(delivery.event_id, occurred_at)
            try:
                self._produce(topic, key, value + self._proofs.encode(proof), made, delivery)
            except KafkaException as exc:
                self.settled(delivery, exc.args[0])

    def settled(self, delivery: Delivery, error: KafkaError | None) -> None:
        """Called by a delivery when Kafka has reported on it."""
        self._in_flight -= 1
        if error is not None:
            failure = self._translated(error, delivery.topic)
            delivery.failed(failure)
            self._note(failure)

    def _produce(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        headers: Headers | None,
        report: Callable[[KafkaError | None, Message], None],
    ) -> None:
        while True:
            try:
                self._kafka.produce(topic, value, key, headers=headers, on_delivery=report)
            except BufferError:
                # librdkafka's queue is full; it empties by delivery or by timeout
                self._kafka.poll(_PUMP_S)
            else:
                return

    def _fail(self, events: list[Outgoing], error: MapleBridgeError) -> None:
        for event in events:
            event.delivery.failed(error)
        self._note(error)

    def _note(self, error: MapleBridgeError) -> None:
        self._first_failure = self._first_failure or error
        if isinstance(error, Unavailable | AccessDenied):
            self._alarm = self._alarm or error

    def _raise_first_failure(self) -> None:
        with self._mutex:
            failure, self._first_failure = self._first_failure, None
            self._alarm = None
        if failure is not None:
            raise failure

    def _translated(self, error: KafkaError, topic: str) -> MapleBridgeError:
        cause = error
        if error.code() == KafkaError._FATAL:
            cause = self._fatal or error
        elif error.code() == KafkaError._MSG_TIMED_OUT:
            cause = self._refused or error
        return translate(cause, address=self.address, principal=self._principal, topic=topic)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in AUTHENTICATION:
            self._refused = error
        elif error.fatal():
            # this producer is done for; whatever is sent now fails of the first cause
            self._fatal = self._fatal or error
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._down = True

    def _linger(self) -> None:
        seen: tuple[_Batch, int] | None = None
        while not self._closing.wait(LINGER_S / 2):
            now = (self._filling, len(self._filling.events))
            if now == seen or seen is None or (now[0] is seen[0] and now[1] < _ADVANCE_EVENTS):
                # nobody, or next to nobody, is adding: else the adding thread moves things on
                with self._mutex:
                    if self._filling.events:
                        self._close_batch()
                    else:
                        self._advance(0)
            seen = now
