"""Something real: a month of Boston's service requests, where they are at hand."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from maplebridge.producers import Department, import_file
from maplebridge.schemas import load_regions
from tests.frame.repository import ROOT
from tests.frame.shared_data import BOSTON_ROWS
from tests.producers.bus import Bus

EXAMPLE = ROOT / "examples" / "boston"
TOPIC = "mb.dept.hotline.hotline.order"
LOCAL = ZoneInfo("America/New_York")

pytestmark = pytest.mark.skipif(not BOSTON_ROWS.exists(), reason="the rows of Boston are not here")


def test_a_month_of_boston_is_published_or_rejected_and_counts_alike(
    bus: Bus, tmp_path: Path
) -> None:
    scheme = EXAMPLE / "boston.regions.yaml"
    names = {region.code: region.name for region in load_regions([scheme])}
    settings = bus.settings("dept-hotline", tmp_path, regions=(scheme,))
    since = bus.ends(TOPIC)
    with Department("hotline", settings=settings) as department:
        result = import_file(
            BOSTON_ROWS,
            EXAMPLE / "boston311.yaml",
            department,
            reject_path=tmp_path / "rejects.csv",
        )
    assert result.rows == 10_277 == result.published + result.rejected
    assert result.already_published == 0

    with BOSTON_ROWS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    placed = [row for row in rows if row["neighborhood"]]
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        rejected = list(csv.DictReader(file))
    reason = "neighborhood is empty: the row cannot be placed in a community."
    assert len(rejected) == result.rejected == len(rows) - len(placed)
    assert {row["reason"] for row in rejected} == {reason}

    events = bus.decode(bus.read(TOPIC, since))
    counted: Counter[tuple[str, str, str]] = Counter()
    in_november = 0
    for event in events:
        moment = datetime.fromtimestamp(event["meta"]["occurred_at"] / 1e6, UTC)
        in_november += moment.month == 11
        month = moment.astimezone(LOCAL).strftime("%Y-%m")
        counted[names[event["meta"]["community"]], event["unit"], month] += 1
    straight = Counter(
        (row["neighborhood"], row["Department"], f"{row['OPEN_DT'][6:10]}-{row['OPEN_DT'][:2]}")
        for row in placed
    )
    assert counted == straight
    assert in_november == 7
