"""Something real: the tallies of a month in Boston, where its rows are at hand."""

from __future__ import annotations

import csv
import threading
from collections import Counter
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from maplebridge.benchmarks.combine import record_ends
from maplebridge.producers import Department, import_file
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import connect
from maplebridge.schemas import load_regions
from maplebridge.settings import Profile
from maplebridge.wiring import make_combine, open_stores
from tests.frame.repository import ROOT
from tests.frame.shared_data import BOSTON_ROWS

EXAMPLE = ROOT / "examples" / "boston"
SCHEME = EXAMPLE / "boston.regions.yaml"
LOCAL = ZoneInfo("America/New_York")
SCHEMA = "boston"

pytestmark = pytest.mark.skipif(not BOSTON_ROWS.exists(), reason="the rows of Boston are not here")


def test_the_tallies_of_boston_equal_those_of_its_file(
    provisioned: Profile, tmp_path: Path
) -> None:
    profile = provisioned.model_copy(update={"regions": (SCHEME,)})
    own = profile.settings("dept-hotline").model_copy(update={"home": tmp_path})
    with Department("hotline", settings=own) as department:
        result = import_file(
            BOSTON_ROWS,
            EXAMPLE / "boston311.yaml",
            department,
            reject_path=tmp_path / "rejects.csv",
        )
    assert result.published + result.rejected == result.rows == 10_277

    with BOSTON_ROWS.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["neighborhood"]]
    straight = Counter(
        (row["neighborhood"], row["Department"], f"{row['OPEN_DT'][6:10]}-{row['OPEN_DT'][:2]}")
        for row in rows
    )
    assert tallies_of(profile) == straight
    assert straight.total() == result.published


def tallies_of(profile: Profile) -> Counter[tuple[str, str, str]]:
    """Combine the whole record into a schema of this test's own and count local months."""
    admin = profile.settings("admin")
    names = {region.code: region.name for region in load_regions([SCHEME])}
    counted: Counter[tuple[str, str, str]] = Counter()
    with connect(admin, schema="public") as owner:
        drop(owner, schema=SCHEMA)
        migrate(owner, schema=SCHEMA)
        stores = open_stores(admin, consumer="combine-boston", schema=SCHEMA, with_outbox=False)
        try:
            combine = profile.settings("combine")
            make_combine(combine, stores, ends=record_ends(combine)).run(threading.Event())
            rows = stores[0].connection.execute(
                "SELECT community, unit, hour, events FROM community_hour_tallies"
                " WHERE community LIKE '2507%'"
            )
            for community, unit, hour, events in rows:
                month = hour.astimezone(LOCAL).strftime("%Y-%m")
                counted[names[community], unit, month] += events
        finally:
            for store in stores:
                store.connection.close()
            drop(owner, schema=SCHEMA)
    return counted
