"""Code lists: values as data, each with its source."""

from __future__ import annotations

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
