"""Topics as registers: written a few records at a time, read whole or followed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from maplebridge.errors import KafkaUnavailable
from maplebridge.settings import Settings
from maplebridge.tls import explained

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
_TRANSACTION_TIMEOUT_S = 30.0
"""Kafka's first transaction makes the topic that it keeps them in."""
_BATCH = 10_000
_POLL_S = 0.1
_FOLLOWED = 500
_FOLLOWED_POLL_S = 0.05
_LEADERLESS = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""What Kafka answers for a moment after it started."""


class Record(NamedTuple):
    """A record; at: its broker timestamp, microseconds since 1970."""

    topic: str
    key: bytes
    value: bytes
    at: int = 0
    offset: int = -1


def send(settings: Settings, records: Iterable[Record]) -> None:
    """Write records, in order; Kafka has them all when this returns. Raises KafkaUnavailable."""
    failed: list[str] = []
    try:
        producer = Producer(settings.kafka_config(**{"enable.idempotence": True}))
        for each in records:
            producer.produce(
                each.topic,
                each.value,
                each.key or None,
                on_delivery=lambda error, _: failed.append(error.name()) if error else None,
            )
        unsent = producer.flush(TIMEOUT_S)
    except KafkaException as exc:
        unsent, failed = 0, [exc.args[0].name()]
    if unsent or failed:
        error = KafkaUnavailable(settings.kafka_bootstrap, failed[0] if failed else "no answer")
        raise explained(error, tls_ca=settings.tls_ca)


def send_together(settings: Settings, records: Iterable[Record], *, transaction: str) -> None:
    """Write records in one transaction: readers meet all of them, or none.

    transaction: the id of what is written; who writes with it fences whoever wrote with it
    before. Raises KafkaUnavailable; then a reader may meet them all the same.
    """
    try:
        producer = Producer(
            settings.kafka_config(**{"transactional.id": f"{settings.principal}.{transaction}"})
        )
        producer.init_transactions(_TRANSACTION_TIMEOUT_S)
        producer.begin_transaction()
        try:
            for each in records:
                producer.produce(each.topic, each.value, each.key or None)
            producer.commit_transaction(_TRANSACTION_TIMEOUT_S)
        except KafkaException:
            # or readers would wait for its end
            with suppress(KafkaException):
                producer.abort_transaction(TIMEOUT_S)
            raise
    except KafkaException as exc:
        error = KafkaUnavailable(settings.kafka_bootstrap, exc.args[0].name())
        raise explained(error, tls_ca=settings.tls_ca) from exc


def read_to_end(
    settings: Settings, topics: Collection[str], *, group: str, since: int | None = None
) -> Iterator[Record]:
    """Yield all that lies in those of the topics that there are, each partition in its order.

    group: of the principal's own; nothing is committed. since: from the first record of then
    on, microseconds since 1970. Raises KafkaUnavailable.
    """
    consumer = Consumer(
        settings.kafka_config(
            **{"group.id": group, "enable.auto.commit": False, "enable.partition.eof": True}
        )
    )
    try:
        known = consumer.list_topics(timeout=TIMEOUT_S).topics
        open_ = {(each, n) for each in topics if each in known for n in known[each].partitions}
        offset = OFFSET_BEGINNING if since is None else since // 1000
        places = [TopicPartition(*place, offset) for place in sorted(open_)]
        if since is not None:
            places = consumer.offsets_for_times(places, timeout=TIMEOUT_S)
        consumer.assign(places)
        deadline = time.monotonic() + TIMEOUT_S
        while open_:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            # short: it waits the whole time unless so many come
            for message in consumer.consume(_BATCH, _POLL_S):
                error, topic = message.error(), message.topic() or ""
                if error is not None and error.code() in _LEADERLESS:
                    continue
                if error is None:
                    yield _record(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_.discard((topic, message.partition() or 0))
                else:
                    raise KafkaException(error)
                # not before: whoever takes a record may take long
                deadline = time.monotonic() + TIMEOUT_S
    except KafkaException as exc:
        raise KafkaUnavailable(settings.kafka_bootstrap, exc.args[0].name()) from exc
    finally:
        consumer.close()


class Follower:
    """A topic of one partition, read on from where it was read to. For one thread at a time."""

    def __init__(
        self, settings: Settings, topic: str, *, group: str, begin: Callable[[], object]
    ) -> None:
        """group: of the principal's own; nothing is committed.

        begin: called before the topic is read from its beginning, a second time where it was
        made anew: what its records added up to holds no more.
        """
        self._settings = settings
        self._topic = topic
        self._group = group
        self._begin = begin
        self._admin: AdminClient | None = None
        self._consumer: Consumer | None = None
        self._topic_id = ""
        self._next_offset = 0

    def read(self, take: Callable[[Record], object]) -> None:
        """Give `take` every record up to the topic's present end, one after another.

        Raises KafkaUnavailable after ten seconds without a record. If `take` raises, the next
        call begins with the same record. A topic of another id was made anew, and Kafka has
        lost the end of one that ends before what was read: both are read from the beginning.
        """
        deadline = time.monotonic() + TIMEOUT_S
        try:
            # first: what is read then is of this topic, or of one that the next call meets
            topic_id = self._id()
            if topic_id != self._topic_id:
                self._start_over(topic_id)
            consumer = self._consumer or self._connect()
            end = self._end(consumer, deadline)
            if end < self._next_offset:
                self._start_over(topic_id)
                consumer = self._connect()
            while self._next_offset < end:
                if time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                # as many as there are: for more it would wait the whole time
                count = min(_FOLLOWED, end - self._next_offset)
                for message in consumer.consume(count, _FOLLOWED_POLL_S):
                    error = message.error()
                    if error is None:
                        take(_record(message))
                        self._next_offset = (message.offset() or 0) + 1
                        deadline = time.monotonic() + TIMEOUT_S
                    elif error.code() == KafkaError._PARTITION_EOF:
                        # behind the last record may stand what is none, a transaction's end
                        self._next_offset = message.offset() or 0
                    elif error.code() not in _LEADERLESS:
                        raise KafkaException(error)
        except KafkaException as exc:
            self.close()
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of Kafka; harmless to repeat, and another `read` connects again."""
        self._disconnect()
        self._admin = None

    def _start_over(self, topic_id: str) -> None:
        if self._topic_id:
            log.warning("%s was made anew, or has lost its end: it is read again", self._topic)
        self._disconnect()
        self._begin()
        self._topic_id, self._next_offset = topic_id, 0

    def _disconnect(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()

    def _id(self) -> str:
        """Return what Kafka gave the topic when it was made (KIP-516)."""
        if self._admin is None:
            self._admin = AdminClient(self._settings.kafka_config())
        wanted = TopicCollection([self._topic])
        asked = self._admin.describe_topics(wanted, request_timeout=TIMEOUT_S)
        return str(asked[self._topic].result().topic_id)

    def _connect(self) -> Consumer:
        self._consumer = Consumer(
            self._settings.kafka_config(
                **{
                    "group.id": self._group,
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    # where the topic's beginning was deleted
                    "auto.offset.reset": "earliest",
                }
            )
        )
        self._consumer.assign([TopicPartition(self._topic, 0, self._next_offset)])
        return self._consumer

    def _end(self, consumer: Consumer, deadline: float) -> int:
        while True:
            try:
                place = TopicPartition(self._topic, 0)
                return consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)[1]
            except KafkaException as exc:
                if exc.args[0].code() not in _LEADERLESS or time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)


def _record(message: Message) -> Record:
    return Record(
        message.topic() or "",
        message.key() or b"",
        message.value() or b"",
        message.timestamp()[1] * 1000,
        message.offset() or 0,
    )
