"""The wire format: framing, Avro, and schemas that nobody pinned."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.schemas import AvroCodec, Codec, RegistryClient, load_catalogue
from maplebridge.schemas.codec import HEADER, schema_id_of
from tests.producers.orders import order, plain_meta

CATALOGUE = load_catalogue()
ORDER = CATALOGUE.get("hotline.order")


class Registry(RegistryClient):
    """A registry in memory; counts what it is asked."""

    def __init__(self, schemas: dict[int, dict[str, Any]]) -> None:
        super().__init__("http://127.0.0.1:1")
        self.schemas = schemas
        self.asked = 0

    def id_of(self, subject: str, schema: dict[str, Any]) -> int:
        self.asked += 1
        return next(number for number, held in self.schemas.items() if held == schema)

    def schema(self, schema_id: int) -> dict[str, Any]:
        self.asked += 1
        if schema_id not in self.schemas:
            raise ContractRefused(f"no schema {schema_id}")
        return self.schemas[schema_id]


def event(**changes: Any) -> dict[str, Any]:
    fields = order(caller_name=b"x", caller_phone=b"y", content=b"z", **changes)
    twins = dict.fromkeys(("caller_name_child", "caller_phone_child", "address_child"))
    rest = {
        "unit": None,
        "due_at": None,
        "return_reason": None,
        "anonymous": False,
        "caller_under_14": False,
        **twins,
    }
    meta = plain_meta("hotline.order", "hotline")
    return {**rest, **fields, "address": None, "meta": meta, "proof": None}


def test_an_event_comes_back_as_it_went() -> None:
    codec = Codec(CATALOGUE, Registry({7: ORDER.schema}))
    value = codec.encode(ORDER, event(due_at=1_740_960_720_000_001))
    assert value[:5] == HEADER.pack(0, 7)
    decoded = codec.decode(value)
    assert decoded.contract is ORDER
    assert decoded.event == event(due_at=1_740_960_720_000_001)


def test_the_registry_is_asked_once_for_a_schema() -> None:
    registry = Registry({7: ORDER.schema})
    codec = Codec(CATALOGUE, registry)
    for _ in range(3):
        codec.decode(codec.encode(ORDER, event()))
    assert registry.asked == 2


def test_a_schema_that_differs_in_a_grade_alone_is_refused() -> None:
    lowered = copy.deepcopy(ORDER.schema)
    (phone,) = (each for each in lowered["fields"] if each["name"] == "caller_phone")
    phone["confluent:tags"] = ["L1"]
    registry = Registry({7: ORDER.schema, 8: lowered})
    codec = Codec(CATALOGUE, registry)
    value = codec.encode(ORDER, event())
    forged = HEADER.pack(0, 8) + value[5:]
    for _ in range(3):
        with pytest.raises(ContractRefused, match="not one of the pinned contracts"):
            codec.decode(forged)
    # asked once, then known to be refused
    assert registry.asked == 2


def test_an_id_that_no_registry_knows_is_refused() -> None:
    with pytest.raises(ContractRefused, match="not in the registry"):
        Codec(CATALOGUE, Registry({})).decode(HEADER.pack(0, 9) + b"rest")


@given(st.binary(max_size=64))
def test_foreign_bytes_are_refused_and_nothing_else_is_raised(foreign: bytes) -> None:
    codec = AvroCodec(ORDER.schema, 7)
    with pytest.raises(EventInvalid):
        codec.decode(HEADER.pack(0, 7) + foreign)


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\x07x"])
def test_bytes_without_the_framing_are_refused(value: bytes) -> None:
    with pytest.raises(EventInvalid, match="not framed"):
        schema_id_of(value)


def test_bytes_left_over_are_refused() -> None:
    codec = AvroCodec(ORDER.schema, 7)
    with pytest.raises(EventInvalid, match="left over"):
        codec.decode(codec.encode(event()) + b"!")


def test_a_value_that_does_not_fit_is_refused_without_being_told() -> None:
    codec = AvroCodec(ORDER.schema, 7)
    with pytest.raises(EventInvalid) as refused:
        codec.encode(event(order_no=13800000000))
    assert "13800000000" not in str(refused.value)
    assert refused.value.__cause__ is None
