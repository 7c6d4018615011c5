"""Ways to weaken a contract, as a careless or ill-meaning publisher would."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from maplebridge.schemas import Contract
from maplebridge.schemas.contracts import parse_contract

Schema = dict[str, Any]
Field = dict[str, Any]
Mutation = Callable[[Schema, str], bool]
"""Spoils the schema at a path in place; False where it does not apply to the field."""


def reworked(contract: Contract) -> Schema:
    """Return a copy of a contract's schema as its next version."""
    schema = copy.deepcopy(contract.schema)
    schema["mb:version"] += 1
    return schema


def parsed(schema: Schema) -> Contract:
    return parse_contract(copy.deepcopy(schema), {})


def record_of(schema: Schema, path: str) -> Schema:
    """Return the record in which the field of `path` stands."""
    record = schema
    for name in path.split(".")[:-1]:
        kind = find(record, name.removesuffix("[]"))["type"]
        record = kind["items"] if kind["type"] == "array" else kind
    return record


def find(record: Schema, name: str) -> Field:
    return next(each for each in record["fields"] if each["name"] == name.removesuffix("[]"))


def field_at(schema: Schema, path: str) -> tuple[Schema, Field]:
    record = record_of(schema, path)
    return record, find(record, path.split(".")[-1])


def paths(contract: Contract, least: int) -> Iterator[str]:
    """Return the paths of grade `least` or higher."""
    return (spec.path for spec in contract.fields if spec.grade >= least)


def remove(schema: Schema, path: str) -> bool:
    record, field = field_at(schema, path)
    record["fields"].remove(field)
    return True


def rename(schema: Schema, path: str) -> bool:
    field_at(schema, path)[1]["name"] += "_renamed"
    return True


def rename_with_alias(schema: Schema, path: str) -> bool:
    _, field = field_at(schema, path)
    field["aliases"] = [field["name"]]
    field["name"] += "_renamed"
    return True


def alias_of_a_new_field(schema: Schema, path: str) -> bool:
    record, field = field_at(schema, path)
    twin = {
        "name": "plain_twin",
        "type": ["null", "string"],
        "default": None,
        "confluent:tags": ["L1"],
        "doc": "Nothing to see",
        "aliases": [field["name"]],
    }
    if any(each["name"] == "plain_twin" for each in record["fields"]):
        return False
    record["fields"].insert(0, twin)
    return True


def lower(schema: Schema, path: str) -> bool:
    _, field = field_at(schema, path)
    grades = [tag for tag in field["confluent:tags"] if tag[0] == "L"]
    field["confluent:tags"] = [
        f"L{int(tag[1]) - 1}" if tag in grades else tag for tag in field["confluent:tags"]
    ]
    return all(tag != "L1" for tag in grades)


def drop_tags(schema: Schema, path: str) -> bool:
    return bool(field_at(schema, path)[1].pop("confluent:tags", None))


def retype(schema: Schema, path: str) -> bool:
    """Text and bytes resolve to each other in Avro: the registry does not mind."""
    _, field = field_at(schema, path)
    before = copy.deepcopy(field["type"])
    swapped = {"string": "bytes", "bytes": "string", "int": "long", "boolean": "int"}
    if isinstance(before, list):
        field["type"] = [
            swapped.get(each, each) if isinstance(each, str) else each for each in before
        ]
    elif isinstance(before, str):
        field["type"] = swapped.get(before, "string")
    else:
        field["type"] = before["type"] if "logicalType" in before else "string"
    return bool(field["type"] != before)


def drop_logical_type(schema: Schema, path: str) -> bool:
    kind = field_at(schema, path)[1]["type"]
    branches = kind if isinstance(kind, list) else [kind]
    return any(isinstance(each, dict) and each.pop("logicalType", None) for each in branches)


def recategorise(schema: Schema, path: str) -> bool:
    _, field = field_at(schema, path)
    kept = [tag for tag in field.get("confluent:tags", ()) if tag[0] == "L"]
    changed = kept != field.get("confluent:tags")
    field["confluent:tags"] = kept
    return changed


def unseal(schema: Schema, path: str) -> bool:
    return bool(field_at(schema, path)[1].pop("mb:seal", None))


def reseal_type(schema: Schema, path: str) -> bool:
    seal = field_at(schema, path)[1].get("mb:seal")
    if seal:
        seal["type"] = "long"
    return bool(seal)


def reseal_key(schema: Schema, path: str) -> bool:
    seal = field_at(schema, path)[1].get("mb:seal")
    if seal:
        seal["key"] = "case" if seal["key"] != "case" else "subject:nobody"
    return bool(seal)


def drop_raise(schema: Schema, path: str) -> bool:
    return bool(field_at(schema, path)[1].pop("mb:raise", None))


def raise_less(schema: Schema, path: str) -> bool:
    raised = field_at(schema, path)[1].get("mb:raise")
    return bool(raised and raised["values"] and raised["values"].pop())


def share_more(schema: Schema, path: str) -> bool:
    field_at(schema, path)[1]["mb:share"] = "unconditional"
    return True


def open_more(schema: Schema, path: str) -> bool:
    field_at(schema, path)[1]["mb:open"] = "unconditional"
    return True


def drop_codes(schema: Schema, path: str) -> bool:
    return bool(field_at(schema, path)[1].pop("mb:codes", None))


def drop_form(schema: Schema, path: str) -> bool:
    return bool(field_at(schema, path)[1].pop("mb:format", None))


def swap_form(schema: Schema, path: str) -> bool:
    _, field = field_at(schema, path)
    before = field.get("mb:format")
    if before:
        field["mb:format"] = "identifier" if before != "identifier" else "code"
    return bool(before)


def drop_scan(schema: Schema, path: str) -> bool:
    return bool(field_at(schema, path)[1].pop("mb:text", None))


def move_out(schema: Schema, path: str) -> bool:
    """Move a field of an inner record to the top, or of the top into the envelope."""
    record, field = field_at(schema, path)
    record["fields"].remove(field)
    target = schema if record is not schema else find(schema, "meta")["type"]
    if any(each["name"] == field["name"] for each in target["fields"]):
        return False
    target["fields"].insert(0, field)
    return True


FIELD_MUTATIONS: tuple[Mutation, ...] = (
    remove, rename, rename_with_alias, alias_of_a_new_field, lower, drop_tags, retype,
    drop_logical_type, recategorise, unseal, reseal_type, reseal_key, drop_raise, raise_less,
    share_more, open_more, drop_codes, drop_form, swap_form, drop_scan, move_out,
)  # fmt: skip


def recount(schema: Schema) -> bool:
    schema["mb:unit"] += "_2"
    return True


def swap_subjects(schema: Schema) -> bool:
    for scope in schema["mb:subjects"]:
        schema["mb:subjects"][scope] = ["order_no"]
    return bool(schema["mb:subjects"])


def give_away(schema: Schema) -> bool:
    schema["mb:department"] = "elsewhere"
    return True


def publish_by_more(schema: Schema) -> bool:
    before = schema.get("mb:publishers", [])
    if before != "*":
        schema["mb:publishers"] = [*before, "elsewhere"]
    return bool(before != "*")


def publish_by_all(schema: Schema) -> bool:
    before = schema.get("mb:publishers")
    schema["mb:publishers"] = "*"
    return bool(before != "*")


CONTRACT_MUTATIONS = (recount, swap_subjects, give_away, publish_by_more, publish_by_all)
