"""A proposed mapping is YAML that says what is open, and tells nothing of persons."""

from __future__ import annotations

from pathlib import Path

import pytest
from openpyxl import Workbook

from maplebridge.errors import ContractRefused, InputError, MappingInvalid
from maplebridge.producers.mapping import RowMapping, load_mapping
from maplebridge.producers.mapping.document import UNDECIDED, read_document
from maplebridge.producers.proposal import propose, take_sample
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
from tests.producers.mapping.test_reference import ROOT

CATALOGUE = load_catalogue()
CODES = load_code_lists()
REGIONS = load_regions()
ORDERS = ROOT / "examples" / "hotline" / "orders.csv"


def proposed(path: Path, event_type: str | None = None) -> str:
    return propose(
        take_sample(path), event_type=event_type, catalogue=CATALOGUE, codes=CODES, regions=REGIONS
    )


def load(folder: Path, text: str) -> RowMapping:
    path = folder / "m.yaml"
    path.write_text(text, "utf-8")
    return load_mapping(path, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)


def test_a_chinese_table_is_recognised() -> None:
    text = proposed(ORDERS)
    assert "event_type: hotline.order" in text
    assert "encoding: gb18030" in text
    assert "key: [工单编号]" in text
    assert 'parse: {date: ["%Y-%m-%d %H:%M", "%Y年%m月%d日 %H:%M"]}' in text
    for field, column in (
        ("caller_name", "来电人"),
        ("caller_phone", "来电号码"),
    ):
        assert f"{field}: {{column: {column}}}" in text
    assert "求助: help" in text
    assert '江东社区: "330681001001"' in text
    # the contract asks for a code there, and the table has names
    assert "\n  # unit: {column: 处理单位}  # L1: " in text
    assert "its values do not fit: up to 32 Latin letters" in text


def test_what_is_open_is_told_with_its_line_and_then_it_works(tmp_path: Path) -> None:
    text = proposed(ORDERS, "hotline.order")
    with pytest.raises(
        MappingInvalid, match=r"line \d+: purpose: still to be decided.*stands in line"
    ):
        load(tmp_path, text)
    decided = (
        text.replace(f"purpose: {UNDECIDED}", "purpose: case_handling")
        .replace(f"legal_basis: {UNDECIDED}", "legal_basis: statutory_duty")
        .replace(f"channel: {UNDECIDED}", "channel: phone")
        .replace(f"state: {UNDECIDED}", "state: open")
        .replace(f"codes: {UNDECIDED}", "codes: {一般: general}")
    )
    mapping = load(tmp_path, decided)
    assert mapping.key == ("工单编号",)


@pytest.mark.parametrize("event_type", [each.event_type for each in CATALOGUE.published])
def test_for_every_contract_it_is_yaml_without_a_value_of_a_person(
    tmp_path: Path, event_type: str
) -> None:
    text = proposed(ORDERS, event_type)
    path = tmp_path / "m.yaml"
    path.write_text(text, "utf-8")
    read_document(path)
    for value in ("虚构甲", "10000000001", "示例路1号", "楼道里有煤气味"):
        assert value not in text


def test_other_formats_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("case id\topened\n1\t2025-01-02\n2\t2025-01-03\n")
    assert "source: {format: tsv, encoding: utf-8" in proposed(tmp_path / "t.tsv")
    (tmp_path / "t.csv").write_text("id;when\n1;03.01.2025 10:00\n2;13.01.2025 11:00\n")
    text = proposed(tmp_path / "t.csv")
    assert 'delimiter: ";"' in text
    assert '"%d.%m.%Y %H:%M"' in text
    book = Workbook()
    assert book.active is not None
    book.active.append(["工单编号", "社区"])
    book.active.append(["1", "江东社区"])
    book.save(tmp_path / "t.xlsx")
    assert "source: {format: xlsx, timezone: Asia/Shanghai}" in proposed(tmp_path / "t.xlsx")
    cases = ROOT / "examples" / "mediation" / "cases.jsonl"
    text = proposed(cases, "mediation.case")
    assert "format: jsonl" in text
    assert "each: people" in text
    assert "虚构" not in text


def test_a_name_that_yaml_would_misread_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("no,a: b,#c\n1,2,3\n2,2,3\n")
    text = proposed(tmp_path / "t.csv", "hotline.order")
    assert '["no"]' in text or 'key: ["no"]' in text
    path = tmp_path / "m.yaml"
    path.write_text(text)
    read_document(path)


def test_a_few_cells_that_are_no_dates_are_told_and_leave_the_column_a_date(tmp_path: Path) -> None:
    rows = [f"N{n},2025-03-0{n % 3 + 1} 08:00,330681001001" for n in range(11)]
    (tmp_path / "t.csv").write_text("\n".join(["order_no,opened_at,community", *rows, "N11,soon,"]))
    text = proposed(tmp_path / "t.csv", "hotline.order")
    assert "occurred_at: {column: " in text
    assert "# 1 of 12 cells is no date of this form" in text


def test_what_matches_nothing_is_said(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("order_no,opened_at\n")
    with pytest.raises(InputError, match="has no rows"):
        proposed(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")
    with pytest.raises(InputError, match="no column matches"):
        proposed(tmp_path / "t.csv")
    with pytest.raises(ContractRefused) as refused:
        proposed(ORDERS, "hotline.orders")
    assert "hotline.order," in refused.value.todo
    assert not any(each.event_type in refused.value.todo for each in CATALOGUE.control)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_utf_16_is_told_and_no_mapping_is_spoken_of(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_text("order_no,opened_at\n1,2025-01-01\n", encoding)
    with pytest.raises(InputError, match="UTF-16") as refused:
        take_sample(tmp_path / "t.csv")
    assert "mapping" not in str(refused.value)


def test_an_empty_or_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        take_sample(tmp_path / "none.csv")
    (tmp_path / "t.jsonl").write_text("[]\n")
    with pytest.raises(InputError, match="no line holds a JSON object"):
        take_sample(tmp_path / "t.jsonl")
    (tmp_path / "t.csv").write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        take_sample(tmp_path / "t.csv")
