"""From one row of the outbox to the events it says; pure."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from maplebridge.errors import EventInvalid
from maplebridge.producers.batch import RETRACTION
from maplebridge.producers.event_json import read_event
from maplebridge.producers.mapping import MappedEvent, RowMapping
from maplebridge.producers.mapping.paths import follow
from maplebridge.producers.outbox.event_ids import event_id_of, event_named
from maplebridge.producers.outbox.plan import MappedEvents, PlainEvents, RelayPlan
from maplebridge.producers.strict_json import JsonRefused, Limits, parse

_DEPTH = 16
_VALUES = 50_000


@dataclass(frozen=True)
class OutboxRow:
    """One row that waits; `is_there` is false if it was deleted before it was relayed.

    payload: its text, None if it is over the limit or the column is null.
    """

    position: int
    id: uuid.UUID
    is_there: bool
    aggregatetype: str
    aggregateid: str
    type: str
    payload: str | None
    is_empty: bool
    timestamp: datetime | None


@dataclass(frozen=True)
class RelayedEvent:
    """The arguments of `Department.publish`."""

    event_type: str
    fields: dict[str, Any]
    envelope: dict[str, Any]


def read_row(row: OutboxRow, plan: RelayPlan, *, payload_max_bytes: int) -> list[RelayedEvent]:
    """Return what a row says happened.

    Raises EventInvalid, whose path is a column, a path into the payload or a field.
    """
    if not row.is_there:
        raise EventInvalid(
            "the row was deleted before it was relayed.",
            path="id",
            todo="Keep rows in the outbox until they are relayed.",
        )
    how = plan.types.get(row.type)
    if how is None:
        raise EventInvalid(
            "the relay file says nothing of this type.", path="type", todo="Add it under `types`."
        )
    told = _payload(row, payload_max_bytes)
    if isinstance(how, PlainEvents):
        return [_plain(row, told, how, plan.department)]
    return _mapped(row, told, how, plan.department)


def _payload(row: OutboxRow, max_bytes: int) -> Any:
    if row.is_empty:
        raise EventInvalid("the payload is empty.", path="payload")
    if row.payload is None:
        raise EventInvalid(f"larger than {max_bytes:,} bytes.", path="payload")
    try:
        return parse(row.payload.encode(), Limits(max_bytes, _DEPTH, _VALUES))
    except JsonRefused as exc:
        raise EventInvalid(exc.message, path="payload", todo=exc.todo) from None


def _plain(row: OutboxRow, told: Any, how: PlainEvents, department: str) -> RelayedEvent:
    event_type = how.contract.event_type
    defaults: dict[str, Any] = {**how.constants}
    if row.timestamp is not None:
        defaults["occurred_at"] = row.timestamp
    event = read_event(told, how.contract, defaults=defaults)
    envelope = event.envelope
    if envelope.get("event_id") is None:
        envelope["event_id"] = event_id_of(row.id, department, event_type)
    if envelope.get("corrects") is not None:
        envelope["corrects"] = event_named(
            envelope["corrects"], department, event_type, path="meta.corrects"
        )
    return RelayedEvent(event_type, _retracting(event_type, event.fields, department), envelope)


def _mapped(row: OutboxRow, told: Any, how: MappedEvents, department: str) -> list[RelayedEvent]:
    document = {
        "id": str(row.id),
        "aggregatetype": row.aggregatetype,
        "aggregateid": row.aggregateid,
        "type": row.type,
        "timestamp": row.timestamp.astimezone(UTC).isoformat() if row.timestamp else None,
        "payload": told,
    }
    corrects = follow(document, how.corrects) if how.corrects else ""
    return [
        _event(row, each, how.mapping, department, corrects)
        for each in how.mapping.of_document(document)
    ]


def _event(
    row: OutboxRow, mapped: MappedEvent, how: RowMapping, department: str, corrects: object
) -> RelayedEvent:
    event_type = how.contract.event_type
    transition = mapped.transition if how.split else None
    envelope = {
        "event_id": event_id_of(row.id, department, event_type, transition),
        "community": mapped.community,
        "transition": mapped.transition,
        "occurred_at": mapped.occurred_at,
        "recorded_at": mapped.recorded_at,
        "case_ref": mapped.case_ref,
        "grid": mapped.grid,
        "purpose": how.purpose,
        "legal_basis": how.legal_basis,
        "retention": how.retention,
        "backfill": how.backfill,
    }
    if corrects != "":
        envelope["corrects"] = event_named(
            corrects, department, event_type, path="meta.corrects", transition=transition
        )
    return RelayedEvent(event_type, _retracting(event_type, mapped.fields, department), envelope)


def _retracting(event_type: str, fields: dict[str, Any], department: str) -> dict[str, Any]:
    """Return the fields of an event; a retraction's name the event by then, not its row."""
    if event_type != RETRACTION or "retracts" not in fields:
        return fields
    target_type = str(fields.get("retracts_type"))
    target = event_named(fields["retracts"], department, target_type, path="retracts")
    return {**fields, "retracts": target}
