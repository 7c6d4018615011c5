"""The audit log on Kafka: in order, nothing left out, and enough by itself to verify."""

from __future__ import annotations

import base64
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from confluent_kafka import Producer

from maplebridge.access_policy.acl import ACCESS_TOPIC
from maplebridge.access_policy.audit import (
    Report,
    Verifier,
    make_signing_key,
    run,
    signing_key_path,
    verify_export,
    write_topic_export,
)
from maplebridge.access_policy.audit.relay import AuditRelay
from maplebridge.access_policy.audit.store import StoredCheckpoint, last_checkpoint
from maplebridge.access_policy.audit.topic import SCHEMA, checkpoint_record, leaf_record
from maplebridge.errors import AuditCorrupt, KafkaUnavailable
from maplebridge.provision import TopicSpec, make_topics
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.settings import Profile, Settings
from tests.access_policy.audits import LEAF, Audit, sign
from tests.access_policy.witnesses import WitnessProcess, counted

WAIT_S = 60.0
CODEC = AvroCodec(load_schema(SCHEMA), 0)


@dataclass(frozen=True)
class Topic:
    """A topic of a test's own, on which an audit database is brought to Kafka."""

    audit: Audit
    name: str

    @property
    def settings(self) -> Settings:
        return self.audit.settings("admin")

    @contextmanager
    def service(self, **more: Any) -> Iterator[None]:
        stop = threading.Event()
        options = {"database": self.audit.database, "topic": self.name, "stop": stop}
        settings = self.settings.model_copy(update=more)
        running = threading.Thread(target=run, args=(settings,), kwargs=options)
        running.start()
        try:
            yield
        finally:
            stop.set()
            running.join(20)

    def write(self, *records: tuple[bytes, dict[str, Any]]) -> None:
        producer = Producer(self.settings.kafka_config())
        for key, value in records:
            producer.produce(self.name, CODEC.encode(value), key)
        assert producer.flush(20) == 0

    def verify(self, witnesses: Sequence[WitnessProcess] = (), quorum: int = 0) -> Report:
        path = self.audit.home / "topic.jsonl"
        write_topic_export(self.settings, path, topic=self.name)
        verifier = Verifier.parse(make_signing_key(signing_key_path(self.audit.home)))
        return verify_export(path, verifier=verifier, witnesses=counted(witnesses, quorum))

    def await_signed(self, size: int) -> Report:
        deadline = time.monotonic() + WAIT_S
        while (report := self.verify()).signed < size:
            assert time.monotonic() < deadline, report.text()
            time.sleep(0.3)
        return report


@pytest.fixture
def topic(provisioned: Profile, audit: Audit) -> Topic:
    make_signing_key(signing_key_path(audit.home))
    made = Topic(audit, f"{ACCESS_TOPIC}.test-{uuid.uuid4().hex}")
    make_topics(made.settings, [TopicSpec(made.name, 1)])
    return made


def append(audit: Audit, count: int) -> None:
    with audit.log("deliver") as log:
        log.append([replace(LEAF, at=LEAF.at + at) for at in range(count)])


def root_of(audit: Audit) -> bytes:
    with audit.connect("audit") as connection:
        stored = last_checkpoint(connection)
    assert stored is not None
    lines = stored.note.split("\n")
    return base64.b64decode(lines[2])


def test_the_topic_alone_leads_to_the_root_that_was_signed(topic: Topic) -> None:
    """T12: through checkpoints and restarts; the database is not asked."""
    size = 0
    for count in (1, 6, 700):
        with topic.service():
            append(topic.audit, count)
            size += count
            report = topic.await_signed(size)
    assert (report.verified, report.size, report.signed) == (True, 707, 707)
    assert report.root == root_of(topic.audit)
    with topic.audit.connect("admin") as admin:
        admin.execute("TRUNCATE audit.leaf, audit.checkpoint")
    assert topic.verify().root == report.root


def test_what_was_sent_and_not_remembered_is_sent_again_and_read_once(topic: Topic) -> None:
    """F1: a crash after Kafka's acknowledgement, before the place was written."""
    append(topic.audit, 5)
    sign(topic.audit)
    with topic.service():
        topic.await_signed(5)
    with topic.audit.connect("admin") as admin:
        admin.execute("UPDATE audit.relayed SET leaves = 2, checkpoint = 0")
    append(topic.audit, 3)
    with topic.service():
        report = topic.await_signed(8)
    assert (report.verified, report.size) == (True, 8)


