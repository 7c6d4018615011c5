"""The linter looks at every name, alias and doc of a contract, wherever it stands."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from maplebridge.schemas import Finding, lint_schema, load_code_lists
from maplebridge.schemas.catalogue import contract_paths, load_inlined
from tests.schemas.made_contracts import field, schema

INLINED, CODES = load_inlined(), load_code_lists()
PATHS = contract_paths()
Node = dict[str, Any]
SEALED_SPI = {"type": ["null", "string"], "key": "case"}


def found(contract: Node) -> list[Finding]:
    return lint_schema(json.dumps(contract, ensure_ascii=False, indent=1), INLINED, CODES)


def listed(name: str = "things", *, doc: str = "Some", item: Node | None = None) -> Node:
    record = {"type": "record", "name": "Item", "doc": "One", "fields": [field("code", "L1")]}
    items = {**record, **(item or {})}
    return {"name": name, "type": {"type": "array", "items": items}, "default": [], "doc": doc}


@pytest.mark.parametrize(
    "name",
    ["ballots", "votes", "face_images", "biometrics", "party_members", "person_rankings",
     "location_traces", "person_scores", "trajectories", "call_records"],
)  # fmt: skip
def test_a_list_of_what_the_bus_refuses_is_refused(name: str) -> None:
    (finding,) = found(schema(listed(name)))
    assert (finding.code, finding.path) == ("MB203", name)


@pytest.mark.parametrize(
    ("contract", "path", "line_has"),
    [
        (schema(listed(doc="The ballots")), "things", '"doc": "The ballots"'),
        (schema({**listed(), "aliases": ["ballots"]}), "things", '"aliases"'),
        (schema(name="PersonScore"), "", '"name": "PersonScore"'),
        (schema(namespace="maplebridge.face"), "", '"namespace"'),
        (schema(aliases=["Ballot"]), "", '"aliases"'),
        (schema(doc="居民評分"), "", '"doc"'),
        (schema(**{"mb:subjects": {"party_member": []}}), "", '"mb:subjects"'),
        (schema(field("thing", "L1", aliases=["face_id"])), "thing", '"aliases"'),
    ],
    ids=str,
)
def test_what_is_refused_is_found_in_its_attribute(
    contract: Node, path: str, line_has: str
) -> None:
    (finding,) = found(contract)
    assert (finding.code, finding.path) == ("MB203", path)
    written = json.dumps(contract, ensure_ascii=False, indent=1).splitlines()
    assert line_has in written[finding.line - 1]


@pytest.mark.parametrize("change", [{"name": "Ballot"}, {"doc": "A ballot"}, {"aliases": ["Vote"]}])
def test_the_record_of_a_list_is_looked_at(change: Node) -> None:
    contract = schema(listed(item=change))
    (finding,) = found(contract)
    assert (finding.code, finding.path) == ("MB203", "things[]")
    line = json.dumps(contract, ensure_ascii=False, indent=1).splitlines()[finding.line - 1]
    assert next(iter(change)) in line


def test_a_list_of_persons_data_holds_a_field_that_is_graded_so() -> None:
    assert [each.code for each in found(schema(listed("phones")))] == ["MB204"]
    assert [each.code for each in found(schema(listed(doc="Identity numbers")))] == ["MB204"]
    phone = field("number", "L4", "SPI", type="bytes", **{"mb:seal": SEALED_SPI})
    graded = listed("phones", item={"fields": [phone]})
    assert found(schema(graded)) == []


@pytest.mark.parametrize("kind", ["string", "int", "long", "double", ["null", "long"]])
@pytest.mark.parametrize("doc", ["手機號", "Identity number without its X", "Latitude in degrees"])
def test_the_doc_of_a_plain_field_is_looked_at_whatever_its_type(kind: Any, doc: str) -> None:
    default = {"default": None} if isinstance(kind, list) else {}
    plain = field("thing", "L1", type=kind, doc=doc, **default)
    assert [each.code for each in found(schema(plain))] == ["MB204"]


@pytest.mark.parametrize("alias", ["id_no", "caller_phone", "phone1"])
def test_an_alias_is_a_name(alias: str) -> None:
    (finding,) = found(schema(field("thing", "L2", aliases=[alias])))
    assert finding.code == "MB204"
    assert "aliases" in finding.message


def holders(contract: Node) -> Iterator[Node]:
    """Yield what has a name: the contract, its fields, their records and the fields of these."""
    yield contract
    for each in contract["fields"]:
        yield each
        items = each["type"].get("items") if isinstance(each["type"], dict) else None
        if isinstance(items, dict):
            yield items
            yield from items["fields"]


def changed(attribute: str, value: Any) -> Callable[[Node], None]:
    def change(node: Node) -> None:
        node[attribute] = value

    return change


REFUSED = [
    ("an alias", changed("aliases", ["face_images"])),
    ("a doc", changed("doc", "居民黑名單")),
    ("a doc with signs that nobody sees", changed("doc", "A fin\u200bgerprint")),
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_refused_words_are_found_wherever_they_stand_in_any_contract(path: Path) -> None:
    good = json.loads(path.read_text("utf-8"))
    count, unseen = 0, []
    for index, holder in enumerate(holders(good)):
        for name, change in REFUSED:
            spoilt = copy.deepcopy(good)
            change(list(holders(spoilt))[index])
            count += 1
            if "MB203" not in {each.code for each in found(spoilt)}:
                unseen.append(f"{holder['name']}: {name}")
    assert count > 10
    assert unseen == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_a_plain_field_that_tells_of_a_person_is_found_in_any_contract(path: Path) -> None:
    good = json.loads(path.read_text("utf-8"))
    unseen = []
    for index, holder in enumerate(holders(good)):
        if "confluent:tags" not in holder or "mb:seal" in holder:
            continue
        spoilt = copy.deepcopy(good)
        node = list(holders(spoilt))[index]
        node["aliases"] = ["has_hiv"]
        if "MB204" not in {each.code for each in found(spoilt)}:
            unseen.append(holder["name"])
    assert unseen == []
