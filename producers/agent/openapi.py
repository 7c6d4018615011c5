"""What /openapi.json says of bodies and answers, with examples; all of them are made up.

The examples may be sent one after the other, in any order, again and again.
"""

from __future__ import annotations

from typing import Any

from maplebridge.problems import MEDIA_TYPE
from maplebridge.producers.agent.items import CLOUD_EVENT, CLOUD_EVENTS, JSON, LINES
from maplebridge.producers.event_json import ENVELOPE, NEEDED

_EVENT: dict[str, Any] = {
    "type": "object",
    "required": [*NEEDED, "fields"],
    "additionalProperties": False,
    "properties": {
        **{name: {"type": "string"} for name in ENVELOPE if name != "backfill"},
        "occurred_at": {"type": "string", "format": "date-time"},
        "recorded_at": {"type": "string", "format": "date-time"},
        "backfill": {"type": "boolean"},
        "fields": {"type": "object", "description": "The plain fields of the contract."},
    },
}


def _order(number: str) -> dict[str, Any]:
    """Return a made-up order, of no case: so it may be sent again, as another order."""
    return {
        "community": "330681001001",
        "transition": "received",
        "occurred_at": "2025-03-03T08:12:00+08:00",
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
        "fields": {
            "order_no": number,
            "channel": "phone",
            "demand_type": "help",
            "category": "gas",
            "urgency": "emergency",
            "state": "open",
            "caller_name": "枫甲乙",
            "caller_phone": "10000000001",
            "content": "楼道内闻到燃气味",
        },
    }


_CLOUD_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1},
        "source": {"type": "string", "minLength": 1},
        "type": {"type": "string", "minLength": 1},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string"},
        "datacontenttype": {"const": JSON},
        "data": {"type": "object", "description": "An event; time and subject may fill it."},
    },
}


def _cloud_order(number: str) -> dict[str, Any]:
    """Return an order that begins its case; sent again it is the same event, by its id."""
    data = _order(number)
    return {
        "specversion": "1.0",
        "id": f"{number}-received",
        "source": "/departments/hotline",
        "type": "hotline.order.v1",
        "time": data.pop("occurred_at"),
        "subject": f"hotline/{number}",
        "data": data,
    }


_PROBLEM: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
_RESULT: dict[str, Any] = {
    "type": "object",
    "required": ["status"],
    "properties": {
        "status": {"enum": ["accepted", "acknowledged", "refused"]},
        "event_id": {"type": "string"},
        "index": {"type": "integer"},
        "error": _PROBLEM,
    },
}
_BATCH: dict[str, Any] = {
    "type": "object",
    "required": ["accepted", "refused", "results"],
    "properties": {
        "accepted": {"type": "integer"},
        "refused": {"type": "integer"},
        "results": {"type": "array", "items": _RESULT},
    },
}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {JSON: {"schema": schema}}}


def _problem(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": _PROBLEM}},
    }


def _list(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": 1}


EVENTS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"oneOf": [_EVENT, _list(_EVENT)]}, "example": _order("HX0001")},
            **{each: {"schema": {"type": "string"}} for each in LINES},
            CLOUD_EVENT: {"schema": _CLOUD_EVENT, "example": _cloud_order("HX0002")},
            CLOUD_EVENTS: {
                "schema": _list(_CLOUD_EVENT),
                "example": [_cloud_order("HX0003"), _cloud_order("HX0004")],
            },
        },
    },
    "responses": {
        "200": _json("Kafka has every event.", {"oneOf": [_RESULT, _BATCH]}),
        "202": _json("Every event is on disk here.", {"oneOf": [_RESULT, _BATCH]}),
        "207": _json("Some events are on disk here, the others were refused.", _BATCH),
        "400": _problem("The body cannot be read."),
        "401": _problem("The token is missing or wrong."),
        "403": _problem("The event type is another department's."),
        "404": _problem("There is no such event type."),
        "408": _problem("The body came too slowly."),
        "409": _problem("The first request of this key is still being answered."),
        "413": _problem("The request is over a limit."),
        "415": _problem("No such media type is taken."),
        "421": _problem("The request is for another host."),
        "422": _problem("The event breaks its contract, or the key had another body."),
        "503": _problem("No event can be taken now; ask again after Retry-After seconds."),
    },
}
EVENT_IDS: dict[str, Any] = {
    "responses": {
        "200": _json("What is known of the event.", _RESULT),
        "401": _problem("The token is missing or wrong."),
        "404": _problem("No such event was taken since the agent's start."),
        "421": _problem("The request is for another host."),
    }
}
