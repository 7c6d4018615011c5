"""The HTML catalogue: well-formed, whole, and on its own."""

from __future__ import annotations

import posixpath
import re
import warnings
from dataclasses import replace
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import pytest

from maplebridge.documents.city import City
from maplebridge.documents.life_cycle import WIDTH, life_cycle
from maplebridge.documents.pages import pages
from maplebridge.documents.write import documents
from maplebridge.schemas import CodeList, CodeLists, Contract, load_catalogue, load_code_lists

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


def words_of(page: Element) -> str:
    return " ".join(" ".join(page.itertext()).replace("\u200b", "").split())


def test_the_index_groups_by_department_and_control_comes_last(parsed: dict[str, Element]) -> None:
    groups = []
    for section in parsed["index.html"].iter(f"{HTML}section"):
        heading = section.find(f"{HTML}h2")
        assert heading is not None
        owner = words_of(heading).split()[-1]
        groups.append(owner)
        linked = [each.attrib["href"] for each in section.iter(f"{HTML}a")]
        held = sorted(name for name, each in CONTRACTS.items() if each.department == owner)
        assert linked == [f"contracts/{name}.html" for name in held]
    assert groups == [*sorted(set(groups) - {"react", "control"}), "react", "control"]
    assert set(groups) == {each.department for each in CONTRACTS.values()}
    told = words_of(parsed["index.html"])
    assert re.search(r"\b1 sealed field\b(?!s)", told)
    assert "1 sealed fields" not in told


def test_a_page_tells_forms_raises_and_where_codes_come_from(
    told: City, parsed: dict[str, Element]
) -> None:
    for event_type, contract in CONTRACTS.items():
        text = words_of(parsed[f"contracts/{event_type}.html"])
        for spec in contract.fields:
            if spec.format:
                assert f"Form: {spec.format}" in text
            if spec.raises:
                assert f"Raised to L{spec.raises.grade} by" in text
                assert f"then in {spec.raises.twin}" in text
            if spec.code_list:
                source = " ".join(told.codes.get(spec.code_list).source.split())
                assert f"Source: {source}" in text


def test_a_dated_code_shows_its_days(told: City, tmp_path: Path) -> None:
    path = tmp_path / "lists.yaml"
    path.write_text(
        "hotline_channel:\n  source: made up\n  timezone: Asia/Shanghai\n"
        "  codes: {phone: {text: p, from: 2024-01-01, to: 2026-07-01}, web: w}\n",
        encoding="utf-8",
    )
    made = load_code_lists(path).get("hotline_channel")
    assert made.days("phone") == (date(2024, 1, 1), date(2026, 7, 1))
    assert made.days("web") == (None, None)

    class Codes(CodeLists):
        def get(self, name: str) -> CodeList:
            return made if name == made.name else told.codes.get(name)

    page = pages(replace(told, codes=Codes({})))["contracts/hotline.order.html"]
    assert "from 2024-01-01" in page
    assert "until 2026-07-01" in page


def test_chinese_pages_say_sharing_and_whom_to_ask_in_chinese(
    told: City, parsed: dict[str, Element]
) -> None:
    for event_type, contract in CONTRACTS.items():
        page = parsed[f"zh/contracts/{event_type}.html"]
        cells = [words_of(each) for each in page.iter(f"{HTML}td")]
        assert not [each for each in cells if re.fullmatch(r"[a-z_]+ / [a-z_]+", each)]
        assert told.consumers.whom_to_ask(contract.department) not in words_of(page)


def test_arrows_of_different_ends_run_in_lanes_of_their_own() -> None:
    for contract in CONTRACTS.values():
        lanes: dict[str, list[tuple[int, int, str]]] = {}
        for arrow in life_cycle(contract).arrows:
            far = re.fullmatch(r"M\d+ \d+H\d+Q(\d+) (\d+) .*V.*Q\d+ (\d+) .*H\d+", arrow)
            if far:
                x, start, end = far.groups()
                low, high = sorted((int(start), int(end)))
                for other_low, other_high, other_end in lanes.setdefault(x, []):
                    assert other_end == end or high < other_low or other_high < low
                lanes[x].append((low, high, end))
