"""JSON Schema 2020-12 of what an HTTP caller posts to a department's agent."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from maplebridge.documents.plain_fields import PlainField, envelope_field, plain_fields
from maplebridge.schemas import CodeLists, Contract
from maplebridge.schemas.formats import FORMATS, LONGEST_MODERATED

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MOMENT = "2026-03-02T09:00:00+08:00"
COMMUNITY = "330681001001"

_TYPES: Mapping[str, dict[str, Any]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "int": {"type": "integer", "minimum": 0, "maximum": 2**31 - 1},
    "long": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "double": {"type": "number"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "map": {"type": "object", "additionalProperties": {"type": "string"}},
}
_TIME = {"type": "string", "format": "date-time"}
_SAMPLES = {
    "identifier": "M1",
    "code": "made-up",
    "staff": "S001",
    "case_ref": "ZJ-2026-0001",
    "region": COMMUNITY,
    "uuid": "01a20470-98ea-72db-a011-e5a125e6adac",
    "duration": "P30D",
    "place_3dp": "29.710,120.240",
    "hex": "00112233445566778899aabbccddeeff",
    "path": "caller_phone",
}
"""A text of each form."""
_LETTERS = r"0-9A-Za-z_\u00aa-\uffff"
"""What `\\w` means, for regular expressions in which it would mean ASCII alone."""
_OPTIONAL = ("case_ref", "corrects", "grid", "retention")


def request_schema(contract: Contract, codes: CodeLists) -> dict[str, Any]:
    """Return the schema of the body of `POST /v1/events/<event type>`."""
    fields = plain_fields(contract)
    envelope: dict[str, Any] = {
        "community": {
            "type": "string",
            "pattern": "^[0-9]+$",
            "description": envelope_field(contract, "community").doc,
        },
        "transition": {
            "enum": list(contract.transitions),
            "description": "; ".join(f"{k}: {v.doc}" for k, v in contract.transitions.items()),
        },
        "occurred_at": {**_TIME, "description": envelope_field(contract, "occurred_at").doc},
        "purpose": _coded("purpose", codes, envelope_field(contract, "purpose").doc),
        "legal_basis": _coded("legal_basis", codes, envelope_field(contract, "legal_basis").doc),
        "fields": _record(fields, codes, f"The plain fields of {contract.event_type}"),
    }
    for name in _OPTIONAL:
        envelope[name] = {
            "type": ["string", "null"],
            "description": envelope_field(contract, name).doc,
        }
    envelope["event_id"] = {
        "type": "string",
        "format": "uuid",
        "description": "UUIDv7, made if left out; an id that the bus knows is ignored",
    }
    envelope["recorded_at"] = {**_TIME, "description": envelope_field(contract, "recorded_at").doc}
    envelope["backfill"] = {
        "type": "boolean",
        "default": False,
        "description": envelope_field(contract, "backfill").doc,
    }
    return {
        "$schema": DIALECT,
        "$id": f"urn:maplebridge:http:{contract.ce_type}",
        "title": contract.ce_type,
        "description": contract.schema["doc"],
        "type": "object",
        "properties": envelope,
        "required": [
            "community", "transition", "occurred_at", "purpose", "legal_basis", "fields",
        ],
        "additionalProperties": False,
        "examples": [example(contract, codes)],
    }  # fmt: skip


def example(contract: Contract, codes: CodeLists) -> dict[str, Any]:
    """Return a made-up body that the contract takes."""
    return {
        "community": COMMUNITY,
        "transition": next(k for k, v in contract.transitions.items() if v.first),
        "occurred_at": MOMENT,
        "case_ref": "ZJ-2026-0001",
        "purpose": next(iter(codes.get("purpose").codes)),
        "legal_basis": next(iter(codes.get("legal_basis").codes)),
        "fields": _example_record(plain_fields(contract), codes),
    }


def _record(fields: tuple[PlainField, ...], codes: CodeLists, doc: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": doc,
        "properties": {each.name: _property(each, codes) for each in fields},
        "required": [each.name for each in fields if each.required],
        "additionalProperties": False,
    }


def _property(field: PlainField, codes: CodeLists) -> dict[str, Any]:
    if field.kind == "array":
        items = (
            _record(field.items, codes, f"One of {field.name}")
            if field.items
            else _value(field, codes)
        )
        return {"type": "array", "items": items, "description": field.doc}
    return {**_value(field, codes), **_marks(field)}


def _value(field: PlainField, codes: CodeLists) -> dict[str, Any]:
    if field.code_list:
        found = _coded(field.code_list, codes, field.doc, refused=field.refused)
        return {**found, "enum": [*found["enum"], None]} if field.nullable else found
    kind = str(field.spec.type) if field.kind == "array" and field.spec else field.kind
    made = dict(_TIME if field.is_time else _TYPES[kind])
    if field.form:
        made["pattern"] = _pattern(field.form)
    if field.spec and field.spec.text:
        made["maxLength"] = LONGEST_MODERATED
    if field.nullable:
        made["type"] = [made["type"], "null"]
    return {**made, "description": field.doc}


def _pattern(form: str) -> str:
    """Return the form's regular expression as JavaScript and others read it too."""
    text = FORMATS[form].pattern.pattern
    inside = re.sub(r"\[[^\]]*\]", lambda found: found[0].replace(r"\w", _LETTERS), text)
    return f"^(?:{inside.replace(chr(92) + 'w', f'[{_LETTERS}]')})$"


def _coded(name: str, codes: CodeLists, doc: str, *, refused: str | None = None) -> dict[str, Any]:
    held = {code: text for code, text in codes.get(name).codes.items() if code != refused}
    listed = "; ".join(f"{code}: {text}" for code, text in held.items())
    return {"enum": list(held), "description": f"{doc} ({listed})", "x-code-list": name}


def _marks(field: PlainField) -> dict[str, Any]:
    if field.spec is None:
        return {}
    marks: dict[str, Any] = {"x-grade": f"L{field.spec.grade}"}
    if field.spec.category:
        marks["x-category"] = field.spec.category
    if field.spec.seal:
        marks["x-sealed"] = field.spec.seal.key
    return marks


def _example_record(fields: tuple[PlainField, ...], codes: CodeLists) -> dict[str, Any]:
    return {each.name: _example(each, codes) for each in fields}


def _example(field: PlainField, codes: CodeLists) -> Any:
    if field.kind == "array":
        return [_example_record(field.items, codes)] if field.items else []
    if field.code_list:
        return next(code for code in codes.get(field.code_list).codes if code != field.refused)
    if field.is_time:
        return MOMENT
    samples: Mapping[str, Any] = {
        "string": _SAMPLES.get(field.form, "made-up"),
        "boolean": False,
        "int": 1,
        "long": 1,
        "double": math.pi,
        "bytes": "AA==",
        "map": {},
    }
    return samples[field.kind]
