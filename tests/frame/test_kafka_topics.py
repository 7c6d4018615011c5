"""Topics as registers, where Kafka does what is rare."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from maplebridge.errors import KafkaUnavailable
from maplebridge.kafka_topics import Follower, Record, read_to_end, send, send_together
from maplebridge.settings import Profile, Settings
from tests.processors.lanes import await_true


@pytest.fixture
def admin(provisioned: Profile) -> Settings:
    return provisioned.settings("admin")


@pytest.fixture
def topic(admin: Settings) -> Iterator[str]:
    name = f"test.{secrets.token_hex(4)}"
    make(admin, name)
    yield name
    remove(admin, name)


def done(futures: Mapping[Any, Future[Any]]) -> None:
    for each in futures.values():
        each.result(30)


def make(admin: Settings, topic: str) -> None:
    client = AdminClient(admin.kafka_config())
    done(client.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)]))
    await_true(lambda: topic in client.list_topics(timeout=10).topics)


def remove(admin: Settings, topic: str) -> None:
    client = AdminClient(admin.kafka_config())
    done(client.delete_topics([topic]))
    await_true(lambda: topic not in client.list_topics(timeout=10).topics)


def write(admin: Settings, topic: str, *values: bytes) -> None:
    send(admin, [Record(topic, b"", value) for value in values])


class Reader:
    """Keeps what it has read, as whoever follows a topic does."""

    def __init__(self, admin: Settings, topic: str) -> None:
        self.values: list[bytes] = []
        self.follower = Follower(admin, topic, group="admin.test", begin=self.values.clear)

    def read(self) -> list[bytes]:
        self.follower.read(lambda record: self.values.append(record.value))
        return self.values


@pytest.fixture
def reader(admin: Settings, topic: str) -> Iterator[Reader]:
    made = Reader(admin, topic)
    yield made
    made.follower.close()


@pytest.mark.parametrize("met_while_gone", [False, True])
@pytest.mark.parametrize("anew", [0, 1, 5, 6])
def test_a_topic_that_was_made_anew_is_read_from_its_beginning(
    admin: Settings, topic: str, reader: Reader, anew: int, met_while_gone: bool
) -> None:
    """T6: a revocation on it is not passed over, however far it reaches, nor an old grant kept."""
    write(admin, topic, *[b"grant"] * 5)
    assert reader.read() == [b"grant"] * 5
    assert reader.read() == [b"grant"] * 5
    remove(admin, topic)
    if met_while_gone:
        with pytest.raises(KafkaUnavailable):
            reader.read()
    make(admin, topic)
    write(admin, topic, *[b"revocation"] * anew)
    assert reader.read() == [b"revocation"] * anew
    write(admin, topic, b"later")
    assert reader.read() == [*[b"revocation"] * anew, b"later"]


def test_records_that_were_deleted_stop_nobody(admin: Settings, topic: str, reader: Reader) -> None:
    write(admin, topic, b"1", b"2", b"3")
    client = AdminClient(admin.kafka_config())
    done(client.delete_records([TopicPartition(topic, 0, 2)]))
    assert reader.read() == [b"3"]


def test_the_end_of_a_transaction_is_no_record_to_wait_for(
    admin: Settings, topic: str, reader: Reader
) -> None:
    send_together(admin, [Record(topic, b"", b"in a transaction")], transaction=topic)
    # Kafka ends a transaction a moment after it has said so
    await_true(lambda: reader.read() == [b"in a transaction"])
    write(admin, topic, b"behind it")
    assert reader.read() == [b"in a transaction", b"behind it"]


def test_records_of_one_transaction_are_read_together_or_not_at_all(
    admin: Settings, topic: str
) -> None:
    """F1: whatever stops the writer, a reader meets no part of them, and waits for none."""
    other = f"{topic}.other"
    make(admin, other)
    too_large = bytes(2_000_000)
    with pytest.raises(KafkaUnavailable):
        send_together(
            admin, [Record(topic, b"", b"part"), Record(other, b"", too_large)], transaction="t"
        )
    whole = [Record(topic, b"", b"1"), Record(other, b"", b"2")]
    send_together(admin, whole, transaction="t")
    found = read_to_end(admin, [topic, other], group="test-together")
    assert sorted(each.value for each in found) == [b"1", b"2"]
    remove(admin, other)
