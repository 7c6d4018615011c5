"""A department reads the answers to its entries that repeat one recorded already."""

from __future__ import annotations

import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from maplebridge.access_policy.acl import ANSWERS_TOPIC
from maplebridge.errors import AccessDenied
from maplebridge.producers.kafka_errors import is_login_refused, translate
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.schemas.recognised import RECOGNISED, Recognised
from maplebridge.settings import Settings
from maplebridge.tls import explained

TIMEOUT_S = 15.0
POLL_S = 0.2
_BATCH = 1_000


def read_answers(department: str, settings: Settings) -> list[Recognised]:
    """Return what holds of each entry of `department` that was answered, the latest told last.

    The answers from the topic's beginning to its end now; nothing is committed, so that
    every call gives them all. An entry whose answer was taken back has `repeats` None.
    Raises AccessDenied if Kafka does not know the login or does not let it read,
    KafkaUnavailable.
    """
    refused: list[KafkaError] = []
    consumer = Consumer(
        settings.kafka_config(
            **{
                "group.id": f"{settings.principal}.answers",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "error_cb": lambda error: (
                    refused.append(error) if is_login_refused(error) else None
                ),
            }
        )
    )
    try:
        return _of(department, _values(consumer))
    except KafkaException as exc:
        error = refused[0] if refused else exc.args[0]
        if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise AccessDenied(
                f"Kafka does not let {settings.principal} read {ANSWERS_TOPIC}.",
                rule="kafka-acl",
                todo="Act as a department, or ask the administrator for the ACL.",
            ) from exc
        translated = translate(
            error,
            address=settings.kafka_bootstrap,
            principal=settings.principal,
            topic=ANSWERS_TOPIC,
        )
        raise explained(translated, tls_ca=settings.tls_ca) from exc
    finally:
        consumer.close()


def _values(consumer: Consumer) -> list[bytes]:
    """Return the records of all partitions, each partition in its order."""
    topic = consumer.list_topics(ANSWERS_TOPIC, timeout=TIMEOUT_S).topics[ANSWERS_TOPIC]
    if topic.error is not None:
        raise KafkaException(topic.error)
    consumer.assign([TopicPartition(ANSWERS_TOPIC, n, OFFSET_BEGINNING) for n in topic.partitions])
    open_ = set(topic.partitions)
    values: list[bytes] = []
    deadline = time.monotonic() + TIMEOUT_S
    while open_:
        if time.monotonic() > deadline:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        # short: it waits the whole time unless so many come
        messages = consumer.consume(_BATCH, POLL_S)
        if messages:
            deadline = time.monotonic() + TIMEOUT_S
        for message in messages:
            error = message.error()
            if error is None:
                values.append(message.value() or b"")
            elif error.code() == KafkaError._PARTITION_EOF:
                open_.discard(message.partition())
            else:
                raise KafkaException(error)
    return values


def _of(department: str, values: list[bytes]) -> list[Recognised]:
    decode = AvroCodec(load_schema(RECOGNISED), 0).decode
    held: dict[tuple[str, str], Recognised] = {}
    for value in values:
        told = Recognised(**decode(value))
        if told.department == department:
            # taken out first, so that the latest stands last
            held.pop((told.event_id, told.event_type), None)
            held[told.event_id, told.event_type] = told
    return list(held.values())
