"""Provisioning: topics, access rules, tables, schemas and keys of a city; safe to repeat."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from maplebridge.access import end_overlaps
from maplebridge.access_policy.acl import (
    ACCESS_TOPIC,
    ANSWERS_TOPIC,
    ERASED_TOPIC,
    GRANTS_TOPIC,
    KEYS_TOPIC,
    SIGNING_TOPIC,
    app_principal,
    orders_topic,
    out_topic,
    sync_rules,
)
from maplebridge.access_policy.acl_sync import apps_with_topics, city_rules
from maplebridge.access_policy.audit.service import signing_key_path
from maplebridge.access_policy.audit.store import connect as connect_audit
from maplebridge.access_policy.audit.store import migrate as migrate_audit
from maplebridge.access_policy.audit.store import require
from maplebridge.access_policy.audit.topic import SCHEMA as ACCESS_SCHEMA
from maplebridge.access_policy.broker.roots import provision as provision_key_broker
from maplebridge.access_policy.broker.store import administer
from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.erasure.orders import ACKNOWLEDGED, ORDERED
from maplebridge.access_policy.grant_log import FixedGrants
from maplebridge.access_policy.officers import load_officers
from maplebridge.access_policy.signatures import Enrolment, SigningKey
from maplebridge.access_policy.signed_note import make_signing_key
from maplebridge.access_policy.signing_keys import SCHEMA as SIGNING_SCHEMA
from maplebridge.access_policy.signing_keys import SigningKeyDirectory, enrol
from maplebridge.approvals import approved_gradings
from maplebridge.errors import KafkaUnavailable
from maplebridge.projections.migrate import migrate
from maplebridge.projections.store import connect
from maplebridge.schemas import (
    Catalogue,
    RegistryClient,
    load_catalogue,
    load_schema,
)
from maplebridge.schemas.recognised import RECOGNISED
from maplebridge.schemas.registration import register_contracts
from maplebridge.settings import Profile, Settings
from maplebridge.tls import explained
from maplebridge.wiring import grants_now, make_policies

TIMEOUT_S = 30
EPOCH_MS = 7 * 24 * 3600 * 1000
FOREVER_MS = -1
RECORD_PARTITIONS = 4
KAFKA_MAX_BYTES = 1_048_588
"""Kafka's own default for one record."""
KAFKA_OVERHEAD_BYTES = 100_000


@dataclass(frozen=True)
class TopicSpec:
    """A topic: retention_ms is -1 where it is the record; max_bytes is of one record."""

    name: str
    partitions: int = RECORD_PARTITIONS
    retention_ms: int = FOREVER_MS
    max_bytes: int = KAFKA_MAX_BYTES

    def new(self) -> NewTopic:
        return NewTopic(
            self.name,
            num_partitions=self.partitions,
            replication_factor=1,
            config={
                "message.timestamp.type": "LogAppendTime",
                "retention.ms": str(self.retention_ms),
                "retention.bytes": "-1",
                "max.message.bytes": str(self.max_bytes),
            },
        )


def wanted_topics(
    catalogue: Catalogue, apps: Iterable[str], *, record_max_bytes: int
) -> list[TopicSpec]:
    """Return every topic of the bus, in the order of an event's way.

    record_max_bytes: the largest record the bus itself writes.
    """
    large = record_max_bytes + KAFKA_OVERHEAD_BYTES
    topics = [
        TopicSpec(KEYS_TOPIC, 1, EPOCH_MS),
        TopicSpec(SIGNING_TOPIC, 1),
        TopicSpec(ANSWERS_TOPIC),
        TopicSpec(ERASED_TOPIC, 1),
        TopicSpec(ACCESS_TOPIC, 1),
    ]
    topics += [TopicSpec(orders_topic(each), 1) for each in catalogue.departments]
    for contract in catalogue:
        for topic in contract.topics:
            topics.append(TopicSpec(topic))
            topics.append(TopicSpec(f"mb.dlq.{topic}", 1, max_bytes=large))
        if contract.core_topic not in contract.topics:
            topics.append(TopicSpec(contract.core_topic, max_bytes=large))
    topics += [TopicSpec(contract.topic, 1) for contract in catalogue.control]
    return topics + [TopicSpec(out_topic(app), 2, max_bytes=large) for app in apps]


def make_topics(settings: Settings, topics: Iterable[TopicSpec]) -> list[str]:
    """Make the topics that are missing; return their names. Raises KafkaUnavailable."""
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
            raise explained(
                KafkaUnavailable(settings.kafka_bootstrap, error.name()), tls_ca=settings.tls_ca
            ) from exc
    return [topic.name for topic in missing]