def test_unless_all_is_acknowledged_the_place_stays(topic: Topic) -> None:
    """F3: Kafka does not answer."""
    append(topic.audit, 3)
    relay = AuditRelay(topic.settings, database=topic.audit.database, topic="not a topic's name")
    lost = Producer(topic.settings.kafka_config(**{"message.timeout.ms": 2000}))
    with topic.audit.connect("audit") as connection:
        with pytest.raises(KafkaUnavailable):
            relay.relay(connection, lost, CODEC)
        assert connection.execute("SELECT leaves FROM audit.relayed").fetchone() == (0,)


def test_a_cosignature_that_comes_later_comes_to_kafka_too(
    topic: Topic, two: list[WitnessProcess]
) -> None:
    addresses = tuple(each.address for each in two)
    with topic.service(audit_witnesses=addresses):
        append(topic.audit, 4)
        deadline = time.monotonic() + WAIT_S
        while topic.verify(two, 2).witnessed < 4:
            assert time.monotonic() < deadline
            time.sleep(0.3)
    assert topic.verify(two, 2).cosigners == ("w.court", "w.justice")


def relayed(topic: Topic) -> StoredCheckpoint:
    append(topic.audit, 6)
    with topic.service():
        topic.await_signed(6)
    with topic.audit.connect("audit") as connection:
        stored = last_checkpoint(connection)
    assert stored is not None
    return stored


def test_a_second_leaf_of_an_index_is_damage_and_a_repeated_one_is_not(topic: Topic) -> None:
    """T12: whoever may write the topic can add to it, and not take anything back."""
    relayed(topic)
    topic.write(leaf_record(3, replace(LEAF, at=LEAF.at + 3).encode()))
    assert topic.verify().verified
    topic.write(leaf_record(3, replace(LEAF, purpose="statistics").encode()))
    with pytest.raises(AuditCorrupt, match="two leaves 3 that differ") as caught:
        topic.verify()
    assert caught.value.index == 3


def test_leaves_that_came_early_stand_in_their_places(topic: Topic) -> None:
    """F3: some of a batch failed, what followed them did not, and all of it came again."""
    relayed(topic)
    bodies = [replace(LEAF, at=LEAF.at + at).encode() for at in range(6, 9)]
    records = [leaf_record(at, body) for at, body in enumerate(bodies, start=6)]
    topic.write(records[0], records[2], *records)
    report = topic.verify()
    assert (report.verified, report.size, report.signed) == (True, 9, 6)


@pytest.mark.parametrize(
    ("record", "damage"),
    [
        (leaf_record(8, LEAF.encode()), "lacks leaf 6"),
        ((b"leaf-6", leaf_record(6, LEAF.encode())[1] | {"leaf": None}), "neither leaf nor"),
    ],
)
def test_a_gap_and_a_record_of_nothing_are_damage(
    topic: Topic, record: tuple[bytes, dict[str, Any]], damage: str
) -> None:
    """T12."""
    relayed(topic)
    topic.write(record)
    with pytest.raises(AuditCorrupt, match=damage):
        topic.verify()


def test_a_checkpoint_of_another_root_is_named(topic: Topic) -> None:
    """T12: signed by nobody, or in another's place."""
    stored = relayed(topic)
    forged = stored.note.replace("\n6\n", "\n5\n", 1)
    topic.write(checkpoint_record(replace(stored, size=5, note=forged)))
    report = topic.verify()
    assert report.damage is not None
    assert report.damage.kind == "checkpoint"


def test_what_is_no_record_is_damage_and_its_bytes_are_not_shown(topic: Topic) -> None:
    """T18."""
    relayed(topic)
    producer = Producer(topic.settings.kafka_config())
    producer.produce(topic.name, b"\x00\x00\x00\x00\x00\xff secret")
    assert producer.flush(20) == 0
    with pytest.raises(AuditCorrupt, match="none of the audit log") as caught:
        topic.verify()
    assert "secret" not in str(caught.value)
