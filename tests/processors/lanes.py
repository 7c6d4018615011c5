"""Kafka as its administrator sees it, and lanes of the bulk lane of a test's own."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition

from maplebridge.access_policy.acl import ANSWERS_TOPIC
from maplebridge.access_policy.signatures import SigningKey
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import (
    Place,
    ProjectionStore,
    Written,
    connect,
    state_hash,
)
from maplebridge.schemas import AvroCodec, Codec, Event, RegistryClient, load_schema
from maplebridge.schemas.recognised import RECOGNISED
from maplebridge.settings import Profile
from maplebridge.wiring import make_combine, open_stores
from tests.processors.made_events import catalogue
from tests.processors.signing import signed

Kept = tuple[int, int, bytes | None, bytes | None, dict[str, bytes]]
"""partition, offset, key, value, headers"""


@dataclass(frozen=True)
class Kafka:
    """Kafka as its administrator sees it."""

    profile: Profile
    codec: Codec
    producer: Producer

    def publish(self, events: Iterable[Event]) -> None:
        """Write events to their departments' topics as the departments would."""
        for event in events:
            self.publish_one(event)
        self.flush()

    def publish_one(self, event: Event) -> None:
        """Write an event, and do not wait for it."""
        contract = self.codec.catalogue.get(event["meta"]["event_type"])
        topic = contract.topic_of(event["meta"]["department"])
        self.write(topic, self.signed(event), key=key_of(event))

    def signed(self, event: Event, *, record_key: bytes | None = None) -> bytes:
        """Return an event's value as its department signs it; a reaction signs nothing."""
        contract = self.codec.catalogue.get(event["meta"]["event_type"])
        department = event["meta"]["department"]
        private = self.profile.signing_keys.get(f"dept-{department}")
        if private is None:
            return self.codec.encode(contract, event)
        return signed(
            self.codec,
            contract,
            event,
            SigningKey.decode(private),
            topic=contract.topic_of(department),
            record_key=record_key or key_of(event),
        )

    def write(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int = -1,
        headers: dict[str, str | bytes | None] | None = None,
    ) -> None:
        self.producer.produce(topic, value, key=key, partition=partition, headers=headers or {})
        self.producer.poll(0)

    def flush(self) -> None:
        assert self.producer.flush(30) == 0

    def ends(self, topics: Sequence[str]) -> dict[Place, int]:
        consumer = self._consumer()
        try:
            found: dict[Place, int] = {}
            for topic in topics:
                for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
                    marks = consumer.get_watermark_offsets(
                        TopicPartition(topic, partition), timeout=10
                    )
                    found[topic, partition] = marks[1]
            return found
        finally:
            consumer.close()

    def read(self, since: Mapping[Place, int]) -> list[Kept]:
        """Return what was written since then, up to the present end."""
        until = self.ends(sorted({topic for topic, _ in since}))
        left = sum(until.values()) - sum(since.values())
        consumer = self._consumer()
        found: list[Kept] = []
        try:
            consumer.assign([TopicPartition(*place, offset) for place, offset in since.items()])
            while left > 0:
                for message in consumer.consume(1000, 1.0):
                    assert message.error() is None
                    left -= 1
                    found.append(
                        (
                            message.partition() or 0,
                            message.offset() or 0,
                            message.key(),
                            message.value(),
                            cast("dict[str, bytes]", dict(message.headers() or ())),
                        )
                    )
        finally:
            consumer.close()
        return found

    def _consumer(self) -> Consumer:
        return Consumer(
            self.profile.settings("admin").kafka_config(
                **{"group.id": "test-reader", "enable.auto.commit": False}
            )
        )


@contextmanager
def made_lanes(kafka: Kafka) -> Iterator[Callable[..., Lane]]:
    """Make lanes that begin at the offsets given, or at the present end."""
    made: list[Lane] = []

    def make(since: dict[Place, int] | None = None) -> Lane:
        schema = f"t_{secrets.token_hex(4)}"
        admin = kafka.profile.settings("admin")
        with connect(admin, schema="public") as owner:
            migrate(owner, schema=schema)
        lane = Lane(
            kafka, schema, connect(admin, schema=schema), since or kafka.ends(RECORD_TOPICS)
        )
        made.append(lane)
        lane.begin()
        return lane

    yield make
    for lane in made:
        lane.close()


def key_of(event: Event) -> bytes:
    made: str = event["meta"]["case_ref"] or event["meta"]["event_id"]
    return made.encode()


RECORD_TOPICS = [topic for contract in catalogue() for topic in contract.topics]


@dataclass
class Lane:
    """Projections in a schema of their own, over the records that a test writes."""

    kafka: Kafka
    schema: str
    connection: psycopg.Connection[Any]
    since: dict[Place, int]
    opened: list[ProjectionStore] = field(default_factory=list)

    @property
    def consumer(self) -> str:
        return f"combine-{self.schema}"

    def stores(self, consumer: str = "") -> tuple[ProjectionStore, ProjectionStore]:
        made = open_stores(
            self.kafka.profile.settings("combine"),
            consumer=consumer or self.consumer,
            schema=self.schema,
        )
        self.opened += made
        return made

    def begin(self) -> None:
        """Let the consumer start at `since`."""
        begin_at(self.connection, self.consumer, self.since)

    def ends(self) -> dict[Place, int]:
        return self.kafka.ends(RECORD_TOPICS)

    def combine(self, ends: Mapping[Place, int] | None = None) -> Written:
        """Combine up to the present end, in this process; return the sums."""
        written: list[Written] = []
        make_combine(
            self.kafka.profile.settings("combine"),
            self.stores(),
            ends=ends or self.ends(),
            on_written=written.append,
        ).run(threading.Event())
        return Written(
            sum(each.combined for each in written),
            sum(each.repeated for each in written),
            sum(each.dead_lettered for each in written),
        )

    def hash(self) -> str:
        return state_hash(self.connection)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        return self.connection.execute(query, values or None).fetchall()

    def answers(self) -> dict[str, str]:
        """Return what holds of the answers in the outbox: entry -> the one it repeats."""
        codec = AvroCodec(load_schema(RECOGNISED), 0)
        held: dict[str, str] = {}
        for (value,) in self.rows(
            "SELECT value FROM outbox WHERE topic = %s ORDER BY id", ANSWERS_TOPIC
        ):
            told = codec.decode(bytes(value))
            held[told["event_id"]] = told["repeats"]
        return {entry: repeats for entry, repeats in held.items() if repeats is not None}

    def close(self) -> None:
        for store in self.opened:
            store.connection.close()
        drop(self.connection, schema=self.schema)
        self.connection.close()


def begin_at(
    connection: psycopg.Connection[Any], consumer: str, since: Mapping[Place, int]
) -> None:
    """Let a consumer that has combined nothing yet start at these offsets."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO offsets VALUES (%s, %s, %s, %s, 0)",
            [(consumer, *place, offset) for place, offset in since.items()],
        )


@contextmanager
def opened(profile: Profile) -> Iterator[Kafka]:
    registry = RegistryClient(profile.registry_url)
    config = profile.settings("admin").kafka_config(
        **{"message.max.bytes": 4_000_000, "linger.ms": 5}
    )
    try:
        yield Kafka(profile, Codec(catalogue(), registry), Producer(config))
    finally:
        registry.close()


def await_true(told: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not told():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
