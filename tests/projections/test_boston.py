"""Something real: tallies and deadlines of a month in Boston, where its rows are at hand."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
import yaml

from maplebridge.benchmarks.combine import record_ends
from maplebridge.producers import Department, import_file
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.queries import read_model
from maplebridge.projections.store import connect
from maplebridge.schemas import load_regions
from maplebridge.settings import Profile
from maplebridge.wiring import make_combine, open_stores
from tests.frame.repository import ROOT
from tests.frame.shared_data import BOSTON_ROWS
from tests.processors.lanes import begin_at
from tests.processors.made_events import catalogue

EXAMPLE = ROOT / "examples" / "boston"
SCHEME = EXAMPLE / "boston.regions.yaml"
LOCAL = ZoneInfo("America/New_York")
TAKEN = datetime(2016, 1, 13, tzinfo=LOCAL)
"""When the file was taken."""
SCHEMA = "boston"
COMBINE = "combine-boston"
WHOLE_CITY = "Boston"
ON_TIME = {
    "on_time": "ONTIME",
    "due_soon": "ONTIME",
    "overdue": "OVERDUE",
    "closed_late": "OVERDUE",
}

pytestmark = pytest.mark.skipif(not BOSTON_ROWS.exists(), reason="the rows of Boston are not here")


def rows() -> list[dict[str, str]]:
    with BOSTON_ROWS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def mapping_of_cases() -> Mapping[str, Any]:
    """Return the example's mapping with an order's closing beside its opening, as a case.

    What has no neighborhood is of the whole city, so that every row is judged.
    """
    made = yaml.safe_load((EXAMPLE / "boston311.yaml").read_text("utf-8"))
    made["case_ref"] = {"column": "CASE_ENQUIRY_ID"}
    made["community"]["default"] = made["community"]["codes"][WHOLE_CITY]
    opened = made.pop("occurred_at")
    del made["fields"]["state"]
    made["events"] = [
        {
            "transition": made.pop("transition"),
            "occurred_at": opened,
            "fields": {"state": "open"},
        },
        {
            "transition": "closed",
            "occurred_at": {"column": "CLOSED_DT", "parse": {**opened["parse"]}},
            "fields": {"state": "closed"},
        },
    ]
    return dict(made)


@pytest.fixture(scope="module")
def combined(
    provisioned: Profile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[psycopg.Connection[Any]]:
    """What came of Boston's month, combined into a schema of this test's own."""
    folder: Path = tmp_path_factory.mktemp("boston")
    mapping = folder / "cases.yaml"
    mapping.write_text(yaml.safe_dump(mapping_of_cases()), encoding="utf-8")
    profile = provisioned.model_copy(update={"regions": (SCHEME,)})
    own = profile.settings("dept-hotline").model_copy(update={"home": folder})
    combine = profile.settings("combine")
    # another test of the same servers may have published Boston's rows before
    before = record_ends(combine)
    with Department("hotline", settings=own) as department:
        result = import_file(BOSTON_ROWS, mapping, department, reject_path=folder / "rejects.csv")
    assert (result.rows, result.published) == (10_277, 10_277)

    admin = profile.settings("admin")
    with connect(admin, schema="public") as owner:
        drop(owner, schema=SCHEMA)
        migrate(owner, schema=SCHEMA)
        stores = open_stores(admin, consumer=COMBINE, schema=SCHEMA, with_outbox=False)
        begin_at(stores[0].connection, COMBINE, before)
        try:
            make_combine(combine, stores, ends=record_ends(combine)).run(threading.Event())
            yield stores[0].connection
        finally:
            for store in stores:
                store.connection.close()
            drop(owner, schema=SCHEMA)


def test_the_tallies_of_boston_equal_those_of_its_file(
    combined: psycopg.Connection[Any],
) -> None:
    straight = Counter(
        (
            row["neighborhood"] or WHOLE_CITY,
            row["Department"],
            f"{row['OPEN_DT'][6:10]}-{row['OPEN_DT'][:2]}",
        )
        for row in rows()
    )
    names = {region.code: region.name for region in load_regions([SCHEME])}
    counted: Counter[tuple[str, str, str]] = Counter()
    tallies = combined.execute(
        "SELECT community, unit, hour, events FROM community_hour_tallies"
        " WHERE community LIKE '2507%' AND transition = 'received'"
    )
    for community, unit, hour, events in tallies:
        month = hour.astimezone(LOCAL).strftime("%Y-%m")
        counted[names[community], unit, month] += events
    assert counted == straight


def test_boston_is_on_time_and_open_as_its_own_file_says(
    combined: psycopg.Connection[Any],
) -> None:
    cases = {
        row["case_ref"]: row
        for row in read_model(combined, catalogue(), "cases", prefix="2507", as_of=TAKEN)
    }
    told = {row["CASE_ENQUIRY_ID"]: row for row in rows()}
    assert set(cases) == set(told)
    assert {ref: row["status"] for ref, row in cases.items()} == {
        ref: row["CASE_STATUS"].lower() for ref, row in told.items()
    }
    judged = {ref: row["OnTime_Status"] for ref, row in told.items() if row["OnTime_Status"]}
    assert len(judged) == 10_275
    assert {ref: ON_TIME[cases[ref]["timeliness"]] for ref in judged} == judged


def test_what_of_boston_is_overdue_is_found_by_its_deadline(
    combined: psycopg.Connection[Any],
) -> None:
    found = read_model(combined, catalogue(), "cases", prefix="2507", as_of=TAKEN, due="overdue")
    told = {row["CASE_ENQUIRY_ID"]: (row["CASE_STATUS"], row["OnTime_Status"]) for row in rows()}
    judged = [row["case_ref"] for row in found if told[row["case_ref"]][1]]
    assert sorted(judged) == sorted(
        ref for ref, each in told.items() if each == ("Open", "OVERDUE")
    )
    assert len(judged) == 953
    assert [row["due_at"] for row in found] == sorted(row["due_at"] for row in found)
