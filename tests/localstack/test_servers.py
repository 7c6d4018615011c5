"""The running servers: who gets in, who does not, and that only this machine can ask."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import psutil
import psycopg
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from maplebridge.localstack import Stack, doctor, ensure_scram_users, principals
from maplebridge.localstack.processes import family
from maplebridge.localstack.stack import SERVERS
from tests.processors.lanes import await_true

QUIET = {"log_level": 0}


@pytest.fixture
def admin(stack: Stack) -> AdminClient:
    return AdminClient(stack.profile.settings("admin").kafka_config(**QUIET))


@pytest.fixture
def topic(admin: AdminClient) -> Iterator[str]:
    name = f"mb.dept.test.{uuid.uuid4().hex}"
    admin.create_topics([NewTopic(name, 1, 1)])[name].result(20)
    # made is not yet known to all of the broker
    await_true(lambda: admin.list_topics(name).topics[name].error is None)
    yield name
    admin.delete_topics([name])[name].result(20)


def produce(stack: Stack, principal: str, topic: str) -> KafkaError | None:
    """Return the error of the delivery report, None if Kafka took the record."""
    answers: list[KafkaError | None] = []
    config = stack.profile.settings(principal).kafka_config(**QUIET)
    producer = Producer({**config, "topic.metadata.propagation.max.ms": 1000})
    producer.produce(topic, b"x", on_delivery=lambda error, _: answers.append(error))
    producer.flush(20)
    return answers[0]


def test_up_again_is_harmless(stack: Stack) -> None:
    before = {server.name: server.pid for server in stack.status()}
    assert stack.up() == stack.profile
    assert {server.name: server.pid for server in stack.status()} == before
    assert [server.state for server in stack.status()][:3] == ["running"] * 3


def test_a_wrong_password_does_not_get_into_kafka(stack: Stack) -> None:
    seen: list[KafkaError] = []
    config = stack.profile.settings("admin").kafka_config(**QUIET)
    wrong = {**config, "sasl.password": "wrong", "error_cb": seen.append}
    client = AdminClient(wrong)
    with pytest.raises(KafkaException):
        client.list_topics(timeout=1)
    client.poll(5)
    assert KafkaError._AUTHENTICATION in {error.code() for error in seen}


def test_a_principal_without_an_acl_cannot_write(stack: Stack, topic: str) -> None:
    assert produce(stack, "admin", topic) is None
    refused = produce(stack, "dept-hotline", topic)
    assert refused is not None
    assert refused.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED


def test_no_topic_makes_itself(stack: Stack, admin: AdminClient) -> None:
    name = f"mb.dept.test.{uuid.uuid4().hex}"
    refused = produce(stack, "admin", name)
    assert refused is not None
    assert name not in admin.list_topics(timeout=10).topics


def test_records_are_stamped_by_the_broker(admin: AdminClient, topic: str) -> None:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    config = admin.describe_configs([resource])[resource].result(10)
    assert config["message.timestamp.type"].value == "LogAppendTime"


def test_every_kafka_user_is_known_and_none_is_made_twice(stack: Stack) -> None:
    assert ensure_scram_users(stack.profile) == []
    for user in ("combine", "app-data-officer"):
        config = stack.profile.settings(user).kafka_config(**QUIET)
        assert AdminClient(config).list_topics(timeout=10).brokers


def connect(stack: Stack, principal: str, database: str, password: str = "") -> None:
    settings = stack.profile.settings(principal)
    secret = password or settings.secret.get_secret_value()
    psycopg.connect(settings.postgres_dsn(database), password=secret).close()


def test_a_wrong_password_does_not_get_into_postgresql(stack: Stack) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(stack, "combine", "maplebridge", "wrong")


@pytest.mark.parametrize("database", [*principals.DATABASES, "postgres", "template1"])
@pytest.mark.parametrize("principal", principals.POSTGRES_USERS)
def test_a_role_opens_its_own_databases_only(stack: Stack, principal: str, database: str) -> None:
    if principal in principals.DATABASES.get(database, ()):
        connect(stack, principal, database)
    else:
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            connect(stack, principal, database)


def test_no_component_is_a_super_user(stack: Stack) -> None:
    settings = stack.profile.settings("admin")
    with psycopg.connect(
        settings.postgres_dsn("postgres"), password=settings.secret.get_secret_value()
    ) as connection:
        rows = connection.execute("SELECT rolname FROM pg_roles WHERE rolsuper").fetchall()
    assert rows == [("mb_admin",)]


def test_the_registry_answers_in_the_confluent_dialect(stack: Stack) -> None:
    answer = httpx.get(f"{stack.profile.registry_url}/apis/ccompat/v7/subjects")
    assert answer.status_code == 200
    assert isinstance(answer.json(), list)


def test_nothing_listens_beyond_loopback(stack: Stack) -> None:
    found = [stack.supervisor.find(name) for name in SERVERS]
    ours = {pid for running in found if running for pid in family(running.pid)}
    assert len(ours) > len(SERVERS)
    bound = [
        connection.laddr
        for connection in psutil.net_connections("inet")
        if connection.pid in ours and not connection.raddr and connection.laddr
    ]
    ports = stack.ports()
    del ports["key-broker"]
    assert {address.ip.removeprefix("::ffff:") for address in bound} == {"127.0.0.1"}
    assert {address.port for address in bound} == set(ports.values())


def test_no_secret_is_on_a_command_line_or_in_a_log(stack: Stack) -> None:
    secrets = [secret.encode() for secret in stack.profile.secrets.values()]
    places = [path.read_bytes() for path in stack.supervisor.logs.iterdir()]
    for process in psutil.process_iter(["cmdline"]):
        places.append("\n".join(process.info["cmdline"] or ()).encode())
    assert not any(secret in place for secret in secrets for place in places)


def test_the_doctor_finds_a_running_stack_well(stack: Stack) -> None:
    bad = [check for check in doctor(stack) if check.state != "ok"]
    assert bad == []
