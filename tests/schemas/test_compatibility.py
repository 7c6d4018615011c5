"""Avro compatibility judged by ourselves, against the running registry's verdicts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from maplebridge.errors import ContractRefused
from maplebridge.schemas import RegistryClient, load_catalogue
from maplebridge.schemas.compatibility import incompatibilities
from maplebridge.settings import Profile
from tests.schemas import mutations

Schema = dict[str, Any]
CONTRACTS = {each.event_type: each for each in load_catalogue()}

THING: Schema = {
    "type": "record",
    "name": "Thing",
    "namespace": "test",
    "fields": [
        {"name": "number", "type": "int"},
        {"name": "maybe", "type": ["null", "string"], "default": None},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["a", "b"]}},
        {"name": "mark", "type": {"type": "fixed", "name": "Mark", "size": 16}},
        {"name": "tags", "type": {"type": "map", "values": "string"}, "default": {}},
        {
            "name": "parts",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Part",
                    "fields": [{"name": "size", "type": "long"}],
                },
            },
        },
    ],
}


def thing(spoil: Callable[[Schema], object]) -> Schema:
    made = copy.deepcopy(THING)
    spoil(made)
    return made


def typed(name: str, kind: Any) -> Schema:
    def spoil(schema: Schema) -> None:
        field = mutations.find(schema, name)
        field.pop("default", None)
        field["type"] = kind

    return thing(spoil)


def named(spoil: Callable[[Schema], object]) -> Schema:
    return thing(lambda schema: spoil(schema["fields"][5]["type"]["items"]))


ENUM = {"type": "enum", "name": "Colour"}
CASES: dict[str, Schema] = {
    "the same": THING,
    "another order": thing(lambda s: s["fields"].reverse()),
    "another doc": thing(lambda s: s.update({"doc": "other"})),
    "a lowered grade": thing(lambda s: s["fields"][0].update({"confluent:tags": ["L1"]})),
    "another record name": thing(lambda s: s.update({"name": "Other"})),
    "another record name with an alias": thing(
        lambda s: s.update({"name": "Other", "aliases": ["test.Thing"]})
    ),
    "another namespace": thing(lambda s: s.update({"namespace": "elsewhere"})),
    "another inner name": named(lambda s: s.update({"name": "Piece"})),
    "int to long": typed("number", "long"),
    "int to string": typed("number", "string"),
    "int to float": typed("number", "float"),
    "int to a union with null": typed("number", ["null", "int"]),
    "int to a union of itself": typed("number", ["int"]),
    "a default is gone": typed("maybe", ["null", "string"]),
    "a union turned round": typed("maybe", ["string", "null"]),
    "a union with one more": typed("maybe", ["null", "string", "long"]),
    "a union with one less": typed("maybe", "string"),
    "string to bytes in a union": typed("maybe", ["null", "bytes"]),
    "one symbol more": typed("colour", {**ENUM, "symbols": ["a", "b", "c"]}),
    "one symbol less": typed("colour", {**ENUM, "symbols": ["a"]}),
    "one symbol more, with a default": typed(
        "colour", {**ENUM, "symbols": ["a", "b", "c"], "default": "a"}
    ),
    "symbols in another order": typed("colour", {**ENUM, "symbols": ["b", "a"]}),
    "another size": typed("mark", {"type": "fixed", "name": "Mark", "size": 8}),
    "fixed to bytes": typed("mark", "bytes"),
    "other map values": typed("tags", {"type": "map", "values": "long"}),
    "map to array": typed("tags", {"type": "array", "items": "string"}),
    "a field with a default": thing(
        lambda s: s["fields"].append({"name": "new", "type": "int", "default": 0})
    ),
    "a field without a default": thing(
        lambda s: s["fields"].append({"name": "new", "type": "int"})
    ),
    "a field with a default is gone": thing(lambda s: s["fields"].pop(1)),
    "a field without a default is gone": thing(lambda s: s["fields"].pop(0)),
    "a field renamed with an alias": thing(
        lambda s: s["fields"][0].update({"name": "amount", "aliases": ["number"]})
    ),
    "an inner field with a default": named(
        lambda s: s["fields"].append({"name": "new", "type": "int", "default": 0})
    ),
    "an inner field without a default": named(
        lambda s: s["fields"].append({"name": "new", "type": "int"})
    ),
    "an inner type": named(lambda s: s["fields"][0].update({"type": "string"})),
    "a logical type": typed("number", {"type": "int", "logicalType": "date"}),
}


def of_contracts() -> Iterator[tuple[str, Schema, Schema]]:
    """Yield every mutation of one field of each kind of every contract."""
    for event_type, contract in CONTRACTS.items():
        chosen = {(str(each.type), each.grade): each.path for each in contract.fields}
        for path in chosen.values():
            for mutation in mutations.FIELD_MUTATIONS:
                schema = mutations.reworked(contract)
                if mutation(schema, path):
                    yield f"{event_type} {mutation.__name__} {path}", contract.schema, schema


@pytest.fixture(scope="module")
def registry(provisioned: Profile) -> Iterator[RegistryClient]:
    client = RegistryClient(provisioned.registry_url)
    yield client
    client.close()


def accepts(registry: RegistryClient, old: Schema, new: Schema) -> bool:
    """Ask the registry, by registering one after the other."""
    subject = f"test-{uuid4().hex}"
    registry.register(subject, old)
    try:
        registry.register(subject, new)
    except ContractRefused:
        return False
    return True


@pytest.mark.parametrize("name", CASES)
def test_the_registry_says_the_same_of_every_rule(registry: RegistryClient, name: str) -> None:
    for old, new in ((THING, CASES[name]), (CASES[name], THING)):
        assert (not incompatibilities(old, new)) == accepts(registry, old, new)


def test_the_registry_says_the_same_of_every_mutation_of_our_contracts(
    registry: RegistryClient,
) -> None:
    cases = list(of_contracts())
    assert len(cases) > 300
    differ = [
        name
        for name, old, new in cases[:: max(1, len(cases) // 80)]
        if (not incompatibilities(old, new)) != accepts(registry, old, new)
    ]
    assert differ == []


def test_a_fault_is_named_by_direction_and_path() -> None:
    found = incompatibilities(THING, CASES["an inner field without a default"])
    assert [(each.direction, each.path) for each in found] == [("backward", "parts[].new")]
    found = incompatibilities(THING, CASES["a field without a default is gone"])
    assert [(each.direction, each.path) for each in found] == [("forward", "number")]
    found = incompatibilities(THING, CASES["int to string"])
    assert [each.direction for each in found] == ["backward", "forward"]
    assert {each.path for each in found} == {"number"}


def test_what_is_no_avro_is_refused() -> None:
    with pytest.raises(ContractRefused, match="Thing is not an Avro schema"):
        incompatibilities(THING, typed("number", "nothing"))
