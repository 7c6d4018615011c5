"""T1: nothing of grade L3 or L4 is on disk in plain, after it went the whole way."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from maplebridge import Department, Subscriber
from maplebridge.localstack.postgresql import PostgresServer
from tests.processors.made_events import communities
from tests.system.on_disk import files, find, writings
from tests.system.stack_user import User

COMMUNITY = communities()[7]
PATIENCE_S = 60


@dataclass(frozen=True)
class Told:
    """What was published: values that must be nowhere, and one that must be found."""

    secret: dict[str, str]
    plain: dict[str, str]


def _name() -> str:
    return "".join(chr(0x4E00 + secrets.randbelow(0x4000)) for _ in range(8))


def _number(digits: int) -> str:
    return "".join(str(secrets.randbelow(10)) for _ in range(digits))


@pytest.fixture(scope="module")
def told(user: User) -> Told:
    """Canaries published by two departments, combined, reacted to, delivered and read."""
    secret = {
        "name L3": _name(),
        "phone L3": "1000" + _number(14),
        "address L3": _name() + _number(6),
        "text L3": _name() * 2,
        "identity L4": _number(18),
        "agreement L4": _name() * 3,
        "dead-lettered phone L3": "1001" + _number(14),
    }
    plain = {"case number L2": f"CTRL{secrets.token_hex(12)}"}
    before = user.totals()
    _publish_disputes(user, secret, plain)
    _publish_orders(user, secret)
    user.wait_for_combined(before["combined"] + 5)
    _await(lambda: user.totals()["warnings"] > before["warnings"])
    _await(lambda: user.totals()["dead_lettered"] > before["dead_lettered"])
    assert _seen_by_the_town(user, plain["case number L2"]) == {
        secret["name L3"],
        secret["phone L3"],
    }
    return Told(secret, plain)


def _await(ready: Any) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _publish_disputes(user: User, secret: dict[str, str], plain: dict[str, str]) -> None:
    fields = {
        "case_no": plain["case number L2"],
        "kind": "people",
        "centre_level": "town_position",
        "dispute_type": "neighbour",
        "source": "hotline",
        "state": "applied",
        "party_count": 1,
        "parties": [
            {
                "role": "applicant",
                "name": secret["name L3"],
                "phone": secret["phone L3"],
                "id_no": secret["identity L4"],
            }
        ],
        "agreement_text": secret["agreement L4"],
    }
    how: dict[str, Any] = {
        "community": COMMUNITY,
        "transition": "applied",
        "occurred_at": datetime.now(UTC) - timedelta(hours=1),
        "purpose": "dispute_resolution",
        "legal_basis": "statutory_duty",
        "case_ref": f"canary/{_number(8)}",
    }
    with Department("justice", settings=user.profile.settings("dept-justice")) as justice:
        justice.publish("mediation.case", fields, **how)
        # a value that raises its own grade
        how["case_ref"] = f"canary/{_number(8)}"
        justice.publish("mediation.case", {**fields, "dispute_type": "family_violence"}, **how)


def _publish_orders(user: User, secret: dict[str, str]) -> None:
    """Publish what raises a warning, and one order that ends as a dead letter."""
    fields = {
        "channel": "phone",
        "demand_type": "report",
        "category": "gas",
        "urgency": "emergency",
        "state": "open",
        "anonymous": False,
        "caller_name": secret["name L3"],
        "caller_phone": secret["phone L3"],
        "address": secret["address L3"],
        "content": secret["text L3"],
    }
    how: dict[str, Any] = {
        "community": COMMUNITY,
        "transition": "received",
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
    }
    now = datetime.now(UTC)
    settings = user.profile.settings("dept-hotline").model_copy(update={"ahead_limit_s": 9e9})
    with Department("hotline", settings=settings) as hotline:
        for minutes in (50, 45, 40):
            at = now - timedelta(minutes=minutes)
            hotline.publish(
                "hotline.order", {**fields, "order_no": _number(12)}, occurred_at=at, **how
            )
        ahead = {
            **fields,
            "order_no": _number(12),
            "caller_phone": secret["dead-lettered phone L3"],
        }
        hotline.publish("hotline.order", ahead, occurred_at=now + timedelta(hours=2), **how)


def _seen_by_the_town(user: User, case_no: str) -> set[str]:
    """Return the names and phone numbers that the mediation centre reads in the case."""
    deadline = time.monotonic() + PATIENCE_S
    with Subscriber(
        "town-mediation",
        purpose="dispute_resolution",
        settings=user.profile.settings("app-town-mediation"),
        group=f"town-mediation.canary-{time.time_ns()}",
    ) as subscriber:
        while time.monotonic() < deadline:
            for view in subscriber.poll(1.0):
                if view.fields.get("case_no") == case_no and "name" in view.fields["parties"][0]:
                    return {view.fields["parties"][0][each] for each in ("name", "phone")}
    return set()


def _records(user: User) -> Iterator[tuple[str, bytes]]:
    """Yield every record of every topic as the super user reads it: uncompressed."""
    settings = user.profile.settings("admin")
    consumer = Consumer(
        settings.kafka_config(
            **{"group.id": "canary", "enable.partition.eof": True, "fetch.wait.max.ms": 10}
        )
    )
    topics = consumer.list_topics(timeout=10).topics
    places = [
        TopicPartition(name, partition, 0)
        for name, topic in topics.items()
        if not name.startswith("__")
        for partition in topic.partitions
    ]
    consumer.assign(places)
    left = len(places)
    parts: list[bytes] = []
    while left:
        for message in consumer.consume(10_000, 5.0):
            if (error := message.error()) is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                left -= 1
                continue
            parts += [_bytes(message.key()), _bytes(message.value())]
            parts += [_bytes(value) for value in dict(message.headers() or ()).values()]
    consumer.close()
    yield "Kafka's records", b"\n".join(parts)


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def test_a_canary_in_sealed_fields_is_in_no_file_of_the_stack(user: User, told: Told) -> None:
    """T1: Kafka's log, PostgreSQL's heap and WAL, key stores, dead letters, logs, a backup."""
    assert user.run("backup", user.home / "backup").code == 0
    roots = {user.home, PostgresServer(user.supervisor).folder}
    found = find(files(*roots), {**told.secret, **told.plain})
    assert {place for name, place in found if name in told.secret} == set()
    places = " ".join(place for name, place in found if name in told.plain)
    assert f"{user.home}/kafka" in places, "the control value is not found in Kafka's log"
    assert "pg_wal" in places, "the control value is not found in PostgreSQL's WAL"
    assert COMMUNITY.encode() in (user.home / "backup" / "events.copy").read_bytes()


def test_a_canary_in_sealed_fields_is_in_no_record_of_any_topic(user: User, told: Told) -> None:
    """T1: uncompressed, down to keys and headers, dead letters and deliveries too."""
    found = find(_records(user), {**told.secret, **told.plain})
    assert {name for name, _ in found} == set(told.plain)


@pytest.mark.parametrize("shift", range(3))
def test_the_search_finds_a_value_at_every_alignment_of_base64(shift: int) -> None:
    text = "枫桥1234567"
    around = base64.b64encode(b"x" * shift + text.encode() + b"yz")
    assert any(writing in around for writing in writings(text).values())
