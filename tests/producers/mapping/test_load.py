from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from maplebridge.errors import EventInvalid, MappingInvalid
from maplebridge.producers.mapping import MappedEvent, load_mapping
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions

CATALOGUE = load_catalogue()
CODES = load_code_lists()
REGIONS = load_regions()
EXAMPLES = Path(__file__).parents[3] / "examples"

GOOD: dict[str, Any] = {
    "version": 1,
    "event_type": "hotline.order",
    "source": {"format": "csv", "encoding": "utf-8", "timezone": "America/New_York"},
    "key": ["No"],
    "purpose": "case_handling",
    "legal_basis": "statutory_duty",
    "transition": "received",
    "occurred_at": {"column": "When", "parse": {"date": ["%m/%d/%Y %I:%M:%S %p", "%Y-%m-%d"]}},
    "community": {"column": "Place", "codes": {"East": "330681001001"}},
    "case_ref": {"template": "C-{No}"},
    "fields": {
        "order_no": {"column": "No"},
        "channel": {"const": "phone"},
        "demand_type": "help",
        "category": {"column": "Kind", "codes": {"Gas": "gas"}, "otherwise": "other"},
        "urgency": {"column": "Urgency", "default": "general"},
        "due_at": {"derive": "due_at"},
        "state": "open",
        "anonymous": {"derive": "is_empty", "columns": ["Name"]},
        "caller_name": {"column": "Name"},
        "caller_phone": {"derive": "first_nonempty", "columns": ["Mobile", "Phone"]},
        "content": {"template": "{Kind}: {Text}"},
    },
}
ROW = {
    "No": "7",
    "When": "10/31/2015 11:30:00 PM",
    "Place": "East",
    "Kind": "Gas",
    "Urgency": "emergency",
    "Name": "Made Up",
    "Mobile": "",
    "Phone": "10000000001",
    "Text": "smell",
}


def changed(path: str, value: Any) -> dict[str, Any]:
    whole: dict[str, Any] = yaml.safe_load(yaml.safe_dump(GOOD))
    *parents, last = path.split("/")
    at = whole
    for part in parents:
        at = at[part]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return whole


