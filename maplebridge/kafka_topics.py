"""Topics as registers: written a few records at a time, read whole."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)

from maplebridge.errors import KafkaUnavailable
from maplebridge.settings import Settings
from maplebridge.tls import explained

TIMEOUT_S = 10.0
_BATCH = 10_000
_POLL_S = 0.1


class Record(NamedTuple):
    """A record; at: its broker timestamp, microseconds since 1970."""

    topic: str
    key: bytes
    value: bytes
    at: int = 0


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
            # short: it waits the whole time unless so many come
            messages = consumer.consume(_BATCH, _POLL_S)
            if messages:
                deadline = time.monotonic() + TIMEOUT_S
            elif time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            for message in messages:
                error, topic = message.error(), message.topic() or ""
                if error is None:
                    at = message.timestamp()[1] * 1000
                    yield Record(topic, message.key() or b"", message.value() or b"", at)
                elif error.code() == KafkaError._PARTITION_EOF:
                    open_.discard((topic, message.partition() or 0))
                else:
                    raise KafkaException(error)
    except KafkaException as exc:
        raise KafkaUnavailable(settings.kafka_bootstrap, exc.args[0].name()) from exc
    finally:
        consumer.close()
