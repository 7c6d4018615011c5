"""Events that the city's own people and services publish on `mb.control.*`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from maplebridge.access_policy.signatures import BatchSigner, SigningKey, event_leaf
from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.kafka_topics import Record, read_to_end, send
from maplebridge.producers.ids import uuid7
from maplebridge.schemas import (
    Codec,
    Event,
    RegistryClient,
    Validator,
    load_catalogue,
    load_code_lists,
    load_regions,
)
from maplebridge.schemas.codec import ProofWriter
from maplebridge.settings import Settings


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
    signed = _signed(settings, contract.topic, key, value)
    send(settings, [Record(contract.topic, key.encode(), signed)])
    event_id: str = event["meta"]["event_id"]
    return event_id


def read_events(settings: Settings, event_type: str) -> list[Event]:
    """Return every event of one type, in order; none if there is no such topic yet.

    What is not an event of the pinned contract is passed.
    Raises KafkaUnavailable, RegistryUnavailable.
    """
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    codec = Codec(load_catalogue(), registry)
    group, topic = f"{settings.principal}.control", f"mb.control.{event_type}"
    events = []
    try:
        for record in read_to_end(settings, [topic], group=group):
            try:
                events.append(codec.decode(record.value).event)
            except (EventInvalid, ContractRefused):
                continue
    finally:
        registry.close()
    return events


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
