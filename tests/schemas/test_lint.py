"""The contract linter: each code, each floor, and what it lets pass."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.schemas import Finding, lint_schema, load_catalogue, load_code_lists
from maplebridge.schemas.catalogue import contract_paths
from maplebridge.schemas.lint import CODES as LINT_CODES
from maplebridge.schemas.lint import FLOORS
from tests.frame.repository import ROOT
from tests.schemas.made_contracts import BY_CASE, INLINED, SEALED, field, schema, text

CODES = load_code_lists()
BUILT_IN = contract_paths()
DEPARTMENTS = load_catalogue().departments
L4 = {"type": ["null", "string"], "key": "subject:caller"}
"""How a sealed twin of a caller's field is sealed."""


def findings(*fields: dict[str, Any], **changes: Any) -> list[Finding]:
    return lint_schema(text(schema(*fields, **changes)), INLINED, CODES)


def codes(*fields: dict[str, Any], **changes: Any) -> list[str]:
    return [finding.code for finding in findings(*fields, **changes)]


def sealed(name: str, *tags: str, key: str = "case") -> dict[str, Any]:
    made = field(name, *tags, **SEALED, **{"mb:seal": {"type": "string", "key": key}})
    if "L4" not in tags:
        return made
    del made["default"]
    return {**made, "type": "bytes", "mb:seal": {"type": ["null", "string"], "key": key}}


@pytest.mark.parametrize("path", BUILT_IN, ids=[path.name for path in BUILT_IN])
def test_the_built_in_contracts_pass(path: Path) -> None:
    assert lint_schema(path.read_text("utf-8"), INLINED, CODES, departments=DEPARTMENTS) == []


def caller(**changes: Any) -> list[dict[str, Any]]:
    """Return a caller's phone with all that its protection needs."""
    rule = {"when": "under_14", "values": [True], "grade": "L4", "as": None, "twin": "phone_child"}
    phone = sealed("phone", "L3", "PI", key="subject:caller")
    return [
        {"name": "under_14", "type": "boolean", "confluent:tags": ["L2"], "doc": "True if a child"},
        {**phone, "mb:raise": rule, **changes},
        field("phone_child", "L4", "SPI", **SEALED, **{"mb:seal": L4}),
    ]


CALLER = {"mb:subjects": {"caller": ["phone"]}}


def test_a_plain_contract_passes() -> None:
    assert codes(field("note", "L2"), *caller(), **CALLER) == []


@pytest.mark.parametrize(("category", "floor"), FLOORS.items())
def test_a_category_has_its_floor(category: str, floor: int) -> None:
    for grade in range(1, 5):
        spec = (
            sealed("thing", f"L{grade}", category)
            if grade >= 3
            else field("thing", f"L{grade}", category)
        )
        assert codes(spec) == (["MB102"] if grade < floor else [])


def test_the_floors_are_those_of_the_design() -> None:
    assert FLOORS == {"STAFF": 2, "PI": 3, "SPI": 4, "TEXT": 3, "PLACE": 3}


