"""Approved gradings as the bus itself remembers them, on `mb.control.schema.graded`."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from maplebridge.errors import ContractRefused, EventInvalid, KafkaUnavailable
from maplebridge.producers.ids import uuid7
from maplebridge.schemas import (
    Codec,
    Event,
    RegistryClient,
    Validator,
    load_catalogue,
    load_code_lists,
    load_regions,
)
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

    settings: those of the administrator, who alone may write there.
    Raises EventInvalid if the contract does not take it, KafkaUnavailable, RegistryUnavailable.
    """
    event = _event(grading, reason)
    catalogue = load_catalogue()
    contract = catalogue.get(EVENT_TYPE)
    Validator(contract, load_code_lists(), load_regions()).check(event)
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    try:
        value = Codec(catalogue, registry).encode(contract, event)
    finally:
        registry.close()
    producer = Producer(settings.kafka_config(**{"enable.idempotence": True}))
    failed: list[str] = []
    producer.produce(
        TOPIC, value, on_delivery=lambda error, _: failed.append(error.name()) if error else None
    )
    if producer.flush(TIMEOUT_S) or failed:
        raise KafkaUnavailable(settings.kafka_bootstrap, failed[0] if failed else "no answer")
    event_id: str = event["meta"]["event_id"]
    return event_id


def _event(grading: Grading, reason: str) -> Event:
    now = time.time_ns() // 1000
    return {
        "meta": {
            "event_id": uuid7(),
            "event_type": EVENT_TYPE,
            "schema_version": 1,
            "department": "control",
            # of the whole, since contracts hold everywhere
            "community": next(each.code for each in load_regions() if not each.parent),
            "grid": None,
            "occurred_at": now,
            "recorded_at": now,
            "case_ref": None,
            "transition": "graded",
            "corrects": None,
            "purpose": "audit",
            "legal_basis": "legal_obligation",
            "retention": None,
            "backfill": False,
            "key_refs": {},
        },
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
        "approved_at": now,
        "proof": None,
    }


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
