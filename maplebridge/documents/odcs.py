"""Open Data Contract Standard 3.1.0: one document for each contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from maplebridge.documents.city import City
from maplebridge.documents.plain_fields import plain_type
from maplebridge.schemas import CodeLists, Contract, FieldSpec

VERSION = "v3.1.0"
_LOGICAL = {
    "string": "string",
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "double": "number",
    "bytes": "string",
    "map": "object",
}


def odcs(contract: Contract, city: City) -> dict[str, Any]:
    """Return the contract as a data contract; `classification` of a field is its grade."""
    return {
        "apiVersion": VERSION,
        "kind": "DataContract",
        "id": str(uuid5(NAMESPACE_URL, f"urn:maplebridge:{contract.ce_type}")),
        "name": contract.event_type,
        "version": f"{contract.version}.0.0",
        "status": "active",
        "domain": contract.department,
        "dataProduct": contract.event_type,
        "description": {
            "purpose": contract.schema["doc"],
            "usage": _usage(contract, city),
            "limitations": "Fields of L3 and L4 travel sealed; deny by default. One row is one"
            f" event, never the state of its {contract.unit}.",
        },
        "tags": sorted({contract.department, *contract.publishers}),
        "servers": [
            {
                "server": topic,
                "type": "kafka",
                "host": "127.0.0.1:9092",
                "format": "avro",
                "description": f"Topic {topic}",
            }
            for topic in contract.topics
        ],
        "schema": [_schema(contract, city.codes)],
        "roles": [
            *({"role": f"dept-{each}", "access": "write"} for each in contract.publishers),
            *_readers(contract, city),
        ],
        "slaProperties": [
            {
                "property": "retention",
                "value": "unlimited",
                "driver": "regulatory",
                "description": "The record is kept for ever; L3 and L4 end with their keys",
            }
        ],
        "support": [
            {
                "channel": city.consumers.whom_to_ask(contract.department),
                "tool": "other",
                "scope": "issues",
                "description": "Whom to ask for more of this data",
            }
        ],
        "customProperties": [
            {"property": "fingerprint", "value": contract.fingerprint},
            {"property": "unit", "value": contract.unit},
            {"property": "transitions", "value": list(contract.transitions)},
        ],
    }


def _usage(contract: Contract, city: City) -> str:
    held = [
        f"{each.app} for {each.purpose}" for each in city.followers.get(contract.event_type, ())
    ]
    return f"Followed by {', '.join(held)}." if held else "Followed by nobody yet."


def _readers(contract: Contract, city: City) -> list[dict[str, Any]]:
    apps = dict.fromkeys(each.app for each in city.followers.get(contract.event_type, ()))
    return [
        {
            "role": app,
            "access": "read",
            "description": f"{city.consumers.consumers[app].title}: its granted fields alone",
        }
        for app in apps
    ]


def _schema(contract: Contract, codes: CodeLists) -> dict[str, Any]:
    return {
        "name": contract.schema["name"],
        "physicalName": contract.topic,
        "physicalType": "topic",
        "logicalType": "object",
        "description": contract.schema["doc"],
        "properties": [
            _property(contract, row, row["name"], codes)
            for row in contract.schema["fields"]
            if row["name"] != "proof"
        ],
    }


def _property(
    contract: Contract, row: Mapping[str, Any], path: str, codes: CodeLists
) -> dict[str, Any]:
    kind = row["type"]
    made: dict[str, Any] = {"name": row["name"], "description": row["doc"]}
    if isinstance(kind, Mapping) and kind.get("type") == "record":
        inner = [
            _property(contract, each, f"{path}.{each['name']}", codes) for each in kind["fields"]
        ]
        return {**made, "logicalType": "object", "physicalType": "record", "properties": inner}
    if isinstance(kind, Mapping) and kind.get("type") == "array":
        return {**made, "logicalType": "array", "physicalType": "array"} | _items(
            contract, kind["items"], path, codes
        )
    return {**made, **_leaf(contract.field(path), codes), **_key(path)}


def _items(contract: Contract, items: Any, path: str, codes: CodeLists) -> dict[str, Any]:
    if isinstance(items, Mapping):
        inner = [
            _property(contract, each, f"{path}[].{each['name']}", codes) for each in items["fields"]
        ]
        return {"items": {"logicalType": "object", "physicalType": "record", "properties": inner}}
    spec = contract.field(f"{path}[]")
    leaf = _leaf(spec, codes)
    return {
        "items": {key: leaf[key] for key in ("logicalType", "physicalType")},
        "classification": leaf["classification"],
        "tags": leaf["tags"],
    }


def _key(path: str) -> dict[str, Any]:
    return {"primaryKey": True, "primaryKeyPosition": 1} if path == "meta.event_id" else {}


def _leaf(spec: FieldSpec, codes: CodeLists) -> dict[str, Any]:
    plain = plain_type(spec.seal.type if spec.seal else spec.type)
    made: dict[str, Any] = {
        "logicalType": "timestamp" if spec.is_time else _LOGICAL[plain],
        "physicalType": plain_type(spec.type),
        "required": not spec.nullable,
        "classification": f"L{spec.grade}",
        "criticalDataElement": spec.grade >= 3,
        "tags": [f"L{spec.grade}", *([spec.category] if spec.category else [])],
        "customProperties": [
            {"property": "share", "value": spec.share},
            {"property": "open", "value": spec.open},
            *([{"property": "sealedBy", "value": spec.seal.key}] if spec.seal else []),
        ],
    }
    if spec.code_list:
        made["quality"] = [
            {
                "type": "library",
                "metric": "invalidValues",
                "arguments": {"validValues": list(codes.get(spec.code_list).codes)},
                "mustBe": 0,
                "dimension": "conformity",
                "description": f"A code of the list {spec.code_list}, checked when published",
            }
        ]
    return made