TEXT = {"mb:text": "moderated"}
RAISED = {"values": [], "grade": "L3", "as": "restricted", "twin": "note_sealed"}
FAULTS: list[tuple[dict[str, Any], str]] = [
    (field("thing", "L1", type="bytes"), "MB003"),
    (field("thing", "L1", type={"type": "map", "values": "string"}), "MB003"),
    (field("thing", "L1", type={"type": "enum", "name": "E", "symbols": ["A"]}), "MB003"),
    (field("thing", "L1", type={"type": "fixed", "name": "F", "size": 4}), "MB003"),
    (field("thing", "L1", type=["null", "string", "long"]), "MB003"),
    (field("thing", "L1", type=["null", {"type": "record", "name": "R", "fields": []}]), "MB003"),
    (field("thing", "L1", type={"type": "record", "name": "R", "fields": []}), "MB003"),
    (field("thing", "L1", type={"type": "bytes", "logicalType": "decimal"}), "MB003"),
    (sealed("thing", "L3", "TEXT") | {"mb:seal": {"type": "map", "key": "case"}}, "MB003"),
    (field("thing", "L1", **{"mb:seel": {"type": "string", "key": "case"}}), "MB004"),
    (field("thing", "L1", "L9"), "MB004"),
    (field("thing", "L2", "STAFF", "PI"), "MB004"),
    (field("9thing", "L1"), "MB005"),
    (field("category", "L1"), "MB005"),
    (field("thing"), "MB101"),
    (field("thing", "L2", "PI"), "MB102"),
    (field("thing", "L2", **{"mb:codes": "assistance_scheme"}), "MB102"),
    (field("thing", "L3", "TEXT"), "MB103"),
    (field("thing", "L2", **SEALED, **{"mb:seal": BY_CASE}), "MB104"),
    (sealed("thing", "L3", "TEXT", key="subject:stranger"), "MB105"),
    (sealed("thing", "L3", "TEXT", key="caller"), "MB105"),
    (sealed("thing", "L4", "SPI") | {"mb:seal": BY_CASE}, "MB106"),
    (sealed("thing", "L4", "SPI") | SEALED, "MB106"),
    (sealed("thing", "L3"), "MB107"),
    (field("thing", "L2", **{"mb:share": "unconditional"}), "MB108"),
    (field("thing", "L1", **{"mb:open": "whenever"}), "MB108"),
    (field("thing", "L2", **{"mb:codes": "dispute_type"}), "MB109"),
    (field("device_id", "L2"), "MB109"),
    (field("thing", "L1", doc=" "), "MB201"),
    (field("thing", "L1", **{"mb:codes": "no_such_list"}), "MB202"),
    (field("credit_score", "L1"), "MB203"),
    (sealed("phone", "L2", "TEXT"), "MB204"),
    (field("thing", "L1", doc="居民的身份证号"), "MB204"),
    (field("thing", "L1", **{"mb:format": "anything"}), "MB208"),
    (field("thing", "L1", **{"mb:text": "unmoderated"}), "MB209"),
    (field("thing", "L1", **TEXT, **{"mb:scan": "ignore"}), "MB209"),
    (field("thing", "L1", **TEXT, **{"mb:scan": "raise"}), "MB209"),
    (field("thing", "L1", **{"mb:scan": "reject"}), "MB209"),
]


@pytest.mark.parametrize(("spec", "code"), FAULTS, ids=[code for _, code in FAULTS])
def test_a_fault_has_its_code_its_line_and_its_fix(spec: dict[str, Any], code: str) -> None:
    found = findings(spec)
    assert code in {each.code for each in found}
    for finding in found:
        assert finding.path == spec["name"]
        # the first line holds all but the fields; a double stands where the later one does
        assert finding.line == 4
        assert finding.message
        assert finding.fix


def test_a_text_that_nothing_bounds_is_free_text() -> None:
    free = field("note", "L2")
    del free["mb:format"]
    assert codes(free) == ["MB207"]
    assert codes(field("note", "L2", **TEXT)) == []
    assert codes(sealed("note", "L3", "TEXT")) == []


def test_a_scan_may_raise_what_it_finds_into_a_twin() -> None:
    note = field("note", "L1", **TEXT, **{"mb:scan": "raise", "mb:raise": RAISED})
    assert codes(note, sealed("note_sealed", "L3", "TEXT")) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"twin": "category"},
        {"twin": "nothing"},
        {"grade": "L3"},
        {"values": []},
        {"values": ["yes"]},
        {"values": [1]},
        {"when": "category"},
        {"when": "phone_child"},
        {"when": "nothing"},
        {"as": "restricted"},
    ],
    ids=str,
)
def test_a_raise_that_does_not_work_is_found(changes: dict[str, Any]) -> None:
    fields = caller()
    fields[1]["mb:raise"] |= changes
    assert {"MB109", "MB110"} & set(codes(*fields, **CALLER))


@pytest.mark.parametrize("dropped", ["mb:raise", "under_14", "phone_child"])
def test_a_child_is_protected_by_every_part_of_the_raise(dropped: str) -> None:
    fields = caller()
    if dropped == "mb:raise":
        del fields[1][dropped]
    else:
        fields = [each for each in fields if each["name"] != dropped]
    assert {"MB109", "MB110"} & set(codes(*fields, **CALLER))


def test_a_sensor_says_whether_it_stands_in_a_dwelling_and_is_raised_there() -> None:
    dwelling = {"name": "dwelling", "type": "boolean", "confluent:tags": ["L2"], "doc": "Lived in"}
    rule = {"when": "dwelling", "values": [True], "grade": "L3", "as": "restricted", "twin": "twin"}
    device = field("device_id", "L2", **{"mb:raise": rule})
    twin = sealed("twin", "L3", "PI")
    assert codes(dwelling, device, twin) == []
    assert codes(device, twin) == ["MB109", "MB110"]
    assert codes(dwelling, field("device_id", "L2")) == ["MB109"]
    assert codes(dwelling, device, twin, field("reading", "L2")) == ["MB109"]


