from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maplebridge.errors import InputError, MappingInvalid
from maplebridge.producers.mapping.source import DelimitedSource
from maplebridge.producers.sources.delimited import LINE_MAX_BYTES, DelimitedRows
from maplebridge.producers.sources.rows import SourceRow


def rows(
    path: Path, raw: bytes, *, encoding: str = "utf-8", delimiter: str = ","
) -> list[SourceRow]:
    path.write_bytes(raw)
    with closing(DelimitedRows(path, DelimitedSource("UTC", delimiter, encoding))) as table:
        return list(table)


def test_cells_are_stripped_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    found = rows(tmp_path / "t.csv", b"a,b\r\n 1 ,2\r\n\r\n,\r\n3,4")
    assert [(row.number, row.cells) for row in found] == [(2, ["1", "2"]), (5, ["3", "4"])]


def test_a_quoted_cell_may_hold_delimiters_quotes_and_lines(tmp_path: Path) -> None:
    (row,) = rows(tmp_path / "t.csv", b'a,b\n"x\ny","1,""2"""\n')
    assert row.cells == ["x\ny", '1,"2"']
    assert not row.fault


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"1", "another number of columns"),
        (b"1,2,3", "another number of columns"),
        (b'"1,2', "quotation marks"),
        (b'"1"x,2', "quotation marks"),
        (b"1,\x00", "NUL"),
        (b"1,\xff", "not of the encoding"),
        (b"1," + b"x" * LINE_MAX_BYTES, "longer than"),
    ],
)
def test_a_broken_row_is_told_and_costs_no_other(tmp_path: Path, line: bytes, said: str) -> None:
    found = rows(tmp_path / "t.csv", b"a,b\n1,2\n" + line + b"\n3,4\n5,6\n")
    assert [row.cells for row in found if not row.fault] == [["1", "2"], ["3", "4"], ["5", "6"]]
    (broken,) = [row for row in found if row.fault]
    assert said in broken.fault
    assert broken.number == 3


def test_chinese_encodings_are_read_and_their_broken_bytes_told(tmp_path: Path) -> None:
    raw = "编号,内容\n1,煤气味\n".encode("gb18030") + b"2,\xff\xff\n3,\xb0\n4,x\n"
    found = rows(tmp_path / "t.csv", raw, encoding="gb18030")
    assert found[0].cells == ["1", "煤气味"]
    assert [bool(row.fault) for row in found] == [False, True, True, False]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"\xef\xbb\xbfa,b\n1,2\n")
    with closing(DelimitedRows(path, DelimitedSource("UTC"))) as table:
        assert table.header == ("a", "b")
        assert table.encoding == "utf-8-sig"


def test_an_empty_or_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(MappingInvalid, match="is empty"):
        rows(tmp_path / "t.csv", b"")
    with pytest.raises(InputError, match="cannot be read"):
        DelimitedRows(tmp_path / "none.csv", DelimitedSource("UTC"))
    with pytest.raises(InputError, match="cannot be read"):
        DelimitedRows(tmp_path, DelimitedSource("UTC"))


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(tmp_path: Path, raw: bytes) -> None:
    for row in rows(tmp_path / "t.csv", b"a,b\n" + raw):
        assert row.fault or len(row.cells) == 2


class CarefulRows(DelimitedRows):
    """Reads every block line by line."""

    def _split(self, block: bytes) -> None:
        return None


PIECES = st.sampled_from(
    [b"1", b",", b'"', b"\n", b"\r\n", b"\r", b" ", b"\x00", b"\xff", b"x,y\n"]
)


@settings(
    deadline=None, max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_a_block_says_what_its_lines_say(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + raw)
    told = []
    for kind in (DelimitedRows, CarefulRows):
        with closing(kind(path, DelimitedSource("UTC"))) as table:
            told.append([(row.number, list(row.cells), row.fault) for row in table])
    assert told[0] == told[1]
