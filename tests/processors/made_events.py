"""Made-up events of the three departments, as they lie in process: nobody here exists."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from random import Random
from typing import Any

from maplebridge.producers import uuid7
from maplebridge.schemas import Catalogue, Event, load_catalogue, load_regions

MOMENT = datetime(2026, 3, 2, 1, tzinfo=UTC)
AT = int(MOMENT.timestamp()) * 1_000_000
"""The same, in microseconds since 1970."""
MINUTE = 60_000_000
TOWN, OTHER_TOWN = "330681001000", "330681002000"
TOKEN = b"MB\x01\x01" + bytes(84)
"""Long enough to pass for a sealed field; no key opens it, so it is kept from TOWN's app."""


@cache
def catalogue() -> Catalogue:
    return load_catalogue()


@cache
def communities(town: str = TOWN) -> tuple[str, ...]:
    """Return those of a town that were in use at all times."""
    regions = load_regions()
    return tuple(sorted(regions.within(town) & regions.always_communities))


def event_id(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


def meta(event_type: str, department: str, first: str, /, **changes: Any) -> dict[str, Any]:
    made: dict[str, Any] = {
        "event_id": uuid7(),
        "event_type": event_type,
        "schema_version": 1,
        "department": department,
        "community": communities(OTHER_TOWN)[0],
        "grid": None,
        "occurred_at": AT,
        "recorded_at": AT,
        "case_ref": None,
        "transition": first,
        "corrects": None,
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
        "retention": None,
        "backfill": False,
        "key_refs": {},
    }
    made.update(changes)
    return made


def order(fields: dict[str, Any] | None = None, **changes: Any) -> Event:
    """Return a hotline order; `changes` are those of its envelope."""
    made = {
        "meta": meta("hotline.order", "hotline", "received", **changes),
        "order_no": "A1",
        "channel": "phone",
        "demand_type": "help",
        "category": "road",
        "urgency": "general",
        "unit": None,
        "due_at": None,
        "state": "open",
        "return_reason": None,
        "anonymous": False,
        "caller_under_14": False,
        "caller_name": None,
        "caller_name_child": None,
        "caller_phone": None,
        "caller_phone_child": None,
        "address": None,
        "address_child": None,
        "content": None,
        "proof": None,
    }
    return {**made, **(fields or {})}


def grid_case(fields: dict[str, Any] | None = None, **changes: Any) -> Event:
    made = {
        "meta": meta("grid.case", "grid", "collected", **changes),
        "case_no": "G1",
        "part_or_event": "event",
        "class_code": "appearance_environment",
        "state": "collected",
        "unit": None,
        "due_at": None,
        "latlon": None,
        "latlon_3dp": None,
        "photo_ref": None,
        "check_result": None,
        "proof": None,
    }
    return {**made, **(fields or {})}


def alert(fields: dict[str, Any] | None = None, **changes: Any) -> Event:
    made = {
        "meta": meta("sensor.alert", "emergency", "raised", **changes),
        "device_id": "D1",
        "device_id_sealed": None,
        "kind": "gas",
        "value": 25.0,
        "value_sealed": None,
        "unit": "percent_lel",
        "threshold": 20.0,
        "threshold_sealed": None,
        "severity": "yellow",
        "state": "raised",
        "ack_at": None,
        "site_code": None,
        "dwelling": False,
        "proof": None,
    }
    return {**made, **(fields or {})}


def mediation(fields: dict[str, Any] | None = None, **changes: Any) -> Event:
    made = {
        "meta": meta("mediation.case", "justice", "applied", **changes),
        "case_no": "M1",
        "kind": "people",
        "centre_level": "town_position",
        "dispute_type": "neighbour",
        "dispute_type_sealed": TOKEN,
        "source": "hotline",
        "state": "applied",
        "outcome": None,
        "escalated_to": None,
        "party_count": 2,
        "amount_band": None,
        "mediator": None,
        "social_org": None,
        "parties": [
            party("applicant", name=TOKEN),
            party("respondent", phone=TOKEN),
        ],
        "agreement_text": TOKEN,
        "proof": None,
    }
    return {**made, **(fields or {})}


def confirmation(fields: dict[str, Any] | None = None, **changes: Any) -> Event:
    made = {
        "meta": meta("mediation.confirmation", "court", "applied", **changes),
        "case_ref": "M1",
        "court": "court-1",
        "applied_at": AT,
        "result": None,
        "performed": None,
        "doc_no": None,
        "proof": None,
    }
    return {**made, **(fields or {})}


def party(role: str, **changes: Any) -> dict[str, Any]:
    made = {
        "role": role,
        "under_14": False,
        "name": None,
        "name_child": None,
        "phone": None,
        "phone_child": None,
        "id_no": TOKEN,
    }
    return {**made, **changes}


def warning(warning_id: str, revision: int, **changes: Any) -> Event:
    return {
        "meta": meta("reaction.warning", "react", "raised", **changes),
        "warning_id": warning_id,
        "rule": "urgent-orders",
        "category": "gas",
        "severity": "blue",
        "window_from": AT,
        "window_to": AT + revision * MINUTE,
        "revision": revision,
        "events": 3,
        "proof": None,
    }


def push(warning_id: str, level: str, **changes: Any) -> Event:
    return {
        "meta": meta("reaction.push", "react", "pushed", **changes),
        "warning_id": warning_id,
        "rule": "urgent-orders",
        "category": "gas",
        "severity": "blue",
        "level": level,
        "unit": f"unit-of-{level}",
        "answer_by": changes.get("occurred_at", AT) + 30 * MINUTE,
        "proof": None,
    }


def response(warning_id: str, transition: str, **changes: Any) -> Event:
    """Return what a unit answers to a warning; `changes` are those of its envelope."""
    return {
        "meta": meta(
            "warning.response", "emergency", transition, purpose="safety_response", **changes
        ),
        "warning_id": warning_id,
        "level": "community",
        "unit": "grid-team",
        "proof": None,
    }


def retraction(of: Event, **changes: Any) -> Event:
    """Return the event by which its own department takes `of` back."""
    target = of["meta"]
    common = {name: target[name] for name in ("community", "case_ref", "occurred_at")}
    department = changes.pop("department", target["department"])
    return {
        "meta": meta("event.retraction", department, "retracted", **common | changes),
        "retracts": target["event_id"],
        "retracts_type": target["event_type"],
        "reason": "entered_in_error",
        "proof": None,
    }


def corrected(of: Event, fields: dict[str, Any] | None = None, **changes: Any) -> Event:
    """Return an event that takes the place of `of`, under an id of its own."""
    changes.setdefault("event_id", uuid7())
    envelope = of["meta"] | {"corrects": of["meta"]["event_id"]} | changes
    return {**of, "meta": envelope, **(fields or {})}


def corpus(count: int, seed: int, *, live_ids: bool = False) -> list[Event]:
    """Return random events of all departments, many in one case and some at one instant.

    live_ids: ids that no other test has used.
    """
    random = Random(seed)
    made: list[Event] = []
    for number in range(count):
        common = {
            "event_id": uuid7() if live_ids else event_id(seed * 100_000 + number),
            "community": random.choice(communities(OTHER_TOWN)),
            "occurred_at": AT + random.randrange(200) * 17 * MINUTE,
            "case_ref": random.choice([None, *(f"T-{seed}-{case}" for case in range(count // 5))]),
        }
        kind = random.randrange(3)
        unit = random.choice([None, "unit-1", "unit-2"])
        if kind == 0:
            step = random.choice(("received", "dispatched", "closed"))
            category = random.choice(("road", "noise", "gas"))
            fields = {"state": step.replace("received", "open"), "category": category, "unit": unit}
            made.append(order(fields, transition=step, **common))
        elif kind == 1:
            step = random.choice(("collected", "filed", "closed"))
            made.append(grid_case({"state": step, "unit": unit}, transition=step, **common))
        else:
            step = random.choice(("applied", "accepted", "agreed"))
            made.append(mediation({"state": step}, transition=step, **common))
    return made