def test_a_person_beside_an_assistance_scheme_is_l4() -> None:
    scheme = sealed("scheme_code", "L4", "SPI")
    assert codes(scheme, sealed("doc_no", "L3", "PI")) == ["MB111"]
    assert codes(scheme, sealed("doc_no", "L4", "SPI")) == []


def test_a_key_given_twice_is_found_where_it_stands_again() -> None:
    whole = text(schema(field("thing", "L3", "TEXT", **SEALED, **{"mb:seal": BY_CASE})))
    tags = '"confluent:tags": ["L3", "TEXT"]'
    forged = whole.replace(tags, f'{tags}, "confluent:tags": ["L1"]')
    found = {each.code: each.line for each in lint_schema(forged, INLINED, CODES)}
    assert found["MB002"] == 4


def test_the_line_is_that_of_the_attribute_in_a_file_of_any_layout() -> None:
    spoilt = schema(field("thing", "L2", "PI"), field("other", "L1"))
    written = json.dumps(spoilt, indent=1)
    (finding,) = lint_schema(written, INLINED, CODES)
    line = written.splitlines()[finding.line - 1]
    assert line.strip() == '"confluent:tags": ['
    assert finding.line > written.splitlines().index('   "name": "thing",')


def listed(*fields: dict[str, Any]) -> dict[str, Any]:
    item = {"type": "record", "name": "Item", "doc": "One", "fields": list(fields)}
    return {"name": "things", "type": {"type": "array", "items": item}, "doc": "Some"}


def test_a_list_holds_codes_or_records_at_the_top_alone() -> None:
    assert codes(listed(field("a", "L1"))) == []
    assert codes(field("things", "L1", type={"type": "array", "items": "string"})) == []
    assert codes(listed(field("a", "L1"), listed(field("b", "L1")))) == ["MB003"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"mb:share": "unconditional"}, "MB108"),
        ({"mb:open": "unconditional"}, "MB108"),
        ({"mb:handler": "note"}, "MB210"),
        ({"mb:handler": "nothing"}, "MB210"),
        ({"mb:transitions": {"seen": {"doc": "seen", "after": []}}}, "MB301"),
        ({"mb:transitions": {"seen": {"doc": "s", "first": True, "after": ["gone"]}}}, "MB302"),
        (
            {"mb:transitions": {"a": {"doc": "a", "first": True, "after": []},
                                "b": {"doc": "b", "after": ["c"]},
                                "c": {"doc": "c", "after": ["b"]}}},
            "MB303",
        ),
        ({"mb:transitions": {"seen": {"doc": "", "first": True, "after": []}}}, "MB201"),
        ({"mb:transitions": {"scored": {"doc": "居民画像", "first": True, "after": []}}}, "MB203"),
        ({"mb:publishers": ["nobody"]}, "MB401"),
        ({"mb:publishers": ["test"]}, "MB401"),
        ({"mb:publishers": ["grid", "grid"]}, "MB401"),
        ({"mb:publishers": ["control"]}, "MB401"),
        ({"mb:publishers": "*"}, "MB401"),
        ({"mb:event_type": "Thing"}, "MB005"),
        ({"mb:department": "A town"}, "MB005"),
        ({"mb:version": 0}, "MB005"),
        ({"mb:unit": ""}, "MB005"),
        ({"mb:sharing": "no"}, "MB004"),
        ({"doc": ""}, "MB201"),
        ({"doc": "The credit score of a resident"}, "MB203"),
        ({"mb:event_type": "person.profile"}, "MB203"),
    ],
    ids=str,
)  # fmt: skip
def test_a_contract_as_a_whole_has_its_rules(changes: dict[str, Any], code: str) -> None:
    whole = text(schema(field("note", "L2"), **changes))
    found = lint_schema(whole, INLINED, CODES, departments=DEPARTMENTS)
    assert {each.code for each in found} == {code}


