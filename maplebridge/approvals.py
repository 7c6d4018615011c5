"""Approved gradings as the bus itself remembers them, on `mb.control.schema.graded`."""

from __future__ import annotations

import time
from typing import Any

from maplebridge.control_events import publish, read_events
from maplebridge.schemas import Event
from maplebridge.schemas.gradings import Grading
from maplebridge.settings import Settings

EVENT_TYPE = "schema.graded"


def approved_gradings(settings: Settings) -> list[Grading]:
    """Return every grading on the topic, none if there is no such topic yet.

    What is not an event of the pinned contract approves nothing.
    Raises KafkaUnavailable, RegistryUnavailable.
    """
    return [grading for event in read_events(settings, EVENT_TYPE) for grading in _gradings(event)]


def approve(settings: Settings, grading: Grading, reason: str) -> str:
    """Write an approved grading to the topic; return the event's id once Kafka has it.

    settings: those of the administrator, who alone may write there. Raises as
    `control_events.publish`.
    """
    fields = _fields(grading, reason, at=time.time_ns() // 1000)
    return publish(settings, EVENT_TYPE, "graded", fields, key=grading.event_type)


def _fields(grading: Grading, reason: str, *, at: int) -> dict[str, Any]:
    return {
        "event_type": grading.event_type,
        "from_version": grading.from_version,
        "to_version": grading.to_version,
        "changes": [
            {
                "path": each.path,
                "kind": each.kind,
                "old_grade": _grade(each.old_grade),
                "new_grade": _grade(each.new_grade),
            }
            for each in sorted(grading.changes)
        ],
        "reason": reason,
        "approved_by": list(grading.approved_by),
        "approved_at": at,
    }


def _grade(number: int) -> str | None:
    return f"L{number}" if number else None


def _gradings(event: Event) -> list[Grading]:
    try:
        return [Grading.parse(event)]
    except (KeyError, TypeError, ValueError):
        return []
