"""What holds of the mapping language for any row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maplebridge.errors import EventInvalid
from maplebridge.producers.mapping import MappedEvent, RowMapping
from maplebridge.producers.mapping.cells import NumberParser, text_of
from maplebridge.producers.mapping.dates import DateParser
from maplebridge.producers.mapping.rules import Derived
from tests.producers.mapping.test_language import MEDIATION, SPLIT, mapping_of

CELLS: st.SearchStrategy[Any] = st.one_of(
    st.just(""),
    st.text(max_size=20).map(str.strip),
    st.sampled_from(
        ["2025-03-03", "2025-03-03 08:00", "neighbour", "1", "9999-12-31", "0001-01-01"]
    ),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.lists(st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
TEXTS = ["1", "a=1 b='2'", "'", "虚构"]
FITTING: dict[str, list[Any]] = {
    "no": TEXTS,
    "n": ["1", "1,000", 3],
    "p": ["", [], [{"name": "1"}], [{"name": "'"}, {"name": "虚构"}]],
    "x": ["", *TEXTS],
    "y": ["", *TEXTS],
    "z": ["", "1"],
    "at": ["2025-03-03", "2025-03-03 08:00", "2025-03-03 08:01"],
    "end": ["", "2025-03-04"],
}
WIDE: dict[str, Any] = {
    "mediator": {"join": ["x", "y"], "change": [{"replace": {"pattern": "a+", "with": "-"}}]},
    "amount_band": {"column": "z", "codes": {"1": "under_10k"}},
    "social_org": {"template": "{x}/{y}", "change": "upper"},
    "party_count": {"column": "n", "parse": {"int": {"thousands": ","}}},
    "parties": {"each": "p", "item": {"role": "applicant", "name": {"column": "name"}}},
}
ZONE = ZoneInfo("America/New_York")
FORM = "%m/%d/%Y %I:%M:%S %p"


@pytest.fixture(scope="module")
def mapping(tmp_path_factory: pytest.TempPathFactory) -> RowMapping:
    from maplebridge.schemas import load_code_lists

    band = next(iter(load_code_lists().get("amount_band").codes))
    wide = {**WIDE, "amount_band": {"column": "z", "codes": {"1": band}}}
    return mapping_of(tmp_path_factory.mktemp("m"), SPLIT, **wide)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_row_maps_or_names_the_column_at_fault(
    mapping: RowMapping, data: st.DataObject
) -> None:
    bound = mapping.bind(mapping.columns)
    row = [data.draw(CELLS) for _ in mapping.columns]
    try:
        events = bound.events(row)
    except EventInvalid as exc:
        column, said = exc.path, str(exc)
    else:
        column, said = "", ""
    if said:
        assert column in (*mapping.columns, "name")
        # a short word of the sentence itself may well be a cell
        assert not any(isinstance(each, str) and len(each) > 12 and each in said for each in row)
        return
    assert 1 <= len(events) <= 2
    assert all(event.occurred_at.tzinfo is UTC for event in events)
    assert repr(bound.events(row)) == repr(events)
    assert repr(mapping.bind(mapping.columns).events(row)) == repr(events)


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_the_compiled_code_says_what_the_rules_say_one_by_one(
    mapping: RowMapping, data: st.DataObject
) -> None:
    bound = mapping.bind(mapping.columns)
    for _ in range(2):
        row = [data.draw(CELLS | st.sampled_from(FITTING[name])) for name in mapping.columns]
        # what was seen once is looked up when it comes again
        for _ in range(2):
            assert told(bound.events, row) == told(partial(by_its_rules, mapping), row)


def told(read: Callable[[Sequence[Any]], list[MappedEvent]], row: Sequence[Any]) -> str:
    try:
        return repr([event._replace(row_key=(), said="") for event in read(row)])
    except EventInvalid as exc:
        return f"{exc.path}: {exc}"


def by_its_rules(mapping: RowMapping, row: Sequence[Any]) -> list[MappedEvent]:
    """Read a row by asking each rule, in the order in which the first fault is told."""
    at = {name: place for place, name in enumerate(mapping.columns)}
    for column in mapping.key:
        if row[at[column]] == "":
            raise EventInvalid(
                f"{column} is empty: the row cannot be told from others", path=column
            )
        try:
            text_of(row[at[column]])
        except ValueError as exc:
            raise EventInvalid(f"{column} {exc}", path=column) from None
    found = []
    for number, rules in enumerate(mapping.rules):
        said = {name: rule.bind(at) for name, rule in rules.envelope.items()}
        occurred_at = said["occurred_at"](row)
        if occurred_at is None:
            continue
        transition = said["transition"](row)
        fields: dict[str, Any] = {
            name: None if isinstance(rule, Derived) else rule.bind(at)(row)
            for name, rule in rules.fields.items()
        }
        for name, rule in rules.fields.items():
            if isinstance(rule, Derived):
                fields[name] = rule.function(fields, occurred_at)
        rest: dict[str, Any] = {
            name: said[name](row) if name in said else None
            for name in ("community", "recorded_at", "case_ref", "grid")
        }
        found.append(
            MappedEvent(
                row_key=(),
                number=number,
                fields=fields,
                transition=transition,
                occurred_at=occurred_at,
                said="",
                **rest,
            )
        )
    if not found:
        (dated, *_) = mapping.rules[0].envelope["occurred_at"].columns
        raise EventInvalid(
            "all of its dates are empty: it is not known when it happened", path=dated
        )
    return found


def test_two_events_say_the_same_text_if_they_say_the_same(mapping: RowMapping) -> None:
    bound = mapping.bind(list(FITTING))
    rows = product(*FITTING.values())
    said = {(event.said, repr(event[2:-1])) for row in rows for event in bound.events(row)}
    assert len(said) > 1_000
    assert len({text for text, _ in said}) == len({values for _, values in said}) == len(said)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_the_order_of_the_columns_changes_nothing(mapping: RowMapping, data: st.DataObject) -> None:
    row = {name: data.draw(CELLS) for name in mapping.columns}
    names = data.draw(st.permutations(mapping.columns))
    told = []
    for header in (mapping.columns, [*names, "more"]):
        try:
            told.append(repr(mapping.bind(header).events([row.get(each, "") for each in header])))
        except EventInvalid as exc:
            told.append(str(exc))
    assert told[0] == told[1]


def slow(cell: str) -> datetime:
    """Read a date as strptime and the zone say, without any memory."""
    local = datetime.strptime(cell, FORM)
    moment = local.replace(tzinfo=ZONE).astimezone(UTC)
    if moment.astimezone(ZONE).replace(tzinfo=None) != local:
        raise ValueError("never was")
    return moment


PARSER = DateParser((FORM,), ZONE)


@settings(deadline=None, max_examples=300)
@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))
    | st.integers(0, 48 * 3600).map(lambda s: datetime(2015, 3, 7, 12) + timedelta(seconds=s))
    | st.integers(0, 48 * 3600).map(lambda s: datetime(2015, 10, 31, 12) + timedelta(seconds=s))
)
def test_a_remembered_date_is_that_of_the_calendar(local: datetime) -> None:
    cell = local.strftime(FORM)
    try:
        expected = slow(cell)
    except ValueError:
        with pytest.raises(ValueError, match="never was"):
            PARSER(cell)
        return
    assert PARSER(cell) == PARSER(cell) == expected


@settings(deadline=None)
@given(st.text(alphabet="0123456789/: APM年", max_size=25))
def test_a_text_is_a_date_where_strptime_says_so(cell: str) -> None:
    try:
        expected = slow(cell)
    except ValueError:
        with pytest.raises(ValueError, match=r"is not a date|never was|too far"):
            PARSER(cell)
    else:
        assert PARSER(cell) == expected


@settings(deadline=None)
@given(st.integers(-(10**12), 10**12))
def test_a_number_with_marks_is_the_number(number: int) -> None:
    assert NumberParser(whole=True, thousands=",")(f"{number:,}") == number
    written = f"{number:,}".replace(",", ".") + ",50"
    expected = float(f"{number}.50")
    assert NumberParser(whole=False, thousands=".", decimal=",")(written) == expected


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_of_a_typed_source_reads_back_from_its_text(number: float) -> None:
    if abs(number) < 1e15:
        assert NumberParser(whole=False)(text_of(number)) == number


@settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(raw=st.binary(max_size=400))
def test_any_file_is_a_mapping_or_says_why_not(tmp_path: Path, raw: bytes) -> None:
    from maplebridge.errors import MappingInvalid
    from maplebridge.producers.mapping import load_mapping
    from tests.producers.mapping.test_language import CATALOGUE, CODES, REGIONS

    path = tmp_path / "m.yaml"
    path.write_bytes(raw)
    with pytest.raises(MappingInvalid):
        load_mapping(path, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_change_of_a_mapping_is_taken_or_told_with_its_line(
    tmp_path: Path, data: st.DataObject
) -> None:
    from maplebridge.errors import MappingInvalid

    scalar = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
    anything = st.recursive(
        scalar,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.text(max_size=4)
                | st.sampled_from(
                    ["column", "codes", "parse", "date", "change", "each", "item", "join"]
                ),
                inner,
                max_size=3,
            )
        ),
        max_leaves=6,
    )
    name = data.draw(st.sampled_from(sorted(MEDIATION)))
    changed = {**MEDIATION, name: data.draw(anything)}
    if name == "fields":
        field = data.draw(st.sampled_from(sorted(MEDIATION["fields"])))
        changed = {**MEDIATION, "fields": {**MEDIATION["fields"], field: data.draw(anything)}}
    if not isinstance(changed["fields"], dict):
        changed["fields"] = {}
    said = "line "
    try:
        mapping_of(tmp_path, changed)
    except MappingInvalid as exc:
        said = str(exc)
    assert re.search("line |not YAML", said)
