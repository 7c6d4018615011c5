"""What is no contract or no valid Avro is found, with advice that fits it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maplebridge.schemas import Finding, lint_schema, load_code_lists
from maplebridge.schemas.catalogue import contract_paths
from tests.schemas.made_contracts import INLINED, SEALED, field, schema

CODES = load_code_lists()
Node = dict[str, Any]


def findings(contract: Node) -> list[Finding]:
    return lint_schema(json.dumps(contract, indent=1), INLINED, CODES)


def line_of(contract: Node, finding: Finding) -> str:
    return json.dumps(contract, indent=1).splitlines()[finding.line - 1]


@pytest.mark.parametrize("name", [each for each in schema() if not each.startswith("doc")])
def test_a_part_that_is_missing_is_named(name: str) -> None:
    contract = {key: value for key, value in schema().items() if key != name}
    found = findings(contract)
    if name == "namespace":  # Avro needs none
        assert found == []
        return
    (finding,) = found
    assert finding.code == "MB001"
    assert finding.message == f"{name} missing."


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mb:transitions": []}, "mb:transitions is of another kind"),
        ({"mb:transitions": {"seen": "x"}}, "seen: no object"),
        ({"mb:transitions": {"seen": {"doc": "x"}}}, "seen: after is missing"),
        ({"mb:transitions": {"seen": {"doc": "x", "after": "seen"}}}, "seen: after is of another"),
        ({"mb:transitions": {"seen": {"doc": "x", "first": 1, "after": []}}}, "seen: first"),
        ({"mb:transitions": {"seen": {"doc": "x", "first": "no", "after": []}}}, "seen: first"),
        ({"mb:tally": 5}, "mb:tally is of another kind"),
        ({"mb:subjects": None}, "mb:subjects is of another kind"),
        ({"mb:subjects": {"caller": "phone"}}, "mb:subjects is of another kind"),
        ({"mb:version": True}, "mb:version is of another kind"),
        ({"fields": {}}, "fields is of another kind"),
    ],
    ids=str,
)
def test_a_part_of_another_kind_is_found_where_it_stands(changes: Node, message: str) -> None:
    contract = schema(**changes)
    (finding,) = findings(contract)
    assert finding.code == "MB001"
    assert finding.message.startswith(message)
    assert next(iter(changes)) in line_of(contract, finding)
    assert finding.fix


@pytest.mark.parametrize(
    ("spec", "message", "line_has"),
    [
        ("text", "a field without a name.", '"text"'),
        ({"type": "string"}, "a field without a name.", "{"),
        ({"name": "a"}, "no type.", "{"),
        ({"name": "a", "type": 1}, "no type.", "{"),
        (field("a", "L1") | {"confluent:tags": "L1"}, "its tags are no list.", "confluent:tags"),
        (field("a", "L3", **{"mb:seal": "case"}), "mb:seal: no object.", "mb:seal"),
        (field("a", "L3", **{"mb:seal": {"type": "string"}}), "mb:seal: key is missing.", "seal"),
        (field("a", "L1", **{"mb:raise": {}}), "mb:raise: values is missing.", "mb:raise"),
    ],
    ids=str,
)
def test_a_field_that_is_none_is_found_where_it_stands(
    spec: Any, message: str, line_has: str
) -> None:
    contract = schema(spec)
    finding = findings(contract)[0]
    assert (finding.code, finding.message) == ("MB001", message)
    assert line_has in line_of(contract, finding)


def item(**changes: Any) -> Node:
    record = {"type": "record", "name": "Item", "doc": "One", "fields": [field("code", "L1")]}
    kind = {"type": "array", "items": {**record, **changes}}
    return {"name": "things", "type": kind, "default": [], "doc": "Some"}


@pytest.mark.parametrize(
    ("contract", "line_has"),
    [
        (schema(name="9bad name"), '"name": "9bad name"'),
        (schema(type="enum"), '"type": "enum"'),
        (schema(namespace="a b"), '"namespace"'),
        (schema(namespace=5), '"namespace"'),
        (schema(aliases=["9 bad"]), '"aliases"'),
        (schema(field("thing", "L1", aliases=[5])), '"aliases"'),
        (schema(item(name="9bad")), '"name": "9bad"'),
        (schema(item(name="Thing")), '"name": "Thing"'),
        (schema(name="Meta", namespace="maplebridge"), '"name": "Meta"'),
    ],
    ids=str,
)
def test_what_avro_would_refuse_is_found(contract: Node, line_has: str) -> None:
    (finding,) = findings(contract)
    assert finding.code == "MB006"
    assert line_has in line_of(contract, finding)
    assert finding.fix


def test_an_attribute_of_another_kind_is_named() -> None:
    (finding,) = findings(schema(aliases="Old"))
    assert finding.code == "MB001"
    assert "aliases" in finding.message


NULL_OR_TEXT = ["null", "string"]
MODERATED = {"mb:text": "moderated"}


@pytest.mark.parametrize(
    "spec",
    [
        field("thing", "L1", default=5),
        field("thing", "L1", default=None),
        field("thing", "L1", default="some free text"),
        field("thing", "L1", default="13800138000"),
        field("thing", "L1", default="purple", **{"mb:codes": "severity"}),
        field("thing", "L1", type=NULL_OR_TEXT, default="x"),
        field("thing", "L1", default="Call 13800138000", **MODERATED),
        field("thing", "L1", type="boolean", default=0),
        field("thing", "L1", type="boolean", default="false"),
        field("thing", "L1", type="int", default=True),
        field("thing", "L1", type="int", default=2**31),
        field("thing", "L1", type="int", default=1.0),
        field("thing", "L1", type="long", default=13800138000),
        field("thing", "L1", type="long", default=2**63),
        field("thing", "L1", type="double", default="1"),
        field("thing", "L1", type={"type": "long", "logicalType": "timestamp-micros"}, default="1"),
        field("thing", "L1", type={"type": "array", "items": "string"}, default=["a"]),
        field("thing", "L1", type={"type": "array", "items": "string"}, default=None),
        field("thing", "L3", "TEXT", **SEALED | {"default": "x"}, **{
            "mb:seal": {"type": "string", "key": "case"}}),
        {**item(fields=[field("code", "L1", default=5)])},
    ],
    ids=str,
)  # fmt: skip
def test_a_default_that_the_field_could_not_have_is_found(spec: Node) -> None:
    contract = schema(spec)
    (finding,) = findings(contract)
    assert finding.code == "MB007"
    assert '"default"' in line_of(contract, finding)
    assert "13800138000" not in str(finding)


@pytest.mark.parametrize(
    "spec",
    [
        field("thing", "L1", default="code_1"),
        field("thing", "L1", default="red", **{"mb:codes": "severity"}),
        field("thing", "L1", type=NULL_OR_TEXT, default=None),
        field("thing", "L1", default="", **MODERATED),
        field("thing", "L1", type="int", default=0),
        field("thing", "L1", type="double", default=0),
        item(),
    ],
    ids=str,
)
def test_a_default_that_the_field_could_have_passes(spec: Node) -> None:
    assert findings(schema(spec)) == []


@pytest.mark.parametrize("name", ["A b!\n", "Seen", "two words", "1st", "看"])
def test_a_transition_has_a_name_of_small_letters(name: str) -> None:
    contract = schema(**{"mb:transitions": {name: {"doc": "x", "first": True, "after": []}}})
    (finding,) = findings(contract)
    assert finding.code == "MB005"
    assert "\n" not in str(finding)


@pytest.mark.parametrize("name", ["Mb:seal", "confluent.tags", "zzz", "mb"])
def test_an_attribute_that_nobody_reads_is_found(name: str) -> None:
    assert [each.code for each in findings(schema(field("thing", "L1", **{name: 1})))] == ["MB004"]
    assert [each.code for each in findings(schema(**{name: 1}))] == ["MB004"]


BREAKS: dict[str, tuple[Callable[[Node], None], str]] = {
    "no record": (lambda each: each.update(type="enum"), "MB006"),
    "a name with a blank": (lambda each: each.update(name="A b"), "MB006"),
    "no name": (lambda each: each.pop("name"), "MB001"),
    "a field without a type": (lambda each: each["fields"][1].pop("type"), "MB001"),
    "a default of another type": (lambda each: each["fields"][1].update(default={}), "MB007"),
    "a step in capitals": (
        lambda each: each["mb:transitions"].update(
            Gone={"doc": "x", "after": list(each["mb:transitions"])[:1]}
        ),
        "MB005",
    ),
}


@pytest.mark.parametrize("path", contract_paths(), ids=lambda path: path.name)
@pytest.mark.parametrize("name", BREAKS)
def test_any_contract_that_is_broken_so_is_found(path: Path, name: str) -> None:
    change, code = BREAKS[name]
    spoilt = copy.deepcopy(json.loads(path.read_text("utf-8")))
    change(spoilt)
    assert code in {each.code for each in findings(spoilt)}
