"""All documents of a city, by the path of each file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from maplebridge.documents.asyncapi import asyncapi
from maplebridge.documents.city import City
from maplebridge.documents.dcat import dcat
from maplebridge.documents.json_schema import request_schema
from maplebridge.documents.odcs import odcs
from maplebridge.documents.pages import pages

ASYNCAPI, DCAT = "asyncapi.json", "catalogue.jsonld"


def documents(city: City, *, version: str) -> Mapping[str, str]:
    """Return every file's text; the same contracts give the same bytes."""
    found = {
        ASYNCAPI: _json(asyncapi(city, version=version)),
        DCAT: _json(dcat(city)),
        **pages(city),
    }
    for contract in city.contracts:
        found[f"odcs/{contract.event_type}.odcs.yaml"] = yaml.safe_dump(
            odcs(contract, city), allow_unicode=True, sort_keys=False, width=100
        )
        if not contract.is_of_service:
            schema = request_schema(contract, city.codes)
            found[f"json-schema/{contract.event_type}.schema.json"] = _json(schema)
    return dict(sorted(found.items()))


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"
