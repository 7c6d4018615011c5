"""What a reaction says: an event with its envelope, sent with what led to it in one transaction."""

from __future__ import annotations

from typing import Any

import psycopg

from maplebridge.schemas import Codec, Contract, Event
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.processors", "reaction_outbox.sql")


def envelope(
    contract: Contract, *, event_id: str, community: str, occurred_at: int, transition: str
) -> dict[str, Any]:
    """Return the `meta` of a reaction's event; occurred_at in microseconds since 1970."""
    return {
        "event_id": event_id,
        "event_type": contract.event_type,
        "schema_version": contract.version,
        "department": contract.department,
        "community": community,
        "grid": None,
        "occurred_at": occurred_at,
        "recorded_at": occurred_at,
        "case_ref": None,
        "transition": transition,
        "corrects": None,
        "purpose": "safety_response",
        "legal_basis": "statutory_duty",
        "retention": None,
        "backfill": False,
        "key_refs": {},
    }


async def send(
    connection: psycopg.AsyncConnection[Any], codec: Codec, contract: Contract, event: Event
) -> None:
    """Put an event into the outbox, in the transaction that `connection` is in."""
    await connection.execute(
        SQL["send"],
        {
            "topic": contract.topic,
            "key": event["meta"]["event_id"].encode(),
            "value": codec.encode(contract, event),
        },
    )
