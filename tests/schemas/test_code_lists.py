"""Code lists: values as data, each with its source."""

from __future__ import annotations

import re
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from maplebridge.errors import ContractRefused
from maplebridge.producers.mapping.durations import duration
from maplebridge.schemas import load_code_lists

CODES = load_code_lists()
RAW: dict[str, Any] = yaml.safe_load(
    files("maplebridge.schemas").joinpath("codes/lists.yaml").read_text("utf-8")
)


@pytest.mark.parametrize("name", RAW)
def test_a_list_has_a_source_and_texts(name: str) -> None:
    found = CODES.get(name)
    assert found.source
    assert found.codes
    assert all(isinstance(code, str) and text for code, text in found.codes.items())
    assert found.urgent <= set(found.codes)


def test_only_what_harms_people_or_things_at_once_is_urgent() -> None:
    assert CODES.get("hotline_category").urgent == {
        "gas", "fire", "flooding", "power", "water", "lift"
    }  # fmt: skip


def test_the_time_limit_of_an_urgency_is_a_duration() -> None:
    for text in CODES.get("urgency").codes.values():
        assert duration(text).total_seconds() > 0


def test_advice_names_the_nearest_code_first_and_not_the_wrong_one() -> None:
    advice = CODES.get("hotline_category").advice("lifft")
    assert advice.startswith("Did you mean lift?")
    assert "lifft" not in advice
    assert "gas" in CODES.get("hotline_category").advice("13800000000")


def test_an_unknown_list_is_refused_with_those_there_are() -> None:
    with pytest.raises(ContractRefused, match="hotline_state"):
        CODES.get("hotline_stat")


def test_another_file_of_lists_is_read(tmp_path: Path) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text("colour: {source: nobody, codes: {r: red}}\n")
    assert "r" in load_code_lists(path).get("colour")


DATED = """
thing:
  source: nobody
  timezone: Asia/Shanghai
  codes:
    always: at any time
    gone: {text: withdrawn, to: 2025-01-01}
    late: {text: added, from: 2025-01-01}
"""


def test_a_code_is_taken_while_it_was_in_use(tmp_path: Path) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text(DATED)
    found = load_code_lists(path).get("thing")
    before, after = (
        round(datetime.fromisoformat(f"2024-12-31T{time}+00:00").timestamp() * 1_000_000)
        for time in ("15:59:59", "16:00:00")
    )
    assert found.codes == {"always": "at any time", "gone": "withdrawn", "late": "added"}
    assert [c for c in found.codes if found.holds(c, at=before)] == ["always", "gone"]
    assert [c for c in found.codes if found.holds(c, at=after)] == ["always", "late"]
    assert not found.holds("nothing", at=after)


@pytest.mark.parametrize("part", ["  source: nobody\n", "  timezone: Asia/Shanghai\n"])
def test_a_list_without_what_it_needs_is_refused(tmp_path: Path, part: str) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text(DATED.replace(part, ""))
    with pytest.raises(ContractRefused, match="thing"):
        load_code_lists(path)


def test_what_raises_a_grade_is_a_code_of_its_list() -> None:
    for name in RAW:
        assert set(CODES.get(name).raises) <= set(CODES.get(name).codes)
    assert CODES.get("dispute_type").raises == {"family_violence": 4, "juvenile": 4}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: {source: '', codes: {b: c}}", "a has no source"),
        ("a: {source: x, codes: {}}", "a has no codes"),
        ("a: {source: x, codes: {yes: c}}", "a has a code True that is no text"),
        ("a: {source: x, codes: {1: c}}", "a has a code 1 that is no text"),
        ("a: {source: x, codes: {b: no}}", "a has no text for code b"),
        ("a: {source: x, codes: {b: c}, urgnt: [b]}", "unknown key urgnt"),
        (
            "a: {source: x, timezone: UTC, codes: {b: {text: t, form: 2024-01-01}}}",
            "unknown key form at code b",
        ),
        (
            "a: {source: x,timezone: UTC, codes: {b: {text: t, from: 2025-01-02, to: 2025-01-01}}}",
            "code b has a `to`",
        ),
        ("a: {source: x, codes: {b: c}, urgent: [z]}", "a code z in urgent"),
        ("a: {source: x, codes: {b: c}, raises: {z: L4}}", "a code z in raises"),
        ("a: {source: x, codes: {b: c}, urgent: b}", "urgent that is no list of codes"),
        ("a: {source: x, codes: {b: c}, urgent: 5}", "urgent that is no list of codes"),
        ("a: {source: x, codes: {b: c}, raises: [b]}", "raises that is no map of codes to grades"),
        ("a: {source: x, codes: {b: c}, raises: 4}", "raises that is no map of codes to grades"),
        ("a: {source: x, codes: {b: c}, raises: {b: 4}}", "cannot be used .KeyError"),
        ("a: {source: x, codes: {b: c}, grade: 4}", "cannot be used .KeyError"),
        ("a: [b]", "a is no object"),
        ("[1, 2]", r"lists\.yaml holds no code lists"),
        ("", r"lists\.yaml holds no code lists"),
        ("a: {", r"lists\.yaml cannot be read .*line 1"),
    ],
)
def test_a_list_that_contradicts_itself_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text(text)
    with pytest.raises(ContractRefused) as refused:
        load_code_lists(path)
    assert re.search(says, str(refused.value), re.DOTALL)
