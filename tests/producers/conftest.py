"""The bus of these tests: the real servers, with the topics, ACLs and schemas of all contracts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from confluent_kafka.cimpl import NewTopic

from maplebridge.access_policy.keytransport import TOPIC as KEYS_TOPIC
from maplebridge.access_policy.keytransport import BrokerPrivateKey
from maplebridge.producers.department import Department
from maplebridge.schemas import Codec, Event, RegistryClient, load_catalogue, load_schema
from maplebridge.settings import Profile, Settings

EPOCH = "2026-W47"
TRANSPORT = BrokerPrivateKey.generate(EPOCH)


class HasProfile(Protocol):
    profile: Profile


@dataclass(frozen=True)
class Record:
    """One event as it lies in a topic."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: dict[str, bytes]


@dataclass(frozen=True)
class Bus:
    """The servers, and what tests do with them as their administrator."""

    profile: Profile

    def settings(self, principal: str, home: Path, **changes: object) -> Settings:
        values = {
            **self.profile.settings(principal).model_dump(),
            "home": home,
            "key_broker_public_key": TRANSPORT.public().encode(),
            **changes,
        }
        return Settings(**values)

    def ends(self, topic: str) -> dict[int, int]:
        """Return the next offset of each partition."""
        consumer = self._consumer()
        try:
            partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
            return {
                number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)[1]
                for number in partitions
            }
        finally:
            consumer.close()

    def read(self, topic: str, since: dict[int, int]) -> list[Record]:
        """Return everything in `topic` from the offsets `since` to its present end."""
        until = self.ends(topic)
        wanted = sum(until[number] - since[number] for number in until)
        consumer = self._consumer()
        found: list[Record] = []
        try:
            consumer.assign([TopicPartition(topic, number, since[number]) for number in until])
            deadline = time.monotonic() + 60
            while len(found) < wanted and time.monotonic() < deadline:
                for message in consumer.consume(1000, 0.2):
                    assert message.error() is None
                    found.append(
                        Record(
                            topic,
                            message.partition() or 0,
                            message.offset() or 0,
                            message.key() or b"",
                            message.value() or b"",
                            dict(message.headers() or []),
                        )
                    )
        finally:
            consumer.close()
        return found

    def decode(self, records: list[Record]) -> list[Event]:
        codec = Codec(load_catalogue(), RegistryClient(self.profile.registry_url))
        return [codec.decode(record.value).event for record in records]

    def _consumer(self) -> Consumer:
        return Consumer(
            self.profile.settings("admin").kafka_config(
                **{"group.id": "test-reader", "enable.auto.commit": False}
            )
        )


@pytest.fixture(scope="session")
def bus(stack: HasProfile) -> Iterator[Bus]:
    profile = stack.profile
    admin = AdminClient(profile.settings("admin").kafka_config())
    registry = RegistryClient(profile.registry_url)
    writers = {KEYS_TOPIC: ["dept-hotline", "dept-grid", "dept-justice"]}
    for contract in load_catalogue().published:
        writers[contract.topic] = [f"dept-{contract.department}"]
        registry.register(f"{contract.topic}-value", contract.schema)
    registry.register(f"{KEYS_TOPIC}-value", load_schema("control/keys.master.created.v1"))
    _make_topics(admin, list(writers))
    _let_write(admin, writers)
    yield Bus(profile)
    registry.close()


@pytest.fixture
def hotline(bus: Bus, tmp_path: Path) -> Iterator[Department]:
    with Department("hotline", settings=bus.settings("dept-hotline", tmp_path)) as department:
        yield department


def _make_topics(admin: AdminClient, names: list[str]) -> None:
    settings = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    topics = [NewTopic(n, 1 if n == KEYS_TOPIC else 4, 1, config=settings) for n in names]
    for future in admin.create_topics(topics).values():
        try:
            future.result(20)
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise


def _let_write(admin: AdminClient, writers: dict[str, list[str]]) -> None:
    bindings = [
        AclBinding(
            ResourceType.TOPIC,
            topic,
            ResourcePatternType.LITERAL,
            f"User:{principal}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for topic, principals in writers.items()
        for principal in principals
        for operation in (AclOperation.WRITE, AclOperation.DESCRIBE)
    ]
    for future in admin.create_acls(bindings).values():
        future.result(20)
