"""The contract linter: each code, each floor, and what it lets pass."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from maplebridge.schemas import Finding, lint_schema, load_code_lists
from maplebridge.schemas.lint import FLOORS
from tests.schemas.made_contracts import BY_CASE, INLINED, SEALED, field, schema, text

CODES = load_code_lists()
BUILT_IN = sorted(
    path
    for path in Path(str(files("maplebridge.schemas"))).glob("*/*.v*.avsc")
    if path.parent.name not in ("control", "out")
)


def findings(*fields: dict[str, Any], **changes: Any) -> list[Finding]:
    return lint_schema(text(schema(*fields, **changes)), INLINED, CODES)


def codes(*fields: dict[str, Any], **changes: Any) -> list[str]:
    return [finding.code for finding in findings(*fields, **changes)]


def sealed(name: str, *tags: str, nullable: bool = False, key: str = "case") -> dict[str, Any]:
    plain: Any = ["null", "string"] if nullable else "string"
    return field(name, *tags, **SEALED, **{"mb:seal": {"type": plain, "key": key}})


@pytest.mark.parametrize("path", BUILT_IN, ids=[path.name for path in BUILT_IN])
def test_the_built_in_contracts_pass(path: Path) -> None:
    assert lint_schema(path.read_text("utf-8"), INLINED, CODES) == []


def test_a_plain_contract_passes() -> None:
    assert codes(field("note", "L2"), sealed("caller", "L3", "PI", key="subject:caller")) == []


@pytest.mark.parametrize(("category", "floor"), FLOORS.items())
def test_a_category_has_its_floor(category: str, floor: int) -> None:
    for grade in range(1, 5):
        spec = (
            sealed("thing", f"L{grade}", category, nullable=True)
            if grade >= 3
            else field("thing", f"L{grade}", category)
        )
        assert codes(spec) == (["MB102"] if grade < floor else [])


def test_the_floors_are_those_of_the_design() -> None:
    assert FLOORS == {"STAFF": 2, "PI": 3, "SPI": 4, "TEXT": 3, "PLACE": 3}


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (field("thing"), "MB101"),
        (field("thing", "L2", "PI"), "MB102"),
        (field("thing", "L3"), "MB103"),
        (field("thing", "L2", **SEALED, **{"mb:seal": BY_CASE}), "MB104"),
        (sealed("thing", "L3", key="subject:stranger"), "MB105"),
        (sealed("thing", "L4"), "MB106"),
        (field("thing", "L1", doc=""), "MB201"),
        (field("thing", "L1", **{"mb:codes": "no_such_list"}), "MB202"),
        (field("credit_score", "L1"), "MB203"),
        (field("phone", "L2"), "MB204"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_has_its_code_its_line_and_its_fix(spec: dict[str, Any], code: str) -> None:
    (finding,) = findings(spec)
    assert finding.code == code
    assert finding.path == spec["name"]
    # the first line of the file holds all but the fields
    assert finding.line == 4
    assert finding.message
    assert finding.fix


@pytest.mark.parametrize(
    "name",
    ["score", "person_rank", "ranking", "profile", "face", "iris", "voiceprint", "gait_id",
     "trajectory", "location_trace", "ballot", "party_member", "party_membership"],
)  # fmt: skip
def test_content_that_the_bus_refuses_is_refused_at_any_grade(name: str) -> None:
    assert "MB203" in codes(sealed(name, "L4", "SPI", nullable=True))


@pytest.mark.parametrize("name", ["category_surface", "tracking_number", "interface"])
def test_a_harmless_name_is_not_taken_for_another(name: str) -> None:
    assert codes(field(name, "L1")) == []


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


def test_findings_come_in_the_order_of_the_lines() -> None:
    lines = [each.line for each in findings(field("b"), field("a"), field("phone", "L1"))]
    assert lines == sorted(lines)
    assert len(lines) == 3
