"""Made-up events for the tests of producers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

COMMUNITY = "330681001021"
AT = datetime(2025, 3, 3, 0, 12, tzinfo=UTC)


def order(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "order_no": "A1",
        "channel": "phone",
        "demand_type": "help",
        "category": "gas",
        "urgency": "emergency",
        "state": "open",
        "caller_name": "虚构甲",
        "caller_phone": "10000000001",
        "content": "楼道里有煤气味",
    }
    fields.update(changes)
    return fields


def envelope(**changes: Any) -> dict[str, Any]:
    """Return the keyword arguments of `Department.publish` besides the fields."""
    arguments: dict[str, Any] = {
        "community": COMMUNITY,
        "transition": "received",
        "occurred_at": AT,
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
    }
    arguments.update(changes)
    return arguments


def mediation(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "case_no": "M1",
        "kind": "people",
        "centre_level": "town_position",
        "dispute_type": "neighbour",
        "source": "walk_in",
        "state": "applied",
        "party_count": 2,
        "parties": [
            {"role": "applicant", "name": "虚构乙", "phone": "10000000002"},
            {"role": "respondent", "name": "虚构丙", "id_no": "000000190001010000"},
        ],
    }
    fields.update(changes)
    return fields


def plain_meta(event_type: str, department: str, **changes: Any) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "event_id": "01a20470-98ea-72db-a011-e5a125e6adac",
        "event_type": event_type,
        "schema_version": 1,
        "department": department,
        "community": COMMUNITY,
        "grid": None,
        "occurred_at": 1_740_960_720_000_000,
        "recorded_at": 1_740_960_720_000_000,
        "case_ref": None,
        "transition": "received" if event_type == "hotline.order" else "applied",
        "corrects": None,
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
        "retention": None,
        "backfill": False,
        "key_refs": {},
    }
    meta.update(changes)
    return meta
