"""What the mapping language can say beyond one column for one field."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from maplebridge.errors import EventInvalid, MappingInvalid
from maplebridge.producers.mapping import MappedEvent, RowMapping, load_mapping
from maplebridge.producers.mapping.document import UNDECIDED
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions

CATALOGUE = load_catalogue()
CODES = load_code_lists()
REGIONS = load_regions()
AT = {"column": "at", "parse": {"date": ["%Y-%m-%d %H:%M", "%Y-%m-%d"]}}
MEDIATION: dict[str, Any] = {
    "event_type": "mediation.case",
    "source": {"format": "jsonl", "timezone": "Asia/Shanghai"},
    "key": ["no"],
    "purpose": "dispute_resolution",
    "legal_basis": "statutory_duty",
    "transition": "applied",
    "occurred_at": AT,
    "community": "330681001001",
    "fields": {
        "case_no": {"column": "no"},
        "kind": "people",
        "centre_level": "town_position",
        "dispute_type": "neighbour",
        "source": "walk_in",
        "state": "applied",
        "party_count": {"derive": "count", "of": "parties"},
        "parties": [
            {"role": "applicant", "name": {"column": "a"}, "phone": {"column": "a_phone"}},
            {"role": "respondent", "name": {"column": "b"}},
        ],
    },
}


def mapping_of(tmp_path: Path, written: dict[str, Any], **fields: Any) -> RowMapping:
    whole = {**written, "fields": {**written["fields"], **fields}}
    path = tmp_path / "m.yaml"
    path.write_text(json.dumps(whole, ensure_ascii=False, indent=1), "utf-8")
    return load_mapping(path, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)


def events(mapping: RowMapping, **cells: Any) -> list[MappedEvent]:
    row = {"no": "7", "at": "2025-03-03", **cells}
    header = [*row, *(each for each in mapping.columns if each not in row)]
    return mapping.bind(header).events([*row.values(), *[""] * (len(header) - len(row))])


def one(tmp_path: Path, rule: Any, **cells: Any) -> Any:
    """Return what `rule` gives for a text field (mediator)."""
    return field(tmp_path, "mediator", rule, **cells)


def field(tmp_path: Path, name: str, rule: Any, **cells: Any) -> Any:
    (event,) = events(mapping_of(tmp_path, MEDIATION, **{name: rule}), **cells)
    return event.fields[name]


@pytest.mark.parametrize(
    ("change", "given", "expected"),
    [
        ("lower", "AbC", "abc"),
        ("upper", "abc", "ABC"),
        ([{"slice": [0, 2]}, "upper"], "abc", "AB"),
        ([{"slice": [-2]}], "abc", "bc"),
        ([{"replace": {"pattern": "^0+", "with": ""}}], "0070", "70"),
        ([{"replace": {"pattern": "(a)(b)", "with": r"\2-\1"}}], "xab", "xb-a"),
        ([{"replace": {"pattern": "a", "with": ""}}, {"if_empty": "none"}], "aa", "none"),
        ([{"replace": {"pattern": "a", "with": ""}}], "aa", None),
    ],
)
def test_a_text_is_changed(tmp_path: Path, change: Any, given: str, expected: Any) -> None:
    assert one(tmp_path, {"column": "x", "change": change}, x=given) == expected


def test_columns_are_joined_and_the_empty_ones_left_out(tmp_path: Path) -> None:
    rule = {"join": ["x", "y", "z"], "separator": "、"}
    assert one(tmp_path, rule, x="1", y="", z=3) == "1、3"
    assert one(tmp_path, rule, x="", y="", z="") is None
    assert one(tmp_path, {**rule, "default": "none"}, x="", y="", z="") == "none"


def test_the_first_column_with_something_in_it_is_taken(tmp_path: Path) -> None:
    assert one(tmp_path, {"columns": ["x", "y"]}, x="", y="b") == "b"


def test_a_date_may_stand_in_two_columns(tmp_path: Path) -> None:
    at = {"template": "{d} {t}", "parse": {"date": "%Y-%m-%d %H:%M"}}
    mapping = mapping_of(tmp_path, {**MEDIATION, "occurred_at": at})
    (event,) = events(mapping, d="2025-03-03", t="08:00")
    assert event.occurred_at == datetime(2025, 3, 3, 0, 0, tzinfo=UTC)
    with pytest.raises(EventInvalid, match="d is not a date"):
        events(mapping, d="2025-03-03", t="x")


@pytest.mark.parametrize(
    ("parse", "cell", "expected"),
    [
        ("int", "12", 12),
        ("int", 12.0, 12),
        ("int", Decimal(12), 12),
        ({"int": {"thousands": ","}}, "1,234,567", 1_234_567),
        ({"int": {"thousands": "."}}, "-1.234", -1234),
        ({"int": {"thousands": ","}}, "12", 12),
    ],
)
def test_numbers_are_read_as_they_are_written(
    tmp_path: Path, parse: Any, cell: Any, expected: int
) -> None:
    assert field(tmp_path, "party_count", {"column": "n", "parse": parse}, n=cell) == expected


@pytest.mark.parametrize(
    ("parse", "cell"),
    [
        ("int", "1.5"), ("int", "1_0"), ("int", "９"), ("int", 1.5), ("int", True),
        ("int", "9" * 5000), ("int", float("inf")), ({"int": {"thousands": ","}}, "1,2,3"),
        ({"int": {"thousands": ","}}, ",123"), ("int", [1]), ("int", "x"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_rejected(tmp_path: Path, parse: Any, cell: Any) -> None:
    with pytest.raises(EventInvalid, match="n is not a whole number"):
        field(tmp_path, "party_count", {"column": "n", "parse": parse}, n=cell)


@pytest.mark.parametrize(
    ("form", "cell"),
    [
        ("iso", "2025-03-03T00:12:00Z"),
        ("iso", "2025-03-03T08:12:00"),
        ("iso", datetime(2025, 3, 3, 8, 12)),
        ("iso", datetime(2025, 3, 3, 0, 12, tzinfo=UTC)),
        ("epoch", 1740960720),
        ("epoch", "1740960720"),
        ("epoch_ms", 1740960720000),
        ("%Y-%m-%d %H:%M:%S %z", "2025-03-02 23:12:00 -0100"),
    ],
)
def test_times_of_any_source_become_utc(tmp_path: Path, form: str, cell: Any) -> None:
    at = {"column": "at", "parse": {"date": form}}
    (event,) = events(mapping_of(tmp_path, {**MEDIATION, "occurred_at": at}), at=cell)
    assert event.occurred_at == datetime(2025, 3, 3, 0, 12, tzinfo=UTC)


def test_a_day_begins_in_the_zone_of_the_source(tmp_path: Path) -> None:
    at = {"column": "at", "parse": "date"}
    (event,) = events(mapping_of(tmp_path, {**MEDIATION, "occurred_at": at}), at=date(2025, 3, 3))
    assert event.occurred_at == datetime(2025, 3, 2, 16, tzinfo=UTC)


def test_yes_and_no_have_the_words_that_the_mapping_names(tmp_path: Path) -> None:
    order = {**MEDIATION, "event_type": "hotline.order", "transition": "received"}
    order["fields"] = {
        "order_no": {"column": "no"}, "channel": "phone", "demand_type": "help",
        "category": "gas", "urgency": "general", "state": "open",
        "anonymous": {"column": "x", "parse": {"bool": {"yes": ["匿"], "no": ["实"]}}},
    }  # fmt: skip
    mapping = mapping_of(tmp_path, order)
    assert [events(mapping, x=each)[0].fields["anonymous"] for each in ("匿", "实", True)] == [
        True, False, True,
    ]  # fmt: skip
    with pytest.raises(EventInvalid, match="x is neither yes nor no"):
        events(mapping, x="yes")


def test_codes_may_stand_in_a_table_beside_the_mapping(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("name,code,more\n邻里,neighbour,\n,x,\n", "utf-8-sig")
    rule = {"column": "x", "lookup": {"file": "c.csv", "from": "name", "to": "code"}}
    assert field(tmp_path, "dispute_type", rule, x="邻里") == "neighbour"
    with pytest.raises(EventInvalid, match="does not translate"):
        field(tmp_path, "dispute_type", rule, x="other")
    assert field(tmp_path, "dispute_type", {**rule, "otherwise": "other"}, x="?") == "other"


def test_repeated_columns_fill_a_list_and_empty_items_are_left_out(tmp_path: Path) -> None:
    mapping = mapping_of(tmp_path, MEDIATION)
    (event,) = events(mapping, a="甲", a_phone="1", b="乙")
    assert event.fields["parties"] == [
        {"role": "applicant", "name": "甲", "phone": "1"},
        {"role": "respondent", "name": "乙"},
    ]
    assert event.fields["party_count"] == 2
    (event,) = events(mapping, a="甲", a_phone="", b="")
    assert event.fields["parties"] == [{"role": "applicant", "name": "甲", "phone": None}]
    assert mapping.column_of("parties[1].name") == "a"


def test_a_json_array_fills_a_list(tmp_path: Path) -> None:
    parties = {
        "each": "people",
        "item": {
            "role": {"column": "as", "codes": {"A": "applicant", "B": "respondent"}},
            "name": {"column": "person.name"},
            "id_no": {"column": "ids[0]"},
        },
    }
    mapping = mapping_of(tmp_path, MEDIATION, parties=parties)
    people = [
        {"as": "A", "person": {"name": "甲"}, "ids": ["1"]},
        {"as": "B", "person": {"name": "乙"}},
        {"other": 1},
    ]
    (event,) = events(mapping, people=people)
    assert event.fields["parties"] == [
        {"role": "applicant", "name": "甲", "id_no": "1"},
        {"role": "respondent", "name": "乙", "id_no": None},
    ]
    for wrong in ("x", {"a": 1}, [1], 5):
        with pytest.raises(EventInvalid, match="people is not a list of objects"):
            events(mapping, people=wrong)
    with pytest.raises(EventInvalid, match="more than 1,000 items"):
        events(mapping, people=[{"as": "A"}] * 1001)
    with pytest.raises(EventInvalid, match="as has a value that the mapping does not"):
        events(mapping, people=[{"as": "C"}])


def test_a_text_is_cut_into_a_list(tmp_path: Path) -> None:
    parties = {
        "each": "people", "split": "、", "item": {"role": "other", "name": {"column": "part"}},
    }  # fmt: skip
    roles = CODES.get("party_role").codes
    parties["item"]["role"] = next(iter(roles))  # type: ignore[index]
    mapping = mapping_of(tmp_path, MEDIATION, parties=parties)
    (event,) = events(mapping, people="甲、 乙 、")
    assert [each["name"] for each in event.fields["parties"]] == ["甲", "乙"]


SPLIT = {
    name: each for name, each in MEDIATION.items() if name not in ("transition", "occurred_at")
}
SPLIT["events"] = [
    {"transition": "applied", "occurred_at": AT},
    {
        "transition": "agreed",
        "occurred_at": {"column": "end", "parse": {"date": "%Y-%m-%d"}},
        "fields": {"state": "agreed"},
    },
]


def test_a_row_becomes_an_event_for_each_of_its_dates(tmp_path: Path) -> None:
    mapping = mapping_of(tmp_path, SPLIT)
    both = events(mapping, end="2025-03-09")
    assert [(each.row_key, each.transition, each.fields["state"]) for each in both] == [
        (("7", "applied"), "applied", "applied"),
        (("7", "agreed"), "agreed", "agreed"),
    ]
    assert [each.transition for each in events(mapping, end="")] == ["applied"]
    assert [each.transition for each in events(mapping, at="", end="2025-03-09")] == ["agreed"]
    with pytest.raises(EventInvalid, match="at: all of its dates are empty"):
        events(mapping, at="", end="")
    assert mapping.column_of("meta.occurred_at", number=1) == "end"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mediator": {"column": "x", "change": "uper"}}, "Did you mean 'upper'"),
        ({"mediator": {"column": "x", "change": "slice"}}, "needs its values"),
        ({"mediator": {"column": "x", "change": [{"slice": ["a"]}]}}, "whole number"),
        ({"mediator": {"column": "x", "change": [{"slice": [1, 2, 3]}]}}, "one or two"),
        ({"mediator": {"column": "x", "change": [{"lower": 1}]}}, "takes no values"),
        (
            {"mediator": {"column": "x", "change": [{"replace": {"pattern": "("}}]}},
            "'with' is missing",
        ),
        (
            {"mediator": {"column": "x", "change": [{"replace": {"pattern": "(", "with": ""}}]}},
            "not a regular expression",
        ),
        (
            {"mediator": {"column": "x", "change": [
                {"replace": {"pattern": "(a+)+b", "with": ""}}]}},
            "without bound",
        ),
        (
            {"mediator": {"column": "x", "change": [
                {"replace": {"pattern": "a", "with": r"\1"}}]}},
            "reference to a group",
        ),
        ({"mediator": {"join": []}}, "at least one column"),
        ({"mediator": {"column": "x", "lookup": {"file": "none.csv", "from": "a", "to": "b"}}},
         "cannot be read"),
        ({"mediator": {"column": "x", "codes": {}, "lookup": {}}}, "not both"),
        ({"party_count": {"column": "x", "parse": {"int": {"thousands": "12"}}}}, "one mark"),
        ({"party_count": {"column": "x", "parse": {"float": {}}}}, "takes int"),
        ({"party_count": {"derive": "count"}}, "'of' is missing"),
        ({"party_count": {"derive": "count", "of": "partys"}}, "Did you mean 'parties'"),
        ({"mediator": {"derive": "count", "of": "parties"}}, "count gives a whole number"),
        ({"parties": "x"}, "a list of items is needed"),
        ({"parties": [{"name": {"column": "a"}}]}, "'role' is missing; every item"),
        ({"parties": [{"role": "applicant", "nam": "x"}]}, "Did you mean 'name'"),
        ({"parties": {"each": "x"}}, "'item' is missing"),
        ({"parties": {"each": "x", "item": {"role": {"column": "a..b"}}}}, "not a path"),
        ({"parties": {"each": "x", "split": ",", "item": {"role": {"column": "a"}}}},
         "one column, 'part'"),
        ({"mediator": {"column": "a..b"}}, "not a path"),
        ({"mediator": UNDECIDED}, "still to be decided"),
        ({"dispute_type": {"join": ["a"]}}, "takes no free text"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_before_any_row(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(MappingInvalid, match=rf"(?s)m.yaml, line \d+: fields\..*{said}"):
        mapping_of(tmp_path, MEDIATION, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"events": []}, "at least one event"),
        ({"events": [{"transition": "applied"}]}, "'occurred_at' is missing"),
        ({"events": [{"transition": "aplied", "occurred_at": AT}]}, "Did you mean 'applied'"),
        ({"events": [{"transition": "applied", "occurred_at": AT}] * 2}, "stands here twice"),
        ({"events": [{"transition": {"column": "x"}, "occurred_at": AT}]}, "transitions is needed"),
        ({"transition": "applied"}, "each of the events has its own"),
        ({"source": {"format": "tsv", "timezone": "UTC"}}, "'encoding' is missing"),
        ({"source": {"format": "xlsx", "timezone": "UTC", "header_row": 0}}, "from 1 to 1,000"),
        ({"source": {"format": "sql", "timezone": "UTC", "connection": "host=x password=y",
                     "query": "SELECT 1"}}, "no password stands in a mapping"),
        ({"source": {"format": "sql", "timezone": "UTC", "connection": "postgresql://u:y@h/d",
                     "query": "SELECT 1"}}, "no password stands in a mapping"),
        ({"source": {"format": "open311", "timezone": "UTC", "url": "ftp://x",
                     "start": "2025-01-01"}}, "http or https"),
        ({"source": {"format": "open311", "timezone": "UTC", "url": "http://x",
                     "start": "now"}}, "not a time"),
        ({"source": {"format": "open311", "timezone": "UTC", "url": "http://x",
                     "start": "2025-01-01", "since": {"column": "x", "overlap": "1 h"}}},
         "a length of time"),
        ({"department": "hotline"}, "Possible: justice"),
    ],
)  # fmt: skip
def test_a_mistake_around_the_fields_is_found_too(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(MappingInvalid, match=rf"(?s)m.yaml, line \d+: .*{said}"):
        mapping_of(tmp_path, {**SPLIT, **changes})
