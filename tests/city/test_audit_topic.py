"""The audit log on `mb.control.access` of the running city, by commands."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from maplebridge.access_policy.acl import ACCESS_TOPIC
from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.settings import Profile
from tests.processors.lanes import await_true
from tests.system.stack_user import DASHBOARD, OFFICER, TOWN, User

DENIED = 4


@pytest.fixture
def user(city: Profile, stack: Stack) -> User:
    return User(stack.home)


def roots(user: User) -> tuple[str, str]:
    """Return the roots of the database and of Kafka, all of both behind a checkpoint."""
    asked = [user.run("audit", "verify", *more, "--json") for more in ((), ("--from-kafka",))]
    assert [each.code for each in asked] == [0, 0], [each.said for each in asked]
    stored, sent = (each.last for each in asked)
    return (
        (stored["root"], sent["root"])
        if stored["leaves"] == stored["signed"] == sent["leaves"] == sent["signed"]
        else (stored["root"], "")
    )


def test_kafka_and_the_database_come_to_one_root_also_after_a_kill(
    city: Profile, stack: Stack, user: User, tmp_path: Path
) -> None:
    """T12, F1: readings while the service is killed; an export of the topic verifies offline."""
    for _ in range(3):
        assert user.run("query", "cases", *TOWN, "--limit", 1).code == 0
        running = stack.supervisor.find("audit")
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        assert user.run("query", "cases", *TOWN, "--limit", 1).code == 0
        up(stack, Progress())
    await_true(lambda: len(set(roots(user))) == 1)
    file = tmp_path / "access.jsonl"
    ran = user.run("audit", "export", file, "--from-kafka", "--json")
    told = user.run("audit", "verify", file, "--json").last
    assert told["verified"]
    assert told["leaves"] == ran.last["leaves"] >= 6
    newest = user.run("audit", "search", *OFFICER, "--limit", 1, "--json").last
    assert (newest["resource"], newest["on_behalf_of"]) == ("audit", "data-officer")
    ran = user.run("audit", "export", tmp_path / "none", "--from-kafka", *DASHBOARD)
    assert (ran.code, (tmp_path / "none").exists()) == (DENIED, False)


@pytest.mark.parametrize(
    "principal", ["app-data-officer", "app-town-mediation", "dept-justice", "deliver", "combine"]
)
def test_kafka_lets_nobody_else_know_it(city: Profile, principal: str) -> None:
    """T6: officers read through `query`, which asks the policies."""
    consumer = Consumer(city.settings(principal).kafka_config(**{"group.id": principal}))
    described = consumer.list_topics(ACCESS_TOPIC, timeout=10).topics[ACCESS_TOPIC].error
    consumer.close()
    assert described is not None
    assert described.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_kafka_does_not_let_its_writer_read_it(city: Profile) -> None:
    """T6."""
    config = {"group.id": "audit.access", "enable.auto.commit": False}
    consumer = Consumer(city.settings("audit").kafka_config(**config))
    consumer.assign([TopicPartition(ACCESS_TOPIC, 0, 0)])
    seen: list[int] = []

    def refused() -> bool:
        seen.extend(error.code() for each in consumer.consume(10, 0.5) if (error := each.error()))
        return KafkaError.TOPIC_AUTHORIZATION_FAILED in seen

    await_true(refused)
    consumer.close()


@pytest.mark.parametrize("principal", ["query", "deliver", "key-broker", "relay"])
def test_kafka_lets_the_service_audit_alone_write_it(city: Profile, principal: str) -> None:
    """T12, T13: writers of leaves write them in the database, and nowhere else."""
    failed: list[int] = []
    producer = Producer(city.settings(principal).kafka_config())
    producer.produce(
        ACCESS_TOPIC, b"x", on_delivery=lambda error, _: failed.append(error.code() if error else 0)
    )
    producer.flush(20)
    assert failed == [KafkaError.TOPIC_AUTHORIZATION_FAILED]
