"""JSON Schema for HTTP callers says what publishing itself says."""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from maplebridge.documents.json_schema import example, request_schema
from maplebridge.documents.plain_fields import plain_fields
from maplebridge.errors import EventInvalid
from maplebridge.producers.completion import Completer
from maplebridge.schemas import Contract, Validator, load_catalogue, load_code_lists, load_regions

CODES, REGIONS = load_code_lists(), load_regions()
CONTRACTS = {each.event_type: each for each in load_catalogue().published}


def accepts(contract: Contract, body: dict[str, Any]) -> bool:
    schema = request_schema(contract, CODES)
    checker = Draft202012Validator.FORMAT_CHECKER
    return Draft202012Validator(schema, format_checker=checker).is_valid(body)


def publishes(contract: Contract, body: dict[str, Any]) -> bool:
    """Whether completing and validating the event takes the body."""
    fields = {
        name: datetime.fromisoformat(value)
        if _is_time(contract, name) and isinstance(value, str)
        else value
        for name, value in body["fields"].items()
    }
    moment = round(datetime.fromisoformat(body["occurred_at"]).timestamp() * 1_000_000)
    meta = {
        "event_id": "01a20470-98ea-72db-a011-e5a125e6adac",
        "event_type": contract.event_type,
        "schema_version": contract.version,
        "department": contract.publishers[0],
        "community": body["community"],
        "grid": None,
        "occurred_at": moment,
        "recorded_at": moment,
        "case_ref": body.get("case_ref"),
        "transition": body["transition"],
        "corrects": None,
        "purpose": body["purpose"],
        "legal_basis": body["legal_basis"],
        "retention": None,
        "backfill": False,
        "key_refs": {},
    }
    try:
        event = Completer(contract).complete(meta, fields)
        Validator(contract, CODES, REGIONS).check(event)
    except EventInvalid:
        return False
    return True


def _is_time(contract: Contract, name: str) -> bool:
    return any(each.name == name and each.is_time for each in plain_fields(contract))


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_the_schema_is_one_and_its_example_is_what_it_and_publishing_take(
    contract: Contract,
) -> None:
    schema = request_schema(contract, CODES)
    Draft202012Validator.check_schema(schema)
    for each in schema["examples"]:
        assert accepts(contract, each)
        assert publishes(contract, each)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_what_is_left_out_or_wrong_is_refused_by_both_or_by_neither(contract: Contract) -> None:
    whole = example(contract, CODES)
    for field in plain_fields(contract):
        for value in (..., None, 7.5, "no-such-code" if field.code_list else "made-up"):
            if field.is_time and isinstance(value, str):
                continue
            body = copy.deepcopy(whole)
            if value is ...:
                del body["fields"][field.name]
            else:
                body["fields"][field.name] = value
            assert accepts(contract, body) == publishes(contract, body), (field.name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transition", "vanished"),
        ("community", "Zhuji"),
        ("purpose", "curiosity"),
        ("occurred_at", 1),
        ("fields", []),
        ("department", "grid"),
    ],
)
def test_an_envelope_that_is_wrong_is_refused(name: str, value: Any) -> None:
    contract = CONTRACTS["hotline.order"]
    assert not accepts(contract, {**example(contract, CODES), name: value})


def test_what_maple_bridge_fills_in_is_not_asked_for() -> None:
    contract = CONTRACTS["mediation.case"]
    fields = request_schema(contract, CODES)["properties"]["fields"]["properties"]
    assert not {"meta", "proof", "dispute_type_sealed"} & fields.keys()
    assert "restricted" not in fields["dispute_type"]["enum"]
    assert fields["agreement_text"]["x-grade"] == "L4"
