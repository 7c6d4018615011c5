"""A contract that passes the linter, to be spoilt by tests."""

from __future__ import annotations

import json
from typing import Any

from maplebridge.schemas.catalogue import load_inlined

INLINED = load_inlined()
SEALED = {"type": ["null", "bytes"], "default": None}
BY_CASE = {"type": "string", "key": "case"}


def field(name: str, *tags: str, **more: Any) -> dict[str, Any]:
    form = {} if {"mb:seal", "mb:codes", "mb:text"} & more.keys() else {"mb:format": "code"}
    made = {"name": name, "type": "string", "confluent:tags": list(tags), "doc": "Said"}
    return {**made, **form, **more}


def schema(*fields: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return a schema file's content with `fields` between `category` and `proof`."""
    return {
        "type": "record",
        "name": "Thing",
        "namespace": "maplebridge.test",
        "doc": "A thing",
        "mb:event_type": "test.thing",
        "mb:version": 1,
        "mb:department": "test",
        "mb:unit": "thing",
        "mb:tally": "category",
        "mb:transitions": {"seen": {"doc": "it was seen", "first": True, "after": []}},
        "mb:subjects": {},
        "fields": [
            {"name": "meta", "type": "maplebridge.Meta", "doc": "The envelope"},
            field("category", "L1", **{"mb:codes": "severity"}),
            *fields,
            {
                "name": "proof",
                "type": ["null", "maplebridge.Proof"],
                "default": None,
                "doc": "The signature",
            },
        ],
        **changes,
    }


def text(content: dict[str, Any]) -> str:
    """Return the file's text, a field a line, as the files in `schemas/` are written."""
    rest = {name: value for name, value in content.items() if name != "fields"}
    lines = ",\n".join(json.dumps(each, ensure_ascii=False) for each in content["fields"])
    return json.dumps(rest, ensure_ascii=False)[:-1] + ', "fields": [\n' + lines + "\n]}"
