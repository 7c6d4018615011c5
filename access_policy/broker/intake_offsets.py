"""How far the intake has come on `mb.control.keys`, asked and set from outside it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from maplebridge.access_policy.broker.intake import GROUP
from maplebridge.access_policy.keytransport import TOPIC
from maplebridge.errors import InputError, KafkaUnavailable
from maplebridge.settings import Settings

_ASK_S = 10.0
_RUNS = {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.NON_EMPTY_GROUP}
_log = logging.getLogger(__name__)


def has_taken_in(settings: Settings, *, topic: str = TOPIC, group: str = GROUP) -> bool:
    """Return whether the intake has committed every announcement that Kafka holds now.

    Raises KafkaUnavailable.
    """
    with _asking(settings, group) as consumer:
        places = _places(consumer, topic)
        return all(
            _is_read(place, *consumer.get_watermark_offsets(place, timeout=_ASK_S))
            for place in consumer.committed(places, timeout=_ASK_S)
        )


def rewind(settings: Settings, *, topic: str = TOPIC, group: str = GROUP) -> None:
    """Let the intake take in anew all that Kafka holds, when it starts.

    settings: the administrator's. Raises InputError if the intake runs, KafkaUnavailable.
    """
    with _asking(settings, group) as consumer:
        first = [
            TopicPartition(topic, place.partition, low)
            for place in _places(consumer, topic)
            for low, _ in (consumer.get_watermark_offsets(place, timeout=_ASK_S),)
        ]
        wanted = ConsumerGroupTopicPartitions(group, first)
        admin = AdminClient(settings.kafka_config(), logger=_log)
        (done,) = admin.alter_consumer_group_offsets([wanted]).values()
        for each in done.result(_ASK_S).topic_partitions:
            if each.error:
                raise KafkaException(each.error)


@contextmanager
def _asking(settings: Settings, group: str) -> Iterator[Consumer]:
    config = {"group.id": group, "enable.auto.commit": False}
    consumer = Consumer(settings.kafka_config(**config), logger=_log)
    try:
        yield consumer
    except KafkaException as exc:
        error = exc.args[0]
        if error.code() in _RUNS:
            raise InputError(
                "the key broker runs.", todo="Stop it and try again; nothing was changed."
            ) from None
        raise KafkaUnavailable(settings.kafka_bootstrap, error.name()) from exc
    finally:
        consumer.close()


def _places(consumer: Consumer, topic: str) -> list[TopicPartition]:
    known = consumer.list_topics(topic, timeout=_ASK_S).topics[topic]
    if known.error:
        raise KafkaException(known.error)
    return [TopicPartition(topic, number) for number in known.partitions]


def _is_read(committed: TopicPartition, low: int, high: int) -> bool:
    # nothing committed is a negative offset; what Kafka has dropped cannot be read any more
    return max(committed.offset, low) >= high