def register_schemas(settings: Settings, catalogue: Catalogue, apps: Iterable[str]) -> int:
    """Register every contract through the gate, and the schemas of the bus itself.

    settings: those of the administrator. Returns how many subjects there are. Raises
    ContractRefused, RegistryUnavailable; KafkaUnavailable if approvals must be read.
    """
    plumbing = {
        f"{KEYS_TOPIC}-value": load_schema("control/keys.master.created.v1"),
        f"{SIGNING_TOPIC}-value": load_schema(SIGNING_SCHEMA),
        f"{ANSWERS_TOPIC}-value": load_schema(RECOGNISED),
        f"{ACCESS_TOPIC}-value": load_schema(ACCESS_SCHEMA),
    }
    ordered = load_schema(ORDERED)
    plumbing |= {f"{orders_topic(each)}-value": ordered for each in catalogue.departments}
    plumbing[f"{ERASED_TOPIC}-value"] = load_schema(ACKNOWLEDGED)
    plumbing |= {f"{out_topic(app)}-value": load_schema("out/view.v1") for app in apps}
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    try:
        for subject, schema in plumbing.items():
            registry.register(subject, schema)
        return len(plumbing) + register_contracts(
            registry, catalogue.everything, lambda: approved_gradings(settings)
        )
    finally:
        registry.close()


def provision(profile: Profile) -> Profile:
    """Make all that the services need, on the servers of `profile`; repeat at will.

    Returns the profile with the public keys of the key broker and the audit log, saved.
    Raises KafkaUnavailable, StoreUnavailable or RegistryUnavailable.
    """
    admin = profile.settings("admin")
    catalogue = load_catalogue()
    apps = apps_with_topics(load_consumers())
    with ThreadPoolExecutor(3) as pool:
        topics = pool.submit(_provision_kafka, profile, catalogue, apps)
        schemas = pool.submit(register_schemas, admin, catalogue, apps)
        tables = pool.submit(_provision_tables, profile)
        for job in (topics, schemas):
            job.result()
        public_key = tables.result()
    provisioned = profile.model_copy(
        update={
            "key_broker_public_key": public_key,
            "audit_public_key": make_signing_key(signing_key_path(profile.home)),
            "signing_keys": _enrolled(profile, admin, catalogue),
        }
    )
    provisioned.save()
    end_overlaps(provisioned, now=datetime.now(UTC))
    return provisioned


def _provision_kafka(profile: Profile, catalogue: Catalogue, apps: Sequence[str]) -> None:
    settings = profile.settings("admin")
    wanted = wanted_topics(catalogue, apps, record_max_bytes=settings.record_max_bytes)
    made = make_topics(settings, wanted)
    # a topic that was just made holds none, and has no leader yet
    grants = FixedGrants() if GRANTS_TOPIC in made else grants_now(settings)
    policies = make_policies(settings, catalogue, grants=grants)
    sync_rules(settings, city_rules(policies, revoked=profile.revoked))


def _enrolled(profile: Profile, admin: Settings, catalogue: Catalogue) -> dict[str, str]:
    """Return a signing key for whoever signs and whose keys are made here, each enrolled."""
    signers = [
        *(f"dept-{each}" for each in catalogue.departments),
        *map(app_principal, apps_with_topics(load_consumers())),
        *load_officers().principals,
    ]
    keys = {
        principal: SigningKey.decode(profile.signing_keys[principal])
        if principal in profile.signing_keys
        else SigningKey.generate()
        for principal in signers
        if principal not in profile.handovers
    }
    directory = SigningKeyDirectory(admin)
    known = {each.key_id for each in directory.all()}
    directory.close()
    fresh = [
        Enrolment(principal.removeprefix("dept-"), key.key_id, key.public_key, valid_from=0)
        for principal, key in keys.items()
        if key.key_id not in known
    ]
    enrol(admin, fresh)
    return {principal: key.encode() for principal, key in keys.items()}


def _provision_tables(profile: Profile) -> str:
    """Migrate all databases; return the key broker's public key of this epoch, base64."""
    admin = profile.settings("admin")
    with connect(admin, schema="public") as connection:
        migrate(connection)
    with connect_audit(admin) as connection:
        migrate_audit(connection)
        require(connection, quorum=admin.audit_quorum, overdue_s=admin.audit_overdue_s)
    with administer(admin) as connection:
        key = provision_key_broker(
            profile.settings("key-broker"),
            connection,
            now=datetime.now(UTC),
            principals=profile.secrets,
        )
    return key.encode()