@pytest.mark.parametrize(
    "name",
    ["score", "person_rank", "ranking", "profile", "face", "iris", "voiceprint", "gait_id",
     "trajectory", "location_trace", "ballot", "party_member", "party_membership", "tags",
     "personLabel", "faceId", "imsi", "state_secret", "call_records", "blacklist"],
)  # fmt: skip
def test_content_that_the_bus_refuses_is_refused_at_any_grade(name: str) -> None:
    assert "MB203" in codes(sealed(name, "L4", "SPI"))


@pytest.mark.parametrize(
    "doc", ["居民的评分", "行踪轨迹", "是否党员", "人脸照片", "国家秘密", "信令数据"]
)
def test_what_a_doc_tells_in_chinese_is_refused_too(doc: str) -> None:
    assert "MB203" in codes(sealed("thing", "L4", "SPI") | {"doc": doc})


@pytest.mark.parametrize(
    ("name", "grade"),
    [("id_no", 4), ("idCard", 4), ("bank_card", 4), ("disability", 4), ("phone", 3), ("email", 3),
     ("plate_no", 3), ("birthday", 3), ("home_address", 3), ("latlon", 3), ("caller_name", 3),
     ("name", 3)],
)  # fmt: skip
def test_a_name_that_looks_personal_needs_its_grade(name: str, grade: int) -> None:
    for number, tags in enumerate((["L1"], ["L2"], ["L3", "PI"], ["L4", "SPI"]), 1):
        spec = sealed(name, *tags) if number >= 3 else field(name, *tags)
        assert ("MB204" in codes(spec)) == (number < grade)


@pytest.mark.parametrize(
    "name",
    ["category_surface", "tracking_number", "interface", "unit_name", "age_band", "phone_verified"],
)
def test_a_harmless_name_is_not_taken_for_another(name: str) -> None:
    kind = "boolean" if name.endswith("verified") else "string"
    assert codes(field(name, "L1", type=kind)) == []


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    | st.sampled_from(["meta", "proof", "string", "bytes", "record", "array", "L1", "L4"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(
        ["name", "type", "fields", "items", "doc", "confluent:tags", "mb:seal", "mb:raise", "key",
         "mb:subjects", "mb:transitions", "mb:codes", "mb:text", "when", "twin", "values", "grade"]
    ), inner, max_size=5),
    max_leaves=20,
), st.sampled_from([*schema(), "nothing"]))  # fmt: skip
def test_no_schema_makes_the_linter_fail(made: Any, place: str) -> None:
    whole = {**schema(*caller()), place: made}
    for each in (made, whole, {**schema(), "fields": [made]}, schema({"name": "x", "type": made})):
        for finding in lint_schema(json.dumps(each), INLINED, CODES, departments=DEPARTMENTS):
            assert finding.code in LINT_CODES
            assert finding.line >= 1


@given(st.text(max_size=60))
def test_no_text_makes_the_linter_fail(made: str) -> None:
    assert all(each.code in LINT_CODES for each in lint_schema(made, INLINED, CODES))
    deep = "[" * 5000
    assert [each.code for each in lint_schema(deep, INLINED, CODES)] == ["MB001"]


def test_the_frame_of_an_event_is_kept() -> None:
    spoilt = schema()
    spoilt["fields"] = [*spoilt["fields"][:-2], spoilt["fields"][-1], spoilt["fields"][-2]]
    assert [each.code for each in lint_schema(text(spoilt), INLINED, CODES)] == ["MB205"]


@pytest.mark.parametrize("tally", ["note", "nothing"])
def test_live_tallies_count_by_an_l1_field_alone(tally: str) -> None:
    assert codes(field("note", "L2"), **{"mb:tally": tally}) == ["MB206"]


@pytest.mark.parametrize("broken", ["", "{", "[]", '"text"', '{"type": "record", "fields": []}'])
def test_what_is_no_contract_is_one_finding(broken: str) -> None:
    (finding,) = lint_schema(broken, INLINED, CODES)
    assert finding.code == "MB001"
    assert finding.fix


def test_every_code_is_in_the_docs_with_its_meaning_and_nothing_else() -> None:
    page = (ROOT / "docs" / "contracts.md").read_text("utf-8")
    told = dict(re.findall(r"^\| (MB\d{3}) \| (.*?) \|", page, re.MULTILINE))
    assert told == dict(LINT_CODES)


def test_findings_come_in_the_order_of_the_lines() -> None:
    lines = [each.line for each in findings(field("b"), field("a"), field("phone", "L1"))]
    assert lines == sorted(lines)
    assert len(lines) == 3
