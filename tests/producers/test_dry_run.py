"""A dry run needs no server, shows no sealed value, and counts as an import does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maplebridge.producers.dry_run import DryRun, dry_run
from maplebridge.producers.mapping import load_mapping
from maplebridge.producers.rejects import DelimitedRejects
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
from tests.producers.test_importer import HEADER, MAPPING, SPLIT, line

CATALOGUE = load_catalogue()
CODES = load_code_lists()
REGIONS = load_regions()


def run(folder: Path, *lines: str, mapping: str = MAPPING, head: str = HEADER) -> DryRun:
    table, path = folder / "t.csv", folder / "m.yaml"
    table.write_text(head + "".join(lines), encoding="utf-8")
    path.write_text(mapping, encoding="utf-8")
    rules = load_mapping(path, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)
    return dry_run(table, rules, codes=CODES, regions=REGIONS, limit=3)


def test_the_totals_and_reasons_are_those_of_an_import(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        line(1),
        line(1),
        line(2, place=""),
        line(3, kind="whales"),
        line(4, place="330681001000"),
        line(5, at="2099-01-01 00:00"),
        "only,two\n",
        line(6, phone="1" * 200),
        line(7, no="x" * 2_000_000),
        line(8),
    )
    result = done.result
    assert (result.rows, result.published, result.already_published, result.rejected) == (
        10, 2, 1, 7,
    )  # fmt: skip
    assert [(each.row, each.column) for each in done.rejected] == [
        (4, "place"), (5, "kind"), (6, "place"),
    ]  # fmt: skip
    assert result.reject_path is None
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.yaml", "t.csv"]


def test_sealed_fields_show_their_grade_and_never_their_value(tmp_path: Path) -> None:
    done = run(tmp_path, line(1), line(2, phone=""))
    first, second = done.events
    assert first.values["caller_phone"] == "sealed (L3)"
    assert second.values["caller_phone"] == ""
    assert first.values["category"] == "noise"
    assert first.values["occurred_at"] == "2025-03-03 00:00:00Z"
    assert "10000000001" not in repr(done)


def test_a_value_that_raises_its_own_grade_is_not_shown(tmp_path: Path) -> None:
    mapping = """\
event_type: mediation.case
source: {encoding: utf-8, timezone: Asia/Shanghai}
key: [no]
purpose: dispute_resolution
legal_basis: statutory_duty
transition: applied
occurred_at: {column: at, parse: {date: "%Y-%m-%d"}}
community: "330681001001"
fields:
  case_no: {column: no}
  kind: people
  centre_level: town_position
  dispute_type: {column: type}
  source: walk_in
  state: applied
  party_count: {derive: count, of: parties}
  parties: [{role: applicant, name: {column: who}}]
"""
    done = run(
        tmp_path, "1,2025-03-03,family_violence,甲\n", mapping=mapping, head="no,at,type,who\n"
    )
    (event,) = done.events
    assert event.values["dispute_type"] == "restricted"
    assert event.values["parties[0].name"] == "sealed (L3)"
    assert "family_violence" not in repr(done)
    assert "甲" not in repr(done)


def test_a_split_row_shows_each_of_its_events(tmp_path: Path) -> None:
    head = HEADER.replace("phone", "phone,closed")
    row = "1,2025-03-03 08:00,330681001001,{},1,2025-03-04 08:00\n".format
    done = run(tmp_path, row("noise"), mapping=SPLIT, head=head)
    assert [(each.row, each.values["transition"]) for each in done.events] == [
        (2, "received"), (2, "closed"),
    ]  # fmt: skip
    assert (done.result.published, done.result.events) == (1, 2)
    # one event that breaks the contract keeps back the others of its row
    done = run(tmp_path, row("whales"), mapping=SPLIT, head=head)
    assert (done.result.published, done.result.events, done.result.rejected) == (0, 0, 1)
    # so does one that is no step of its case
    cased = SPLIT.replace("fields:\n  order", "case_ref: {column: no}\nfields:\n  order")
    early = row("noise").replace("2025-03-04", "2025-03-02")
    done = run(tmp_path, early, row("noise"), mapping=cased, head=head)
    assert (done.result.published, done.result.events, done.result.rejected) == (1, 2, 1)


CELL = st.text(alphabet='ab,"\n\r ;é煤', max_size=8)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.lists(CELL, min_size=5, max_size=5), min_size=1, max_size=5))
def test_a_reject_file_reads_back_as_the_rows_that_were_rejected(
    tmp_path: Path, rows: list[list[str]]
) -> None:
    from contextlib import closing

    from maplebridge.producers.mapping.source import DelimitedSource
    from maplebridge.producers.sources.delimited import DelimitedRows

    header = HEADER.strip().split(",")
    rejects = DelimitedRejects(tmp_path / "r.csv", header=header, encoding="gb18030", delimiter=";")
    stripped = [[cell.strip() for cell in row] for row in rows]
    for number, row in enumerate(stripped, 2):
        rejects.add(row=number, column="no", reason='a, "b"; c', cells=row, original="")
    path = rejects.finish()
    assert path is not None
    with closing(DelimitedRows(path, DelimitedSource("UTC", ";", "gb18030"))) as again:
        assert list(again.header) == header
        found = [(row.number, list(row.cells), row.fault) for row in again]
    # a lone carriage return in a cell is a line's end to a reader of CSV
    assert found == [(number, row, "") for number, row in enumerate(stripped, 2)]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lines=st.lists(
        st.builds(
            line,
            st.integers(1, 5),
            place=st.sampled_from(["330681001001", "", "x"]),
            kind=st.sampled_from(["noise", "fire", "whales"]),
            at=st.sampled_from(["2025-03-03 08:00", "", "9"]),
        ),
        max_size=12,
    )
)
def test_every_row_ends_in_one_of_three_ways(tmp_path: Path, lines: list[str]) -> None:
    result = run(tmp_path, *lines).result
    assert result.rows == len(lines)
    assert result.rows == result.published + result.already_published + result.rejected
    again = run(tmp_path, *lines).result
    assert again == result


def test_columns_that_are_in_no_row_are_told(tmp_path: Path) -> None:
    path, rows = tmp_path / "m.yaml", tmp_path / "t.jsonl"
    source = "source: {format: jsonl, timezone: Asia/Shanghai}"
    text = MAPPING.replace("source: {encoding: utf-8, timezone: Asia/Shanghai}", source)
    path.write_text(text.replace("column: phone", "column: caller.phone"), "utf-8")
    rows.write_text('{"no": "1", "at": "2025-03-03 08:00", "place": "330681001001", "kind": "gas"}')
    rules = load_mapping(path, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)
    done = dry_run(rows, rules, codes=CODES, regions=REGIONS, limit=1)
    assert (done.result.published, done.result.unseen) == (1, ("caller.phone",))


@pytest.mark.parametrize("limit", [1, 2])
def test_only_the_first_rows_are_shown(tmp_path: Path, limit: int) -> None:
    run(tmp_path, *(line(number) for number in range(5)))
    rules = load_mapping(tmp_path / "m.yaml", catalogue=CATALOGUE, codes=CODES, regions=REGIONS)
    done = dry_run(tmp_path / "t.csv", rules, codes=CODES, regions=REGIONS, limit=limit)
    assert len(done.events) == limit
    assert done.result.rows == 5
