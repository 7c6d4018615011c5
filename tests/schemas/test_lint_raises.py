"""What must raise a grade does, however it is named, sealed or graded."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from maplebridge.schemas import lint_schema, load_code_lists
from maplebridge.schemas.catalogue import contract_paths
from tests.schemas.made_contracts import INLINED, SEALED, field, schema

CODES = load_code_lists()
Field = dict[str, Any]


def codes(*fields: Field, **changes: Any) -> list[str]:
    found = lint_schema(json.dumps(schema(*fields, **changes)), INLINED, CODES)
    return [each.code for each in found]


def sealed(name: str, *tags: str, key: str = "case", **more: Any) -> Field:
    return field(name, *tags, **SEALED, **{"mb:seal": {"type": "string", "key": key}}, **more)


def flag(name: str) -> Field:
    return {"name": name, "type": "boolean", "confluent:tags": ["L2"], "doc": "True or false"}


def raised(when: str, twin: str, grade: str = "L4", shown: str | None = None) -> Field:
    rule = {"when": when, "values": [True], "grade": grade, "as": shown, "twin": twin}
    return {"mb:raise": rule}


def child_twin(name: str, key: str) -> Field:
    seal = {"type": ["null", "string"], "key": key}
    return field(name, "L4", "SPI", **SEALED, **{"mb:seal": seal})


@pytest.mark.parametrize(
    ("name", "category"),
    [("child_name", "PI"), ("doc_ref", "PI"), ("home_address", "PLACE"), ("address", "PLACE")],
)
def test_what_is_sealed_for_a_subject_is_raised_for_a_child(name: str, category: str) -> None:
    subject = {"mb:subjects": {"child": [name]}}
    assert codes(sealed(name, "L3", category, key="subject:child"), **subject) == ["MB109"]
    raising = sealed(name, "L3", category, key="subject:child", **raised("under_14", "twin"))
    assert codes(raising, child_twin("twin", "subject:child"), flag("under_14"), **subject) == []


@pytest.mark.parametrize(
    ("name", "category", "doc"),
    [("child_name", "PI", "Said"), ("phone", "PI", "Said"), ("home_address", "PLACE", "Said"),
     ("address", "PLACE", "Address of the caller"), ("ref", "PI", "Who the child is, 儿童")],
)  # fmt: skip
def test_a_persons_own_is_raised_though_it_is_sealed_for_the_case(
    name: str, category: str, doc: str
) -> None:
    assert codes(sealed(name, "L3", category, doc=doc)) == ["MB109"]
    raising = sealed(name, "L3", category, doc=doc, **raised("under_14", "twin"))
    assert codes(raising, child_twin("twin", "case"), flag("under_14")) == []


def test_the_matters_own_place_and_number_are_not_a_persons() -> None:
    assert codes(sealed("address", "L3", "PLACE", doc="Address of the place")) == []
    assert codes(sealed("doc_no", "L3", "PI", doc="Number of the court's document")) == []


def test_beside_subjects_a_person_is_sealed_for_one_of_them() -> None:
    caller = sealed("ref", "L3", "PI", key="subject:caller", **raised("under_14", "twin"))
    fields = (caller, child_twin("twin", "subject:caller"), flag("under_14"))
    subjects = {"mb:subjects": {"caller": ["ref"]}}
    assert codes(*fields, **subjects) == []
    assert codes(*fields, sealed("other_ref", "L3", "PI"), **subjects) == ["MB109"]


@pytest.mark.parametrize(
    ("marker", "fits"),
    [("under_14", True), ("caller_under_14", True), ("not_under_14", False),
     ("owner_under_14", False), ("is_not_under_14", False), ("not_caller_under_14", False)],
)  # fmt: skip
def test_only_the_exact_name_says_that_somebody_is_a_child(marker: str, fits: bool) -> None:
    ref = sealed("ref", "L3", "PI", key="subject:caller", **raised(marker, "twin"))
    fields = (ref, child_twin("twin", "subject:caller"), flag(marker))
    assert codes(*fields, **{"mb:subjects": {"caller": ["ref"]}}) == ([] if fits else ["MB109"])


def test_an_age_band_has_its_list() -> None:
    rule = {"mb:raise": {**raised("age_band", "twin")["mb:raise"], "values": ["under_14"]}}
    ref = sealed("ref", "L3", "PI", key="subject:caller", **rule)
    subject = {"mb:subjects": {"caller": ["ref"]}}
    listed, free = field("age_band", "L2", **{"mb:codes": "age_band"}), field("age_band", "L2")
    twin = child_twin("twin", "subject:caller")
    assert codes(ref, twin, listed, **subject) == []
    assert codes(ref, twin, free, **subject) == ["MB109"]


@pytest.mark.parametrize("grade", ["L1", "L2"])
@pytest.mark.parametrize("kind", ["string", "double", "boolean"])
def test_whatever_is_below_l3_beside_a_dwelling_is_raised(grade: str, kind: str) -> None:
    assert codes(flag("dwelling"), field("value", grade, type=kind)) == ["MB109"]


def test_a_state_and_a_time_of_handling_may_stay_l1_beside_a_dwelling() -> None:
    moment = {"type": "long", "logicalType": "timestamp-micros"}
    state = field("state", "L1", **{"mb:codes": "alert_state"})
    time = field("ack_at", "L1", type=moment)
    assert codes(flag("dwelling"), state, time) == []
    assert codes(flag("dwelling"), {**time, "confluent:tags": ["L2"]}) == ["MB109"]


@pytest.mark.parametrize("marker", ["not_dwelling", "in_home", "no_dwelling"])
def test_only_the_exact_name_says_that_a_sensor_is_in_a_dwelling(marker: str) -> None:
    device = field("device_id", "L2", **raised(marker, "twin", "L3", "restricted"))
    assert codes(flag(marker), device, sealed("twin", "L3", "PI")) == ["MB109"]


@pytest.mark.parametrize(
    "scheme",
    [field("subsidy_kind", "L1"), flag("dibao"), flag("minimum_living"), field("benefits", "L2"),
     field("kind", "L2", doc="Which 救助 it is"), field("welfare_no", "L2")],
    ids=lambda each: each["name"],
)  # fmt: skip
def test_a_scheme_is_known_by_its_name_and_its_doc(scheme: Field) -> None:
    assert codes(scheme, sealed("doc_no", "L3", "PI")) == ["MB111"]
    assert codes(scheme, field("doc_no", "L4", "SPI", **L4)) == []


L4 = {"type": "bytes", "mb:seal": {"type": ["null", "string"], "key": "case"}}


def test_a_scheme_is_known_by_the_event() -> None:
    event = {"mb:event_type": "civil.subsidy"}
    assert codes(sealed("doc_no", "L3", "PI"), **event) == ["MB111"]


@pytest.mark.parametrize(
    "name", ["dispute_type", "dispute_kind", "main_dispute_type", "dispute_category", "disputeType"]
)
def test_a_field_named_as_a_list_with_sensitive_codes_has_that_list(name: str) -> None:
    assert codes(field(name, "L2")) == ["MB109"]
    assert codes(sealed(name, "L3", "TEXT")) == ["MB109"]
    assert codes(field("dispute_type_count", "L1", type="int")) == []


@pytest.mark.parametrize(
    "tags", [["L1", "L2"], ["L1", "L1", "L1"], ["L1", "L4"], ["L4", "L1"], ["L2", "L2"]]
)
def test_a_field_has_one_grade(tags: list[str]) -> None:
    assert "MB101" in codes(field("thing", *tags))


def leaves(contract: Field) -> list[Field]:
    found: list[Field] = []
    for each in contract["fields"]:
        items = each["type"].get("items") if isinstance(each["type"], dict) else None
        found += items["fields"] if isinstance(items, dict) else [each]
    return [each for each in found if "confluent:tags" in each]


@pytest.mark.parametrize("path", contract_paths(), ids=lambda path: path.name)
def test_no_mutation_escapes_a_raise(path: Path) -> None:
    good = json.loads(path.read_text("utf-8"))
    unseen = []
    for index, leaf in enumerate(leaves(good)):
        for name, mutate in MUTATIONS.items():
            spoilt = copy.deepcopy(good)
            if mutate(leaves(spoilt)[index], spoilt) and not lint_schema(
                json.dumps(spoilt), INLINED, CODES
            ):
                unseen.append(f"{leaf['name']}: {name}")
    assert unseen == []


def graded_twice(leaf: Field, _: Field) -> bool:
    leaf["confluent:tags"].insert(0, "L1")
    return True


def sealed_for_the_case(leaf: Field, contract: Field) -> bool:
    """Also its twin, so that nothing but the lost raise can be found."""
    if "PI" not in leaf["confluent:tags"] or "mb:raise" not in leaf or "mb:seal" not in leaf:
        return False
    rule = leaf.pop("mb:raise")
    for each in leaves(contract):
        if each is leaf or each["name"] == rule["twin"]:
            each["mb:seal"]["key"] = "case"
    return True


def lowered_and_not_raised(leaf: Field, _: Field) -> bool:
    if "mb:raise" not in leaf or "mb:seal" in leaf or "mb:text" in leaf:
        return False
    del leaf["mb:raise"]
    leaf["confluent:tags"] = ["L1"]
    return True


def marker_turned_round(leaf: Field, contract: Field) -> bool:
    if not leaf["name"].endswith(("under_14", "dwelling")):
        return False
    old = leaf["name"]
    leaf["name"] = f"not_{old}"
    for each in leaves(contract):
        if each.get("mb:raise", {}).get("when") == old:
            each["mb:raise"]["when"] = leaf["name"]
    return True


def without_its_list(leaf: Field, _: Field) -> bool:
    if leaf.get("mb:codes") != "dispute_type":
        return False
    del leaf["mb:codes"]
    leaf.pop("mb:raise", None)
    leaf["mb:format"] = "code"
    return True


MUTATIONS = {
    "graded twice": graded_twice,
    "sealed for the case": sealed_for_the_case,
    "lowered and not raised": lowered_and_not_raised,
    "its marker turned round": marker_turned_round,
    "without its list": without_its_list,
}


def test_every_mutation_happens_in_some_contract() -> None:
    happened = set()
    for path in contract_paths():
        contract = json.loads(path.read_text("utf-8"))
        for index in range(len(leaves(contract))):
            for name, mutate in MUTATIONS.items():
                spoilt = copy.deepcopy(contract)
                if mutate(leaves(spoilt)[index], spoilt):
                    happened.add(name)
    assert happened == MUTATIONS.keys()
