"""Approved gradings as the bus itself remembers them, on `mb.control.schema.graded`."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException, TopicPartition

from maplebridge.control_events import publish
from maplebridge.errors import ContractRefused, EventInvalid, KafkaUnavailable
from maplebridge.schemas import Codec, RegistryClient, load_catalogue
from maplebridge.schemas.gradings import Grading
from maplebridge.settings import Settings

EVENT_TYPE = "schema.graded"
TOPIC = f"mb.control.{EVENT_TYPE}"
TIMEOUT_S = 10.0


def approved_gradings(settings: Settings) -> list[Grading]:
    """Return every grading on the topic, none if there is no such topic yet.

    What is not an event of the pinned contract approves nothing.
    Raises KafkaUnavailable, RegistryUnavailable.
    """
    consumer = Consumer(
        settings.kafka_config(
            **{"group.id": f"{settings.principal}.gradings", "enable.auto.commit": False}
        )
    )
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    codec = Codec(load_catalogue(), registry)
    try:
        return [each for value in _values(consumer) for each in _gradings(codec, value)]
    except KafkaException as exc:
        raise KafkaUnavailable(settings.kafka_bootstrap, exc.args[0].name()) from exc
    finally:
        consumer.close()
        registry.close()


def approve(settings: Settings, grading: Grading, reason: str) -> str:
    """Write an approved grading to the topic; return the event's id once Kafka has it.

    settings: those of the administrator, who alone may write there. Raises as
    `control_events.publish`.
    """
    fields = {
        "event_type": grading.event_type,
        "from_version": grading.from_version,
        "to_version": grading.to_version,
        "changes": [
            {
                "path": each.path,
                "kind": each.kind,
                "old_grade": _grade(each.old_grade),
                "new_grade": _grade(each.new_grade),
            }
            for each in sorted(grading.changes)
        ],
        "reason": reason,
        "approved_by": list(grading.approved_by),
        "approved_at": time.time_ns() // 1000,
    }
    return publish(settings, EVENT_TYPE, "graded", fields, key=grading.event_type)


def _grade(number: int) -> str | None:
    return f"L{number}" if number else None


def _gradings(codec: Codec, value: bytes) -> list[Grading]:
    try:
        decoded = codec.decode(value)
        return [Grading.parse(decoded.event)]
    except (EventInvalid, ContractRefused, KeyError, TypeError, ValueError):
        return []


def _values(consumer: Consumer) -> list[bytes]:
    """Return every record between the topic's first and its present end."""
    topic = consumer.list_topics(TOPIC, timeout=TIMEOUT_S).topics[TOPIC]
    found: list[bytes] = []
    for partition in topic.partitions:
        start, end = consumer.get_watermark_offsets(
            TopicPartition(TOPIC, partition), timeout=TIMEOUT_S
        )
        consumer.assign([TopicPartition(TOPIC, partition, start)])
        while start < end:
            for message in consumer.consume(500, TIMEOUT_S):
                if message.error():
                    raise KafkaException(message.error())
                found.append(message.value() or b"")
                start = (message.offset() or 0) + 1
    return found
