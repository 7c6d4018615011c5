from __future__ import annotations

import re
import tempfile
import tracemalloc
import zipfile
from contextlib import closing
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from maplebridge.errors import InputError, MappingInvalid
from maplebridge.producers.mapping.source import WorkbookSource
from maplebridge.producers.sources import workbook
from maplebridge.producers.sources.rows import SourceRow
from maplebridge.producers.sources.workbook import WorkbookRows
from maplebridge.producers.sources.workbook_rejects import WorkbookRejects

SHEET = "xl/worksheets/sheet1.xml"


def made(path: Path, *rows: list[Any], title: str = "工单") -> Path:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = title
    for row in rows:
        sheet.append(row)
    book.create_sheet("other").append(["x"])
    book.save(path)
    return path


def read(path: Path, **source: Any) -> tuple[tuple[str, ...], list[SourceRow]]:
    with closing(WorkbookRows(path, WorkbookSource("Asia/Shanghai", **source))) as rows:
        return rows.header, list(rows)


def test_real_dates_numbers_and_texts_come_as_such(tmp_path: Path) -> None:
    path = made(
        tmp_path / "t.xlsx",
        ["编号", "时间", "日", "数", "钟"],
        [" A1 ", datetime(2025, 3, 3, 8, 12, 59), date(2025, 3, 3), 5.5, time(8, 0)],
        [None, None, None, None, None],
        [7, None, None, True, None],
    )
    header, rows = read(path, sheet="工单")
    assert header == ("编号", "时间", "日", "数", "钟")
    first = ["A1", datetime(2025, 3, 3, 8, 12, 59), datetime(2025, 3, 3), 5.5, "08:00:00"]
    assert [(row.number, row.cells) for row in rows] == [
        (2, first),
        (4, [7, "", "", True, ""]),
    ]


def test_the_header_may_stand_below_a_title(tmp_path: Path) -> None:
    path = made(tmp_path / "t.xlsx", ["Orders of March"], [], ["a", "b"], [1, 2])
    header, rows = read(path, header_row=3)
    assert header == ("a", "b")
    assert [(row.number, row.cells) for row in rows] == [(4, [1, 2])]
    with pytest.raises(MappingInvalid, match=r"row 2 of t.xlsx names no columns"):
        read(path, header_row=2)


def test_a_wide_row_and_a_failed_formula_are_faults(tmp_path: Path) -> None:
    path = made(tmp_path / "t.xlsx", ["a", "b"], [1, 2, 3], [1, "#REF!"], [4])
    rows = read(path)[1]
    assert [row.fault for row in rows] == [
        "it has more columns than the first row",
        "a formula in it has failed",
        "",
    ]
    assert rows[2].cells == [4, ""]


def test_formulas_give_the_value_that_was_kept(tmp_path: Path) -> None:
    path = made(tmp_path / "t.xlsx", ["a", "b"], [1, "=A2+1"])
    packed = tmp_path / "kept.xlsx"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            raw = old.read(name)
            new.writestr(name, raw.replace(b"<f>A2+1</f><v />", b"<f>A2+1</f><v>2</v>")
                         .replace(b"<f>A2+1</f><v></v>", b"<f>A2+1</f><v>2</v>"))  # fmt: skip
    assert read(packed)[1][0].cells == [1, 2]


def test_a_missing_sheet_names_the_nearest(tmp_path: Path) -> None:
    path = made(tmp_path / "t.xlsx", ["a"], title="Orders")
    with pytest.raises(MappingInvalid, match="Did you mean 'Orders'"):
        read(path, sheet="Order")


def test_a_corrected_reject_file_is_read_as_the_sheet_that_it_was(tmp_path: Path) -> None:
    path = made(tmp_path / "t.xlsx", ["a", "b"], ["=1+1", datetime(2025, 3, 3)], ["x", "y"])
    with closing(WorkbookRows(path, WorkbookSource("UTC", "工单"))) as rows:
        rejects = rows.rejects(tmp_path / "r.xlsx")
        rejects.add(
            row=2, column="a", reason="r", cells=["=1+1", datetime(2025, 3, 3)], original=""
        )
        rejects.add(row=9, column="b", reason="\x01", cells=["x", ""], original="")
    out = rejects.finish()
    assert out is not None
    assert out.stat().st_mode & 0o777 == 0o600
    sheet = load_workbook(out)["工单"]
    # what a clerk typed is no formula in the clerk's spreadsheet either
    assert sheet["D2"].data_type == "s"
    header, again = read(out, sheet="工单")
    assert header == ("a", "b")
    assert [(row.number, row.cells) for row in again] == [
        (2, ["=1+1", datetime(2025, 3, 3)]),
        (9, ["x", ""]),
    ]
    assert rejects.rows == 2


def test_rejected_rows_are_written_beside_their_file_for_their_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere, beside = tmp_path / "tmp", tmp_path / "work"
    elsewhere.mkdir()
    beside.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    target = beside / "r.xlsx"
    target.write_text("of an earlier import")

    def begun() -> WorkbookRejects:
        rejects = WorkbookRejects(target, sheet="工单", header=("a",))
        for number in range(2_000):
            rejects.add(row=number, column="a", reason="r", cells=["枫甲乙"], original="")
        assert list(elsewhere.iterdir()) == []
        (partial,) = [each for each in beside.iterdir() if each != target]
        assert partial.stat().st_mode & 0o777 == 0o700
        written = list(partial.iterdir())
        assert {each.stat().st_mode & 0o777 for each in written} == {0o600}
        assert sum(each.stat().st_size for each in written) > 0
        assert target.read_text("utf-8") == "of an earlier import"
        return rejects

    begun().abandon()
    assert list(beside.iterdir()) == [target]
    rejects = begun()
    assert rejects.finish() == target
    assert list(beside.iterdir()) == [target]
    assert list(elsewhere.iterdir()) == []
    assert target.stat().st_mode & 0o777 == 0o600
    assert len(read(target)[1]) == 2_000
    # an import that breaks off behind it takes nothing away
    rejects.abandon()
    assert target.exists()


