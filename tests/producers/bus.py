"""The bus as the tests of producers see it: the real servers, read as their administrator."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from confluent_kafka import Consumer, TopicPartition

from maplebridge.schemas import Codec, Event, RegistryClient, load_catalogue
from maplebridge.settings import Profile, Settings


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
                            cast("dict[str, bytes]", dict(message.headers() or [])),
                        )
                    )
        finally:
            consumer.close()
        return found

    def decode(self, records: list[Record]) -> list[Event]:
        registry = RegistryClient(self.profile.registry_url)
        try:
            codec = Codec(load_catalogue(), registry)
            return [codec.decode(record.value).event for record in records]
        finally:
            registry.close()

    def _consumer(self) -> Consumer:
        return Consumer(
            self.profile.settings("admin").kafka_config(
                **{"group.id": "test-reader", "enable.auto.commit": False, "log_level": 0}
            )
        )
