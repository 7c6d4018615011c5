"""The sender: the thread that brings what lies in the spool to Kafka, in order.

Events go out signed in batches of up to 256, and only when Kafka has acknowledged
the announcement of every master made before them: whoever can read an event finds
its keys at the broker. Fresh events come from memory; after a restart, after too many
have come at once, and after a producer was lost they are read from the spool.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from weakref import WeakSet

from confluent_kafka import KafkaError, KafkaException

from maplebridge.access_policy.signatures import BATCH_MAX_EVENTS
from maplebridge.errors import DepartmentStoreUnavailable, MapleBridgeError, SenderFailed
from maplebridge.producers.backlog import Backlog, Fresh
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.framing import Framer
from maplebridge.producers.kafka_errors import is_final
from maplebridge.producers.kafka_line import KafkaLine
from maplebridge.producers.masters import MasterAnnouncer
from maplebridge.producers.refusals import Refusals
from maplebridge.producers.spool import Spool

log = logging.getLogger(__name__)

LINGER_S = 0.05
_POLL_S = 0.01
_IDLE_S = 0.5
_IN_FLIGHT_MAX_EVENTS = 20_000
_REMOVE_EVENTS = 2_000
_REMOVE_S = 0.5
_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Sender:
    """Owns the producer. Its methods may be called from any thread."""

    def __init__(
        self,
        kafka: KafkaLine,
        spool: Spool,
        refusals: Refusals,
        announcer: MasterAnnouncer,
        framer: Framer,
    ) -> None:
        self._kafka = kafka
        self._spool = spool
        self._refused = refusals
        self._announcer = announcer
        self._framer = framer
        self.changed = threading.Condition()
        self._backlog = Backlog(spool, self.changed)
        self._waiting: int = spool.count
        self._settled = 0
        self._in_flight: dict[int, Delivery] = {}
        self._acknowledged: dict[int, Delivery] = {}
        self._refusals: deque[tuple[Delivery, MapleBridgeError]] = deque()
        self._news: list[Delivery] = []
        self._removed_at = 0.0
        self._removable = _REMOVE_EVENTS
        self._writes_again_at = 0.0
        self._send_again = False
        self._pushed = False
        self._trouble: tuple[MapleBridgeError, str] | None = None
        self._failures = 0
        self._awaited: WeakSet[Delivery] = WeakSet()
        self.has_ended = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="maplebridge-sender", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, events: Sequence[Fresh]) -> None:
        """Take events that are committed; called under the store's mutex, in their order."""
        with self.changed:
            before = self._backlog.in_memory
            self._backlog.put(events)
            self._waiting += len(events)
            # between the first and a whole batch the sender lingers anyway
            if not before or before < BATCH_MAX_EVENTS <= self._backlog.in_memory:
                self.changed.notify_all()

    @property
    def waiting(self) -> int:
        """Events that Kafka has neither acknowledged nor refused.

        Raises SenderFailed if nothing will bring them to Kafka any more.
        """
        if self.has_ended:
            raise self.why_waiting()
        return self._waiting

    def flush(self, patience_s: float) -> None:
        """Wait until nothing waits; raises why, if nothing is settled for `patience_s`.

        Raises the first refusal since the last flush.
        """
        settled = self._settled
        while not self.wait(lambda: not self._waiting, patience_s):
            if self._settled == settled:
                raise self.why_waiting()
            settled = self._settled
        refusal = self._refused.take_first()
        if refusal is not None:
            raise refusal

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Let everything go out at once, and wait until `ready`; return whether it is."""
        with self.changed:
            if ready():
                return True
            self._pushed = True
            self.changed.notify_all()
            self.changed.wait_for(lambda: ready() or self.has_ended, timeout_s)
            return ready()

    def why_waiting(self) -> MapleBridgeError:
        """Return the error that tells why events wait, and what becomes of them."""
        if self._trouble is not None:
            error, todo = self._trouble
        else:
            error = self._kafka.explained(self._kafka.trouble() or self._kafka.silence())
            todo = error.todo
            if self.has_ended:  # nothing changes it any more, and asking again takes its time
                self._trouble = (error, todo)
        wait = "1 event waits" if self._waiting == 1 else f"{self._waiting:,} events wait"
        error.todo = (
            f"{todo} {wait} in the spool, nothing is lost: that goes out with"
            " the next publisher, or by `maplebridge spool drain`."
        )
        return error

    def awaited(self, delivery: Delivery) -> None:
        """Wake who awaits a delivery at the end, if it is not settled before."""
        with self.changed:
            self._awaited.add(delivery)

    def settled(self, delivery: Delivery, error: KafkaError | None) -> None:
        """Take Kafka's report of an event; called while polling."""
        if error is None:
            if self._in_flight.pop(delivery.seq, None) is not None:
                self._acknowledged[delivery.seq] = delivery
                self._news.append(delivery)
        elif is_final(error):
            self._refusals.append((delivery, self._kafka.translated(error, delivery.topic)))
        else:
            self._send_again = True

    def close(self) -> None:
        """Stop; what Kafka has not acknowledged stays in the spool."""
        self._closing.set()
        with self.changed:
            self.changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        self._kafka.let_go()
        self._tell()
        self._writes_again_at = 0.0
        self._remove()
        self._end()

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                try:
                    self._step()
                except MapleBridgeError as error:
                    self._back_off(error)
                except KafkaException as exc:
                    self._announcer.begin_again()
                    self._back_off(self._kafka.translated(exc.args[0], ""))
                except Exception as exc:  # whatever it is, the events of others go on after it
                    log.exception("the sender met a defect")
                    # what was half done is done again, from what is on disk
                    self._send_again = True
                    self._back_off(SenderFailed(type(exc).__name__))
        finally:
            if not self._closing.is_set():
                self._troubled(SenderFailed("its thread has ended"))
                self._end()

    def _end(self) -> None:
        """Tell all who still wait that nothing will be settled any more."""
        with self.changed:
            self.has_ended = True
            awaited = list(self._awaited)
            self.changed.notify_all()
        for each in awaited:
            each.tell()

    def _step(self) -> None:
        reports = self._kafka.poll(0)
        self._refuse()
        self._tell()
        if self._send_again or self._kafka.fatal is not None:
            self._begin_again()
        failed = self._announcer.take_failure()
        if failed is not None:
            raise self._kafka.translated(failed, "")
        now = time.monotonic()
        if len(self._acknowledged) >= _REMOVE_EVENTS or (
            self._acknowledged and now - self._removed_at > _REMOVE_S
        ):
            self._remove()
            self._removed_at = now
        batch = self._next_batch(now)
        if batch:
            self._send(batch)
        elif not reports:
            self._rest()

    def _next_batch(self, now: float) -> Sequence[Fresh]:
        """Return what may go out now; its masters are announced first."""
        if len(self._in_flight) >= _IN_FLIGHT_MAX_EVENTS:
            return ()
        batch = self._backlog.first(
            BATCH_MAX_EVENTS, carrier=self, newest_master=self._announcer.newest
        )
        lingers = not self._pushed and now < self._backlog.oldest_at + LINGER_S
        if batch and lingers and len(batch) < BATCH_MAX_EVENTS:
            return ()
        known = self._announcer.acknowledged
        if not batch or batch[0].needs > known:
            self._announcer.advance(self._kafka)
            return ()
        if batch[-1].needs > known:
            batch = [each for each in batch if each.needs <= known]
        return batch

    def _send(self, batch: Sequence[Fresh]) -> None:
        """Frame and sign a batch and hand it over to Kafka's client."""
        read = len(batch)
        # what could not be removed when it had arrived is read again with what had not
        batch = [each for each in batch if each.event.seq not in self._acknowledged]
        if not batch:
            self._backlog.drop(read)
            return
        events = [each.event for each in batch]
        refused = self._framer.refused(events)
        known = events
        if refused:
            known = [event for event in events if event.stream not in refused]
            for each in batch:
                if each.event.stream in refused:
                    self._refusals.append((each.delivery, refused[each.event.stream]))
        records = self._framer.records(known) if known else []
        deliveries = {each.event.seq: each.delivery for each in batch}
        self._backlog.drop(read)
        self._in_flight.update(deliveries)
        for event, topic, value, headers in records:
            delivery = deliveries[event.seq]
            delivery.topic = topic
            try:
                self._kafka.produce(topic, value, event.key, headers, delivery)
            except KafkaException as exc:
                self.settled(delivery, exc.args[0])

    def _begin_again(self) -> None:
        """Make another producer, and read from the spool what the lost one held."""
        trouble = self._kafka.trouble()
        self._kafka.renew()
        self._announcer.begin_again()
        self._refuse()
        self._tell()
        self._remove()
        self._backlog.go_back(self._in_flight)
        self._in_flight.clear()
        self._send_again = False
        if trouble is not None:
            raise trouble

    def _refuse(self) -> None:
        """Take out of the way what no waiting can mend, as soon as that can be written."""
        while self._refusals and time.monotonic() >= self._writes_again_at:
            delivery, error = self._refusals[0]
            if delivery.seq in self._in_flight:
                try:
                    self._refused.put_aside(delivery, error)
                except DepartmentStoreUnavailable as full:
                    self._write_later(full)
                    return
                del self._in_flight[delivery.seq]
                delivery.refused(error)
                self._news.append(delivery)
            self._refusals.popleft()

    def _remove(self) -> None:
        """Remove from the spool what Kafka has acknowledged.

        What a full disk keeps from being removed is left for later, and sending goes on:
        at worst it is sent again under the same id, which is harmless.
        """
        while self._acknowledged and time.monotonic() >= self._writes_again_at:
            arrived = list(islice(self._acknowledged.values(), self._removable))
            try:
                self._spool.remove([each.seq for each in arrived], sum(e.size for e in arrived))
            except DepartmentStoreUnavailable as full:
                if self._removable == 1:
                    self._write_later(full)
                    return
                # fewer at once need less room in the write-ahead log
                self._removable = max(1, self._removable // 4)
                continue
            self._removable = min(2 * self._removable, _REMOVE_EVENTS)
            for each in arrived:
                del self._acknowledged[each.seq]
            with self.changed:
                self.changed.notify_all()

    def _write_later(self, full: DepartmentStoreUnavailable) -> None:
        """Keep off the disk for a while; who waits for what needs it is told of the cause."""
        self._troubled(full)
        self._writes_again_at = time.monotonic() + _REMOVE_S

    def _tell(self) -> None:
        """Wake all who wait for what has been settled."""
        if not self._news:
            return
        news, self._news = self._news, []
        self._trouble, self._failures = None, 0
        self._kafka.heard()
        with self.changed:
            self._waiting -= len(news)
            self._settled += len(news)
            self.changed.notify_all()
        for each in news:
            each.tell()

    def _rest(self) -> None:
        if self._in_flight or not self._announcer.is_idle:
            self._kafka.poll(_POLL_S)
            return
        with self.changed:
            if not self._backlog:
                self._pushed = False
                self.changed.wait(_IDLE_S)
            elif not self._pushed:
                self.changed.wait(LINGER_S)

    def _back_off(self, error: MapleBridgeError) -> None:
        self._troubled(error)
        self._closing.wait(_BACK_OFF_S[min(self._failures, len(_BACK_OFF_S) - 1)])
        self._failures += 1

    def _troubled(self, error: MapleBridgeError) -> None:
        self._trouble = (error, error.todo)