CELLS = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=20),
    st.integers(-(10**9), 10**9),
    st.booleans(),
    # a spreadsheet program keeps 15 digits of a number
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda x: float(f"{x:.15g}")),
    st.datetimes(datetime(1900, 3, 1), datetime(2100, 1, 1)).map(
        lambda at: at.replace(microsecond=0)
    ),
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5))
def test_a_sheet_of_rejects_reads_back_as_it_was(tmp_path: Path, rows: list[list[Any]]) -> None:
    rejects = WorkbookRejects(tmp_path / "r.xlsx", sheet='<"&>', header=("a", "b", "c"))
    legal = [[_legal(cell) for cell in row] for row in rows]
    for number, cells in enumerate(rows, 2):
        rejects.add(row=number, column="a", reason="r", cells=cells, original="")
    out = rejects.finish()
    assert out is not None
    told = [row for row in enumerate(legal, 2) if any(cell != "" for cell in row[1])]
    found = [(row.number, row.cells) for row in read(out, sheet='<"&>')[1]]
    assert [each for each in found if any(cell != "" for cell in each[1])] == told


def _legal(cell: Any) -> Any:
    """Return a cell without what XML cannot hold, as it is read."""
    if not isinstance(cell, str):
        return cell
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "", cell).strip()


def test_rejects_that_cannot_be_written_say_so(tmp_path: Path) -> None:
    rejects = WorkbookRejects(tmp_path / "none" / "r.xlsx", sheet="s", header=("a",))
    with pytest.raises(InputError, match=r"r\.xlsx cannot be written .* another place"):
        rejects.add(row=2, column="a", reason="r", cells=["x"], original="")
    rejects.abandon()


def test_a_sheet_whose_name_no_workbook_may_have_says_so(tmp_path: Path) -> None:
    rejects = WorkbookRejects(tmp_path / "r.xlsx", sheet="s" * 32, header=("a",))
    with pytest.raises(InputError, match="at most 31 characters"):
        rejects.add(row=2, column="a", reason="r", cells=["x"], original="")
    rejects.abandon()
    assert list(tmp_path.iterdir()) == []


def test_a_packed_bomb_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path / "t.xlsx", ["a"])
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("xl/sharedStrings.xml", bytes(workbook.TEXTS_MAX_BYTES + 1))
    monkeypatch.setattr(workbook, "open_watched", lambda *a, **k: pytest.fail("was opened"))
    with pytest.raises(InputError, match=r"would unpack to 50,\d{3},\d{3} bytes"):
        read(path)


@pytest.mark.parametrize(
    ("member", "before", "inside", "after"),
    [
        (SHEET, b"<row><c t='inlineStr'><is><t>", b"x", b"</t></is></c></row>"),
        (SHEET, b"<row>", b"<c/>", b"</row>"),
        (SHEET, b"", b"<other>0123456789</other>", b""),
        ("xl/styles.xml", b"<fonts>", b"<font/>", b"</fonts>"),
    ],
    ids=["one text", "one row", "around the rows", "another part"],
)
def test_no_row_text_or_part_takes_more_memory_than_its_limit(
    tmp_path: Path, member: str, before: bytes, inside: bytes, after: bytes
) -> None:
    whole = made(tmp_path / "t.xlsx", ["a"], ["x"])
    path = tmp_path / "large.xlsx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            raw = old.read(name)
            if name == member:
                end = b"</sheetData>" if b"sheetData" in raw else b"</styleSheet>"
                head, tail = raw.split(end)
                told = before + inside * (40_000_000 // len(inside)) + after
                raw = head + told + end + tail
            new.writestr(name, raw)
        del raw, told
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="too large"):
            read(path)
        assert tracemalloc.get_traced_memory()[1] < 64_000_000
    finally:
        tracemalloc.stop()


def test_a_workbook_may_define_no_document_type(tmp_path: Path) -> None:
    whole = made(tmp_path / "t.xlsx", ["a"], ["x"])
    path = tmp_path / "typed.xlsx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            raw = old.read(name)
            if name == SHEET:
                raw = b'<!DOCTYPE x [<!ENTITY a "b">]>' + raw
            new.writestr(name, raw)
    with pytest.raises(InputError, match="defines a document type"):
        read(path)


def test_a_file_that_is_no_workbook_says_so(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(InputError, match="cannot be read as a workbook"):
        read(path)
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("hello", "x")
    with pytest.raises(InputError, match="cannot be read as a workbook"):
        read(path)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.xlsx")


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.data())
def test_no_damage_of_a_workbook_breaks_the_reader(tmp_path: Path, data: st.DataObject) -> None:
    whole = made(tmp_path / "t.xlsx", ["a", "b"], [1, "x"], [datetime(2025, 3, 3), "y"])
    broken = tmp_path / "broken.xlsx"
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(broken, "w") as new:
        victim = data.draw(st.sampled_from(sorted(old.namelist())))
        for name in old.namelist():
            raw = old.read(name)
            if name == victim:
                at = data.draw(st.integers(0, len(raw)))
                raw = raw[:at] + data.draw(st.binary(max_size=20)) + raw[at + 1 :]
            new.writestr(name, raw)
    try:
        for row in read(broken)[1]:
            assert row.fault or row.cells is not None
    except InputError:
        pass
