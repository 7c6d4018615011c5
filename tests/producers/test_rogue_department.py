"""T5: a department publishes as itself alone, whatever it sends."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaError, Producer

from maplebridge.producers import Department
from tests.processors.lanes import Lane
from tests.producers.bus import Bus
from tests.producers.orders import envelope, order

HOTLINE = "mb.dept.hotline.hotline.order"
GRID = "mb.dept.grid.grid.case"


def produce(bus: Bus, principal: str, topic: str, key: bytes, value: bytes) -> KafkaError | None:
    answers: list[KafkaError | None] = []
    config = bus.profile.settings(principal).kafka_config(log_level=0)
    producer = Producer({**config, "topic.metadata.propagation.max.ms": 1000})
    producer.produce(topic, value, key, on_delivery=lambda error, _: answers.append(error))
    assert producer.flush(20) == 0
    return answers[0]


def test_kafka_refuses_what_a_department_writes_to_anothers_topic(
    bus: Bus, hotline: Department
) -> None:
    """T5: a stolen topic name; the login of the hotline does not reach it."""
    since = bus.ends(HOTLINE)
    hotline.publish("hotline.order", order(), **envelope()).result(20)
    (record,) = bus.read(HOTLINE, since)
    for topic in (GRID, "mb.core.hotline.order", "mb.react.place.warning"):
        refused = produce(bus, "dept-hotline", topic, record.key, record.value)
        assert refused is not None
        assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED
    assert produce(bus, "dept-hotline", HOTLINE, record.key, record.value) is None


def test_a_copied_event_is_refused_wherever_else_it_is_put(
    bus: Bus, hotline: Department, lanes: Callable[..., Lane]
) -> None:
    """T5: another topic, another key, another value under the same proof; the replay is one."""
    lane = lanes()
    since = bus.ends(HOTLINE)
    case = f"rogue/{time.time_ns()}"
    hotline.publish("hotline.order", order(), **envelope(case_ref=case)).result(20)
    (record,) = bus.read(HOTLINE, since)
    altered = record.value.replace(b"emergency", b"emergencx")
    assert altered != record.value
    # the administrator's login gets anything into any topic; the signature does not follow
    for topic, key, value in (
        (GRID, record.key, record.value),
        (HOTLINE, b"another-key", record.value),
        (HOTLINE, record.key, altered),
        (HOTLINE, record.key, record.value),
    ):
        assert produce(bus, "admin", topic, key, value) is None
    written = lane.combine()
    assert (written.combined, written.repeated, written.dead_lettered) == (1, 1, 3)
