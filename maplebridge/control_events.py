"""Events of the bus itself, on `mb.control.<event type>`: written by its administrator."""

from __future__ import annotations

import time
from typing import Any

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
from maplebridge.settings import Settings


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


def publish_event(
    settings: Settings,
    event_type: str,
    fields: dict[str, Any],
    *,
    transition: str,
    purpose: str,
    at: int | None = None,
) -> str:
    """Write one event; return its id once Kafka has it.

    settings: those of the administrator, who alone may write there. at: when it happened,
    microseconds since 1970; now if not given.
    Raises EventInvalid if the contract does not take it, KafkaUnavailable, RegistryUnavailable.
    """
    now = time.time_ns() // 1000
    event: Event = {
        "meta": {
            "event_id": uuid7(),
            "event_type": event_type,
            "schema_version": 1,
            "department": "control",
            # of the whole: what holds of the bus holds everywhere
            "community": next(each.code for each in load_regions() if not each.parent),
            "grid": None,
            "occurred_at": now if at is None else at,
            "recorded_at": now,
            "case_ref": None,
            "transition": transition,
            "corrects": None,
            "purpose": purpose,
            "legal_basis": "legal_obligation",
            "retention": None,
            "backfill": False,
            "key_refs": {},
        },
        **fields,
        "proof": None,
    }
    catalogue = load_catalogue()
    contract = catalogue.get(event_type)
    Validator(contract, load_code_lists(), load_regions()).check(event)
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    try:
        value = Codec(catalogue, registry).encode(contract, event)
    finally:
        registry.close()
    send(settings, [Record(contract.topic, b"", value)])
    event_id: str = event["meta"]["event_id"]
    return event_id
