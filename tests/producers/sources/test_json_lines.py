from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maplebridge.errors import InputError
from maplebridge.producers.mapping.paths import follow, parse_path
from maplebridge.producers.sources.json_lines import DEPTH_MAX, LINE_MAX_BYTES, JsonLinesRows
from maplebridge.producers.sources.rows import SourceRow

COLUMNS = ("no", "caller.phone", "notes[0].text", "/a~1b/c")


def rows(path: Path, raw: bytes, *, encoding: str = "utf-8") -> list[SourceRow]:
    path.write_bytes(raw)
    with closing(JsonLinesRows(path, encoding=encoding, columns=COLUMNS)) as source:
        return list(source)


def test_nested_members_are_columns(tmp_path: Path) -> None:
    document = {
        "no": 7,
        "caller": {"phone": " 10000000001 "},
        "notes": [{"text": "煤气味"}, {"text": "more"}],
        "a/b": {"c": None},
    }
    raw = json.dumps(document, ensure_ascii=False).encode() + b"\n\n" + b'{"no": false}'
    first, second = rows(tmp_path / "t.jsonl", b"\xef\xbb\xbf" + raw)
    assert (first.number, first.cells) == (1, [7, "10000000001", "煤气味", ""])
    assert (second.number, second.cells) == (3, [False, "", "", ""])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "not JSON"),
        (b"[1]", "no JSON object"),
        (b'"x"', "no JSON object"),
        (b'{"no": NaN}', "not JSON"),
        (b'{"no": "\xff"}', "not of the encoding"),
        (b'{"no": "\\ud800"}', "half a character"),
        (b'{"no": ' + b"9" * 5_000 + b"}", "not JSON"),
        (b'{"no": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", f"deeper than {DEPTH_MAX}"),
        (b'{"a":' * 33 + b"1" + b"}" * 33, f"deeper than {DEPTH_MAX}"),
        (b'{"no": "' + b"x" * LINE_MAX_BYTES + b'"}', "longer than"),
    ],
)
def test_a_broken_line_is_told_and_costs_no_other(tmp_path: Path, line: bytes, said: str) -> None:
    found = rows(tmp_path / "t.jsonl", b'{"no": 1}\n' + line + b'\n{"no": 3}\n')
    assert [row.cells[0] for row in found if not row.fault] == [1, 3]
    (broken,) = [row for row in found if row.fault]
    assert said in broken.fault
    assert broken.number == 2


def test_many_brackets_in_texts_are_not_deep(tmp_path: Path) -> None:
    line = json.dumps({"no": "[{" * 50 + '\\"', "a": [[1]] * 40}).encode()
    (row,) = rows(tmp_path / "t.jsonl", line)
    assert not row.fault


def test_columns_that_no_row_has_are_told(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"no": 1}\n{"caller": {"phone": "1"}}\n')
    with closing(JsonLinesRows(path, encoding="utf-8", columns=COLUMNS)) as source:
        assert len(list(source)) == 2
        assert source.unseen == ("notes[0].text", "/a~1b/c")
        assert source.share == 1


def test_a_corrected_reject_file_is_read_as_the_rows_that_they_were(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"no": 1}\n{"no": 2, "caller": {"phone": "x"}}\n{"no": \n')
    with closing(JsonLinesRows(path, encoding="utf-8", columns=COLUMNS)) as source:
        rejects = source.rejects(tmp_path / "r.jsonl")
        for row in list(source)[1:]:
            rejects.add(
                row=row.number, column="no", reason="r", cells=row.cells, original=row.original
            )
    made = rejects.finish()
    assert made is not None
    assert made.stat().st_mode & 0o777 == 0o600
    with closing(JsonLinesRows(made, encoding="utf-8", columns=COLUMNS)) as again:
        two, three = list(again)
    assert (two.number, two.cells) == (2, [2, "x", "", ""])
    assert two.original == {"no": 2, "caller": {"phone": "x"}}
    assert (three.number, three.original) == (3, '{"no": ')
    assert "not JSON" in three.fault


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        JsonLinesRows(tmp_path / "none", encoding="utf-8", columns=())


@pytest.mark.parametrize("name", ["", "a..b", "a[x]", "[", ".", "a]", "a.b[1"])
def test_what_is_no_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        parse_path(name)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.text(), inner), max_leaves=20),
       st.lists(st.text() | st.integers(0, 9)))  # fmt: skip
def test_a_json_pointer_finds_what_its_parts_find(document: object, parts: list[str | int]) -> None:
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
    at: object = document
    for part in parts:
        if isinstance(at, dict):
            at = at.get(str(part))
        elif isinstance(at, list) and str(part).isdecimal() and str(part).isascii():
            number = int(part)
            at = at[number] if str(number) == str(part) and number < len(at) else None
        else:
            at = None
    if pointer:
        found = follow(document, parse_path(pointer))
        assert found == ("" if at is None else at.strip() if isinstance(at, str) else at)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b'{"no":', b"[", b"}", b'"', b"\n"])))
def test_no_bytes_break_the_reader(tmp_path: Path, parts: list[bytes]) -> None:
    for row in rows(tmp_path / "t.jsonl", b"".join(parts)):
        assert row.fault or len(row.cells) == len(COLUMNS)
