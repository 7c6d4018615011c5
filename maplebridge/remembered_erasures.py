"""Erasures as Kafka remembers them, for a key broker whose restored copy has forgotten some."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from maplebridge.access_policy.broker.vault import Subject
from maplebridge.access_policy.erasure.orders import orders_given
from maplebridge.control_events import read_events
from maplebridge.settings import Settings


@dataclass(frozen=True)
class Remembered:
    """An erasure that was asked for and is not completed.

    references: the subjects and cases that departments were ordered to erase for it, none
    if it did not come so far.
    """

    erasure_id: str
    ground: str
    requested_at: datetime
    due_at: datetime
    references: frozenset[Subject]


def remembered(settings: Settings) -> list[Remembered]:
    """Return every erasure that is open, oldest first; settings: the administrator's.

    What was completed needs no care: no copy opens what it destroyed.
    Raises KafkaUnavailable, RegistryUnavailable.
    """
    completed = {each["erasure_id"] for each in read_events(settings, "erasure.completed")}
    requested = {
        each["erasure_id"]: each
        for each in read_events(settings, "erasure.requested")
        if each["erasure_id"] not in completed
    }
    orders = orders_given(settings) if requested else []
    return [
        Remembered(
            erasure_id,
            event["ground"],
            _moment(event["meta"]["occurred_at"]),
            _moment(event["due_at"]),
            frozenset(
                (each.department, ref)
                for each in orders
                if each.erasure_id == erasure_id
                for ref in each.key_refs
            ),
        )
        for erasure_id, event in requested.items()
    ]


def _moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1e6, UTC)
