"""The HTML catalogue: well-formed, whole, and on its own."""

from __future__ import annotations

import posixpath
import re
import warnings
from dataclasses import replace
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

from maplebridge.documents.city import City
from maplebridge.documents.life_cycle import WIDTH, life_cycle
from maplebridge.documents.write import documents
from maplebridge.schemas import Contract, load_catalogue

CONTRACTS = {each.event_type: each for each in load_catalogue().everything}
HTML = "{http://www.w3.org/1999/xhtml}"


@pytest.fixture(scope="module")
def files(told: City) -> dict[str, str]:
    return dict(documents(told, version="1"))


@pytest.fixture(scope="module")
def parsed(files: dict[str, str]) -> dict[str, Element]:
    """Every page, by the parsing algorithm of HTML; the first parse error is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parser: Any = html5lib.HTMLParser(strict=True)
        return {name: parser.parse(text) for name, text in files.items() if name[-5:] == ".html"}


def attributes(page: Element, name: str) -> list[str]:
    return [each.attrib[name] for each in page.iter() if name in each.attrib]


def test_the_same_contracts_give_the_same_files(told: City, files: dict[str, str]) -> None:
    assert documents(told, version="1") == files


def test_every_contract_has_its_pages_in_both_languages(parsed: dict[str, Element]) -> None:
    names = {f"contracts/{each}.html" for each in CONTRACTS} | {"index.html"}
    assert parsed.keys() == names | {f"zh/{name}" for name in names}
    for name, page in parsed.items():
        assert page.attrib["lang"] == ("zh-CN" if name.startswith("zh/") else "en")


def test_links_lead_to_files_and_nothing_is_asked_of_others(
    files: dict[str, str], parsed: dict[str, Element]
) -> None:
    for name, page in parsed.items():
        for target in attributes(page, "href") + attributes(page, "src"):
            if target.startswith("#"):
                assert target[1:] in attributes(page, "id")
            elif target != "data:,":
                assert ":" not in target
                path = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
                assert path in files, (name, target)
    assert not re.search(r"url\(|@import", files["style.css"])


def test_ids_are_given_once_and_labels_name_what_is_there(parsed: dict[str, Element]) -> None:
    for page in parsed.values():
        ids = attributes(page, "id")
        assert len(ids) == len(set(ids))
        for name in ("for", "aria-labelledby", "aria-describedby"):
            assert set(attributes(page, name)) <= set(ids)
        headings = [
            int(e.tag[-1]) for e in page.iter() if re.fullmatch(rf"{HTML}h[1-6]", str(e.tag))
        ]
        assert headings.count(1) == 1
        assert all(b - a <= 1 for a, b in pairwise(headings))


def test_a_page_tells_every_field_with_its_grade_in_words(parsed: dict[str, Element]) -> None:
    for event_type, contract in CONTRACTS.items():
        page = parsed[f"contracts/{event_type}.html"]
        rows = {}
        for row in page.iter(f"{HTML}tr"):
            head = row.find(f"{HTML}th")
            cell = row.find(f"{HTML}td")
            if head is not None and cell is not None:
                path = "".join(head.itertext()).replace("\u200b", "").strip()
                rows[path] = "".join(cell.itertext())
        assert rows.keys() == contract.by_path.keys()
        for path, spec in contract.by_path.items():
            assert re.match(rf"L{spec.grade} \w", rows[path])


def test_what_contracts_say_is_no_markup(told: City, files: dict[str, str]) -> None:
    contract = CONTRACTS["hotline.order"]
    hostile = replace(contract, schema={**contract.schema, "doc": "<script>alert(1)</script>"})
    catalogue = replace(told.catalogue, contracts=(hostile,))
    made = documents(replace(told, catalogue=catalogue), version="1")
    assert "<script>alert" not in made["contracts/hotline.order.html"]
    assert "&lt;script&gt;alert" in made["contracts/hotline.order.html"]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_a_life_cycle_is_drawn_whole_and_inside_its_frame(contract: Contract) -> None:
    drawn = life_cycle(contract)
    assert sorted(each.name for each in drawn.boxes) == sorted(contract.transitions)
    arrows = sum(len(each.after) for each in contract.transitions.values())
    assert len(drawn.arrows) == len(set(drawn.arrows)) == arrows
    for arrow in drawn.arrows:
        numbers = [int(each) for each in re.findall(r"-?\d+", arrow)]
        assert all(0 <= each <= max(WIDTH, drawn.height) for each in numbers)
