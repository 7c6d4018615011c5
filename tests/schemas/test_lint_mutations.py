"""Mutations of good contracts: whatever weakens protection in one step is found."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from maplebridge.schemas import lint_schema, load_catalogue, load_code_lists
from maplebridge.schemas.catalogue import contract_paths, load_inlined
from maplebridge.schemas.contracts import GRADES

INLINED, CODES = load_inlined(), load_code_lists()
DEPARTMENTS = load_catalogue().departments
Field = dict[str, Any]
Mutation = tuple[str, Callable[[Field], None]]


def graded_lower(to: str) -> Callable[[Field], None]:
    def change(field: Field) -> None:
        field["confluent:tags"] = [to, *field["confluent:tags"][1:]]

    return change


def without(name: str) -> Callable[[Field], None]:
    def change(field: Field) -> None:
        del field[name]

    return change


def unsealed(field: Field) -> None:
    plain = field.pop("mb:seal")["type"]
    field["type"] = plain


def unsealed_and_lowered(field: Field) -> None:
    unsealed(field)
    graded_lower("L2")(field)


def null_in_plain(field: Field) -> None:
    field["mb:seal"]["type"] = field["mb:seal"]["type"][-1]


def not_raised_by(value: Any) -> Callable[[Field], None]:
    def change(field: Field) -> None:
        field["mb:raise"]["values"].remove(value)

    return change


def mutations(field: Field) -> Iterator[Mutation]:
    """Yield what weakens this field."""
    tags = field.get("confluent:tags", [])
    grade = tags[0] if tags else ""
    category = tags[1] if len(tags) > 1 else ""
    if category:
        for lower in list(GRADES)[: GRADES[grade] - 1]:
            floor = {"STAFF": 2, "PI": 3, "SPI": 4, "TEXT": 3, "PLACE": 3}[category]
            if GRADES[lower] < floor:
                yield f"graded {lower}", graded_lower(lower)
        if "mb:seal" in field:
            yield "without a category", lambda each: each["confluent:tags"].pop()
    if tags:
        yield "without a grade", without("confluent:tags")
    if "mb:seal" in field:
        yield "without a seal", without("mb:seal")
        yield "unsealed", unsealed
        yield "unsealed and lowered", unsealed_and_lowered
        yield "sealed for a stranger", lambda each: each["mb:seal"].update(key="subject:nobody")
        if grade == "L4":
            yield "null in plain", null_in_plain
    if grade in ("L2", "L3", "L4"):
        yield "shared with all", lambda each: each.update({"mb:share": "unconditional"})
        yield "opened to all", lambda each: each.update({"mb:open": "unconditional"})
    if "mb:raise" in field:
        yield "without its raise", without("mb:raise")
        yield "raised less", lambda each: each["mb:raise"].update(grade="L1")
        yield "raised into nothing", lambda each: each["mb:raise"].update(twin="nothing")
        yield "raised by nothing", lambda each: each["mb:raise"].update(when="nothing")
        for value in field["mb:raise"]["values"]:
            yield f"not raised by {value}", not_raised_by(value)
    for name in ("mb:format", "mb:codes", "mb:text"):
        if name in field and "mb:seal" not in field:
            yield f"without {name}", without(name)
    if "mb:text" in field:
        yield "scanned for nothing", lambda each: each.update({"mb:scan": "ignore"})
    if tags:
        yield "a typing error", lambda each: each.update({"mb:seall": 1})
        yield "without a doc", lambda each: each.update(doc="")
        if "mb:seal" not in field:
            yield "any bytes", lambda each: each.update(type="bytes")


def fields_of(schema: dict[str, Any]) -> Iterator[Field]:
    for each in schema["fields"]:
        kind = each["type"]
        items = kind.get("items") if isinstance(kind, dict) else None
        if isinstance(items, dict):
            yield from items["fields"]
        elif each["name"] not in ("meta", "proof"):
            yield each


@pytest.mark.parametrize("path", contract_paths(), ids=lambda path: path.name)
def test_what_weakens_a_contract_is_found(path: Any) -> None:
    good = json.loads(path.read_text("utf-8"))
    count, unseen = 0, []
    for index, field in enumerate(list(fields_of(good))):
        for name, change in mutations(field):
            spoilt = copy.deepcopy(good)
            change(list(fields_of(spoilt))[index])
            count += 1
            text = json.dumps(spoilt, ensure_ascii=False)
            if not lint_schema(text, INLINED, CODES, departments=DEPARTMENTS):
                unseen.append(f"{field['name']}: {name}")
    assert count > 10
    assert unseen == []


@pytest.mark.parametrize("path", contract_paths(), ids=lambda path: path.name)
def test_a_contract_that_loses_a_twin_a_marker_or_a_subject_is_found(path: Any) -> None:
    good = json.loads(path.read_text("utf-8"))
    needed = {
        name
        for field in fields_of(good)
        if (rule := field.get("mb:raise"))
        for name in (rule["twin"], rule.get("when", rule["twin"]))
    } | {name for names in good["mb:subjects"].values() for name in names}
    for name in sorted(needed):
        spoilt = copy.deepcopy(good)
        for holder in holders(spoilt):
            holder["fields"] = [each for each in holder["fields"] if each["name"] != name]
        text = json.dumps(spoilt, ensure_ascii=False)
        assert lint_schema(text, INLINED, CODES), name


def holders(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for each in schema["fields"]:
        items = each["type"].get("items") if isinstance(each["type"], dict) else None
        if isinstance(items, dict):
            yield items