def load(tmp_path: Path, mapping: dict[str, Any] | str) -> Any:
    path = tmp_path / "m.yaml"
    text = mapping if isinstance(mapping, str) else yaml.safe_dump(mapping, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return load_mapping(path, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)


def mapped(tmp_path: Path, mapping: dict[str, Any] = GOOD, **cells: str) -> MappedEvent:
    row = {**ROW, **cells}
    (event,) = load(tmp_path, mapping).bind(list(row)).events(list(row.values()))
    return cast("MappedEvent", event)


def test_a_row_becomes_an_event(tmp_path: Path) -> None:
    row = mapped(tmp_path)
    assert row.row_key == ("7",)
    assert row.case_ref == "C-7"
    assert row.community == "330681001001"
    assert row.occurred_at == datetime(2015, 11, 1, 3, 30, tzinfo=UTC)
    assert row.fields == {
        "order_no": "7",
        "channel": "phone",
        "demand_type": "help",
        "category": "gas",
        "urgency": "emergency",
        "due_at": datetime(2015, 11, 1, 5, 30, tzinfo=UTC),
        "state": "open",
        "anonymous": False,
        "caller_name": "Made Up",
        "caller_phone": "10000000001",
        "content": "Gas: smell",
    }


def test_defaults_translations_and_second_formats(tmp_path: Path) -> None:
    row = mapped(tmp_path, Urgency="", Kind="Whales", When="2015-10-01", Name="", Phone="")
    assert row.fields["urgency"] == "general"
    assert row.fields["category"] == "other"
    assert row.occurred_at == datetime(2015, 10, 1, 4, tzinfo=UTC)
    assert row.fields["anonymous"] is True
    assert row.fields["caller_name"] is row.fields["caller_phone"] is None


def test_an_hour_that_comes_twice_is_the_first_and_one_that_never_was_is_refused(
    tmp_path: Path,
) -> None:
    assert mapped(tmp_path, When="11/01/2015 01:30:00 AM").occurred_at.hour == 5
    with pytest.raises(EventInvalid, match="never was in America/New_York"):
        mapped(tmp_path, When="03/08/2015 02:30:00 AM")


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"Place": ""}, "Place", "Place is empty: the row cannot be placed in a community"),
        ({"When": ""}, "When", "When is empty: it is not known when it happened"),
        ({"No": ""}, "No", "No is empty"),
        ({"When": "31.10.2015"}, "When", "When is not a date in the form that the mapping tells"),
        ({"Place": "West"}, "Place", "Place has a value that the mapping does not translate"),
    ],
)
def test_a_bad_cell_is_named_but_not_repeated(
    tmp_path: Path, cells: dict[str, Any], column: str, reason: str
) -> None:
    with pytest.raises(EventInvalid) as caught:
        mapped(tmp_path, **cells)
    assert caught.value.path == column
    assert caught.value.reason.startswith(reason)
    for cell in cells.values():
        assert not cell or cell not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("event_type", "hotline.ordr", "Did you mean 'hotline.order'"),
        ("event_typ", "x", "unknown key.*Did you mean 'event_type'"),
        ("key", None, "'key' is missing"),
        ("community", None, "'community' is missing"),
        ("purpose", None, "'purpose' is missing"),
        ("purpose", "case_handing", "Did you mean 'case_handling'"),
        ("version", 2, "version 1"),
        ("backfill", "perhaps", "true or false"),
        ("transition", "recieved", "Did you mean 'received'"),
        ("source/timezone", "America/NewYork", "Did you mean 'America/New_York'"),
        ("source/encoding", "utf8x", "unknown encoding"),
        ("source/delimiter", ";;", "one character"),
        ("source/delimeter", ";", "Did you mean 'delimiter'"),
        ("source/format", "xls", "Did you mean 'xlsx'"),
        ("source/sheet", "S", "unknown key"),
        ("community/codes/East", "330681001000", "unknown code"),
        ("fields/order_no", None, "'order_no' is missing"),
        ("fields/categry", {"column": "Kind"}, "no field 'categry'.*Did you mean 'category'"),
        ("fields/category/codes/Gas", "gass", "unknown code 'gass'.*Did you mean 'gas'"),
        ("fields/category/default", "othr", "Did you mean 'other'"),
        ("fields/category/colum", "Kind", "Did you mean 'column'"),
        ("fields/state", "opened", "unknown code 'opened'"),
        ("fields/order_no", {"column": "No", "const": "x"}, "exactly one of"),
        ("fields/order_no", {}, "exactly one of"),
        ("fields/order_no", {"column": "No", "parse": "int"}, "takes text"),
        ("fields/order_no", {"column": "No", "otherwise": "x"}, "belongs to codes"),
        ("fields/order_no", ["No"], "a text is needed"),
        ("fields/due_at", {"column": "When"}, "Add parse"),
        ("fields/due_at", {"column": "When", "parse": {"date": "%Q"}}, "not a date form"),
        ("fields/due_at", {"column": "When", "parse": {"date": "%H:%M"}}, "no whole date"),
        ("fields/due_at", {"derive": "dueat"}, "Did you mean 'due_at'"),
        ("fields/anonymous", "perhaps", "true or false"),
        ("fields/content", {"template": "{Kind"}, "in braces"),
        ("fields/content", {"template": "fixed"}, "no column"),
        ("fields/category", {"template": "{Kind}"}, "takes no free text"),
        ("occurred_at", "2015-10-01", "a time cannot be written"),
    ],
)
def test_a_mistake_in_a_mapping_is_found_before_any_row(
    tmp_path: Path, path: str, value: Any, said: str
) -> None:
    with pytest.raises(MappingInvalid, match=f"m.yaml, line .*{said}"):
        load(tmp_path, changed(path, value))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("a: [", "line 1.*not YAML"),
        ("a: 1\na: 2\n", "line 2: 'a' is given twice"),
        ("- a\n", "a mapping of names"),
        ("a: &x {b: 1}\nc: *x\n", "anchors"),
        ("? [a]\n: b\n", "a key must be a text"),
    ],
)
def test_a_file_that_is_no_mapping_says_so(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(MappingInvalid, match=said):
        load(tmp_path, text)


def test_the_line_of_the_mistake_is_told(tmp_path: Path) -> None:
    text = yaml.safe_dump(GOOD, sort_keys=False)
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "demand_type" in each)
    with pytest.raises(MappingInvalid, match=f"line {line}: fields.demand_type"):
        load(tmp_path, changed("fields/demand_type", "halp"))


def test_a_column_that_the_file_does_not_have_is_found_at_the_header(tmp_path: Path) -> None:
    mapping = load(tmp_path, GOOD)
    mapping.bind(list(ROW))
    header = [name for name in ROW if name != "Text"] + ["text"]
    with pytest.raises(MappingInvalid, match=r"no column 'Text'.*Did you mean 'text'"):
        mapping.bind(header)
    with pytest.raises(MappingInvalid, match="'No' twice"):
        mapping.bind([*ROW, "No"])


def test_a_missing_or_foreign_file_is_told(tmp_path: Path) -> None:
    arguments = {"catalogue": CATALOGUE, "codes": CODES, "regions": REGIONS}
    with pytest.raises(MappingInvalid, match="cannot be read"):
        load_mapping(tmp_path / "none.yaml", **arguments)  # type: ignore[arg-type]
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MappingInvalid, match="not UTF-8"):
        load_mapping(tmp_path / "b.yaml", **arguments)  # type: ignore[arg-type]


def test_the_examples_are_right() -> None:
    boston = load_regions([EXAMPLES / "boston" / "boston.regions.yaml"])
    for path, regions in (("boston/boston311.yaml", boston), ("hotline/orders.yaml", REGIONS)):
        load_mapping(EXAMPLES / path, catalogue=CATALOGUE, codes=CODES, regions=regions)
