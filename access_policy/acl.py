"""Kafka's own access control, derived from contracts and consumers.

What may be read by whom is settled here for whole topics; rows and fields are
settled by view plans. No app has a rule for `mb.dept.*` or `mb.core.*`, so Kafka
itself refuses it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from maplebridge.errors import KafkaUnavailable
from maplebridge.schemas import Catalogue
from maplebridge.settings import Settings
from maplebridge.tls import explained

KEYS_TOPIC = "mb.control.keys"
SIGNING_TOPIC = "mb.control.signing"
ANSWERS_TOPIC = "mb.control.entry.recognised"
ERASED_TOPIC = "mb.control.erasure.acknowledged"
ACCESS_TOPIC = "mb.control.access"
GRANTS_TOPIC = "mb.control.policy.grant"
APP_PREFIX = "app-"
TIMEOUT_S = 15
POLL_S = 0.05

Rule = tuple[str, str, str, str, str]
"""principal, kind (TOPIC, GROUP, TRANSACTIONAL_ID), name, pattern (LITERAL, PREFIXED), operation"""


def out_topic(app: str) -> str:
    return f"mb.out.{app}"


def orders_topic(department: str) -> str:
    """Return where a department, and no other, is told what it is to erase."""
    return f"mb.control.erasure.ordered.{department}"


def app_principal(app: str) -> str:
    return f"{APP_PREFIX}{app}"


def wanted_rules(
    catalogue: Catalogue,
    apps: Iterable[str],
    *,
    parties: Iterable[str] = (),
    revoked: Collection[str] = (),
) -> frozenset[Rule]:
    """Return every rule Kafka should hold; all else is denied.

    apps: those that read a topic of their own. parties: principals that ask for grants and
    decide on them. revoked: principals that may do nothing any more.
    """
    rules: set[Rule] = set()
    for contract in catalogue.published:
        for publisher in contract.publishers:
            topic = contract.topic_of(publisher)
            rules |= _topic(f"dept-{publisher}", topic, "WRITE", "DESCRIBE")
            rules |= _topic("combine", topic, "READ", "DESCRIBE")
    for department in catalogue.departments:
        principal = f"dept-{department}"
        rules |= _topic(principal, KEYS_TOPIC, "WRITE", "DESCRIBE")
        rules |= _topic(principal, ANSWERS_TOPIC, "READ", "DESCRIBE")
        rules |= _topic(principal, orders_topic(department), "READ", "DESCRIBE")
        rules |= _topic(principal, ERASED_TOPIC, "WRITE", "DESCRIBE")
        for operation in ("READ", "DESCRIBE"):
            rules.add((principal, "GROUP", principal, "LITERAL", operation))
            rules.add((principal, "GROUP", f"{principal}.", "PREFIXED", operation))
    rules |= _topic("key-broker", KEYS_TOPIC, "READ", "DESCRIBE")
    # beside the administrator `query` alone reads it, for the officers it asks the policies of
    rules |= _topic("audit", ACCESS_TOPIC, "WRITE", "DESCRIBE")
    rules |= _topic("query", ACCESS_TOPIC, "READ", "DESCRIBE")
    parties = tuple(parties)
    for reader in ("combine", "key-broker", "deliver", "acl-sync", *parties):
        rules |= _topic(reader, SIGNING_TOPIC, "READ", "DESCRIBE")
    for reader in ("key-broker", "deliver", "acl-sync", *parties):
        rules |= _topic(reader, GRANTS_TOPIC, "READ", "DESCRIBE")
    for writer in ("acl-sync", *parties):
        rules |= _topic(writer, GRANTS_TOPIC, "WRITE")
        rules |= _prefixed(writer, "GROUP", f"{writer}.", "READ", "DESCRIBE")
    for operation in ("ALTER", "DESCRIBE"):
        rules.add(("acl-sync", "BROKER", "kafka-cluster", "LITERAL", operation))
    rules |= _prefixed("combine", "TOPIC", "mb.react.", "READ", "DESCRIBE")
    for prefix in ("mb.core.", "mb.react.", "mb.dlq."):
        rules |= _prefixed("relay", "TOPIC", prefix, "WRITE", "DESCRIBE")
    rules |= _topic("relay", ANSWERS_TOPIC, "WRITE", "DESCRIBE")
    rules |= _prefixed("react", "TOPIC", "mb.core.", "READ", "DESCRIBE")
    for prefix in ("mb.core.", "mb.react."):
        rules |= _prefixed("deliver", "TOPIC", prefix, "READ", "DESCRIBE")
    rules |= _prefixed("deliver", "TOPIC", "mb.out.", "WRITE", "DESCRIBE")
    rules |= _prefixed("deliver", "TRANSACTIONAL_ID", "deliver", "WRITE", "DESCRIBE")
    for service in ("combine", "key-broker", "react", "deliver", "query"):
        rules |= _prefixed(service, "GROUP", service, "READ", "DESCRIBE")
    for app in apps:
        principal = app_principal(app)
        rules |= _topic(principal, out_topic(app), "READ", "DESCRIBE")
        for operation in ("READ", "DESCRIBE"):
            rules.add((principal, "GROUP", app, "LITERAL", operation))
            rules.add((principal, "GROUP", f"{app}.", "PREFIXED", operation))
    return frozenset(rule for rule in rules if rule[0] not in revoked)


def sync_rules(settings: Settings, rules: frozenset[Rule], *, prefix: str = "") -> tuple[int, int]:
    """Make Kafka hold exactly `rules`; return how many were added and removed.

    settings: of who may alter rules. prefix: leave alone the rules of principals whose names
    begin otherwise. Raises KafkaUnavailable.
    """
    admin = AdminClient(settings.kafka_config())
    rules = _of(prefix, rules)
    try:
        held = _of(prefix, _held(admin))
        added, removed = rules - held, held - rules
        if added:
            for created in admin.create_acls([_binding(rule) for rule in sorted(added)]).values():
                created.result(TIMEOUT_S)
        if removed:
            for gone in admin.delete_acls([_filter(rule) for rule in sorted(removed)]).values():
                gone.result(TIMEOUT_S)
        # Kafka answers before the broker applies them: a producer that came at once would fail
        deadline = time.monotonic() + TIMEOUT_S
        while _of(prefix, _held(admin)) != rules and time.monotonic() < deadline:
            time.sleep(POLL_S)
    except (KafkaException, TimeoutError) as exc:
        reason = exc.args[0].name() if isinstance(exc, KafkaException) else "timed out"
        error = KafkaUnavailable(settings.kafka_bootstrap, reason)
        raise explained(error, tls_ca=settings.tls_ca) from exc
    return len(added), len(removed)


def _of(prefix: str, rules: Iterable[Rule]) -> frozenset[Rule]:
    return frozenset(rule for rule in rules if rule[0].startswith(prefix))


def _held(admin: AdminClient) -> frozenset[Rule]:
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]  # the stub knows no "any name"
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    bindings = admin.describe_acls(everything, request_timeout=TIMEOUT_S).result(TIMEOUT_S)
    return frozenset(_rule_of(binding) for binding in bindings)


def _topic(principal: str, topic: str, *operations: str) -> set[Rule]:
    return {(principal, "TOPIC", topic, "LITERAL", each) for each in operations}


def _prefixed(principal: str, kind: str, prefix: str, *operations: str) -> set[Rule]:
    return {(principal, kind, prefix, "PREFIXED", each) for each in operations}


def _binding(rule: Rule) -> AclBinding:
    principal, kind, name, pattern, operation = rule
    return AclBinding(
        ResourceType[kind],
        name,
        ResourcePatternType[pattern],
        f"User:{principal}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )


def _filter(rule: Rule) -> AclBindingFilter:
    principal, kind, name, pattern, operation = rule
    return AclBindingFilter(
        ResourceType[kind],
        name,
        ResourcePatternType[pattern],
        f"User:{principal}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )


def _rule_of(binding: AclBinding) -> Rule:
    kind, pattern, operation = (
        ResourceType(binding.restype),
        ResourcePatternType(binding.resource_pattern_type),
        AclOperation(binding.operation),
    )
    principal = binding.principal.removeprefix("User:")
    return principal, kind.name, binding.name, pattern.name, operation.name
