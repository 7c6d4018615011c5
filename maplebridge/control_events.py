"""Events that the city's own people and services publish on `mb.control.*`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from maplebridge.access_policy.signatures import BatchSigner, SigningKey, event_leaf
from maplebridge.errors import KafkaUnavailable
from maplebridge.producers.ids import uuid7
from maplebridge.schemas import (
    Codec,
    RegistryClient,
    Validator,
    load_catalogue,
    load_code_lists,
    load_regions,
)
from maplebridge.schemas.codec import ProofWriter
from maplebridge.settings import Settings
from maplebridge.tls import explained

TIMEOUT_S = 10.0


def publish(
    settings: Settings, event_type: str, transition: str, fields: Mapping[str, Any], *, key: str
) -> str:
    """Write one event as `settings.principal`; return its id once Kafka has it.

    It is signed where the principal has a signing key. Raises EventInvalid if the contract
    does not take it, KafkaUnavailable, RegistryUnavailable.
    """
    catalogue = load_catalogue()
    contract = catalogue.get(event_type)
    event = {"meta": _meta(event_type, contract.version, transition), **fields, "proof": None}
    Validator(contract, load_code_lists(), load_regions(settings.regions)).check(event)
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    try:
        value = Codec(catalogue, registry).encode(contract, event)
    finally:
        registry.close()
    _produce(settings, contract.topic, key.encode(), _signed(settings, contract.topic, key, value))
    event_id: str = event["meta"]["event_id"]
    return event_id


def _meta(event_type: str, version: int, transition: str) -> dict[str, Any]:
    now = time.time_ns() // 1000
    return {
        "event_id": uuid7(),
        "event_type": event_type,
        "schema_version": version,
        "department": "control",
        # of the whole: what is decided about the bus is no single community's
        "community": next(each.code for each in load_regions() if not each.parent),
        "grid": None,
        "occurred_at": now,
        "recorded_at": now,
        "case_ref": None,
        "transition": transition,
        "corrects": None,
        "purpose": "audit",
        "legal_basis": "legal_obligation",
        "retention": None,
        "backfill": False,
        "key_refs": {},
    }


def _signed(settings: Settings, topic: str, key: str, value: bytes) -> bytes:
    text = settings.signing_key.get_secret_value()
    if not text:
        return value
    # the last byte says that there is no proof yet
    unproven = value[:-1]
    signer = BatchSigner(settings.principal, SigningKey.decode(text))
    proof = signer.prove([event_leaf(topic, key.encode(), unproven)])[0]
    return unproven + ProofWriter().encode(proof)


def _produce(settings: Settings, topic: str, key: bytes, value: bytes) -> None:
    failed: list[str] = []
    try:
        producer = Producer(settings.kafka_config(**{"enable.idempotence": True}))
        producer.produce(
            topic,
            value,
            key,
            on_delivery=lambda error, _: failed.append(error.name()) if error else None,
        )
        unsent = producer.flush(TIMEOUT_S)
    except KafkaException as exc:
        unsent, failed = 0, [exc.args[0].name()]
    if unsent or failed:
        error = KafkaUnavailable(settings.kafka_bootstrap, failed[0] if failed else "no answer")
        raise explained(error, tls_ca=settings.tls_ca)
