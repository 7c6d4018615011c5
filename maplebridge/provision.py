"""Provisioning: topics, access rules, tables, schemas and keys of a city; safe to repeat."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from maplebridge.access_policy.acl import KEYS_TOPIC, out_topic, sync_rules, wanted_rules
from maplebridge.errors import KafkaUnavailable
from maplebridge.projections.migrate import migrate
from maplebridge.projections.store import connect
from maplebridge.schemas import Catalogue, RegistryClient, load_schema
from maplebridge.settings import Settings

TIMEOUT_S = 30
EPOCH_MS = 7 * 24 * 3600 * 1000
FOREVER_MS = -1
RECORD_PARTITIONS = 4


@dataclass(frozen=True)
class TopicSpec:
    """A topic: retention_ms is -1 where it is the record."""

    name: str
    partitions: int = RECORD_PARTITIONS
    retention_ms: int = FOREVER_MS

    def new(self) -> NewTopic:
        return NewTopic(
            self.name,
            num_partitions=self.partitions,
            replication_factor=1,
            config={
                "message.timestamp.type": "LogAppendTime",
                "retention.ms": str(self.retention_ms),
                "retention.bytes": "-1",
            },
        )


def wanted_topics(catalogue: Catalogue, apps: Iterable[str]) -> list[TopicSpec]:
    """Return every topic of the bus, in the order of an event's way."""
    topics = [TopicSpec(KEYS_TOPIC, 1, EPOCH_MS)]
    for contract in catalogue:
        topics.append(TopicSpec(contract.topic))
        if contract.core_topic != contract.topic:
            topics.append(TopicSpec(contract.core_topic))
        topics.append(TopicSpec(f"mb.dlq.{contract.topic}", 1))
    return topics + [TopicSpec(out_topic(app), 2) for app in apps]


def make_topics(settings: Settings, topics: Iterable[TopicSpec]) -> int:
    """Make the topics that are missing; return how many. Raises KafkaUnavailable."""
    admin = AdminClient(settings.kafka_config())
    try:
        held = set(admin.list_topics(timeout=TIMEOUT_S).topics)
        missing = [topic for topic in topics if topic.name not in held]
        if missing:
            for future in admin.create_topics([topic.new() for topic in missing]).values():
                future.result(TIMEOUT_S)
    except KafkaException as exc:
        error = exc.args[0]
        if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise KafkaUnavailable(settings.kafka_bootstrap, error.name()) from exc
    return len(missing)


def register_schemas(registry: RegistryClient, catalogue: Catalogue, apps: Iterable[str]) -> int:
    """Register every contract, and the schemas of the bus itself; return how many subjects."""
    subjects = {f"{KEYS_TOPIC}-value": load_schema("control/keys.master.created.v1")}
    subjects |= {f"{out_topic(app)}-value": load_schema("out/view.v1") for app in apps}
    for contract in catalogue:
        subjects[f"{contract.topic}-value"] = contract.schema
        subjects[f"{contract.core_topic}-value"] = contract.schema
    for subject, schema in subjects.items():
        registry.register(subject, schema)
    return len(subjects)


def provision_record(settings: Settings, catalogue: Catalogue, apps: Iterable[str]) -> None:
    """Make topics, access rules, projections' tables and schemas, as the super user."""
    apps = list(apps)
    make_topics(settings, wanted_topics(catalogue, apps))
    sync_rules(settings, wanted_rules(catalogue, apps))
    with connect(settings, schema="public") as connection:
        migrate(connection)
    registry = RegistryClient(settings.registry_url)
    register_schemas(registry, catalogue, apps)
    registry.close()
