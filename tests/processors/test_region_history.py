"""A place that was split and merged: its codes by their days, and its history by any of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from maplebridge.projections.queries import read_model
from maplebridge.schemas import load_regions
from tests.processors.lanes import Lane
from tests.processors.made_events import MOMENT, catalogue, order

DIGITS = "digits: {county: 2, town: 4, community: 6}"
ROWS = (
    "code,name,level,parent,valid_from,valid_to,replaced_by",
    "770000,county,county,,,,",
    "770100,town,town,770000,,,",
    "770200,other town,town,770000,,,",
    "770101,old,community,770100,,2024-07-01,770102 770103",
    "770102,stays,community,770100,2024-07-01,,",
    "770103,half,community,770100,2024-07-01,2025-01-01,770201",
    "770201,moved to the other town,community,770200,2025-01-01,,",
)


@pytest.fixture
def scheme(tmp_path: Path) -> Path:
    (tmp_path / "made.csv").write_text("\n".join(ROWS) + "\n")
    path = tmp_path / "made.regions.yaml"
    path.write_text(
        "scheme: made\nsource: nobody\ntimezone: Asia/Shanghai\nwidth: 6\n"
        f"{DIGITS}\nfile: made.csv\n"
    )
    return path


def at(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1_000_000)


def test_a_splits_history_is_found_under_the_new_codes(
    lanes: Callable[..., Lane], scheme: Path
) -> None:
    made = lanes()
    profile = made.kafka.profile.model_copy(update={"regions": (scheme,)})
    lane = replace(made, kafka=replace(made.kafka, profile=profile))
    before, after = "2024-06-30T23:59:59+08:00", "2024-07-01T00:00:00+08:00"
    happened = [
        ("770101", before),
        ("770102", after),
        ("770103", after),
        ("770201", "2025-01-01T00:00:00+08:00"),
        # each a code on a day when it was not in use
        ("770101", after),
        ("770102", before),
        ("770103", "2025-01-01T00:00:00+08:00"),
    ]
    lane.kafka.publish(order(community=code, occurred_at=at(day)) for code, day in happened)
    written = lane.combine()
    assert (written.combined, written.dead_lettered) == (4, 3)
    reasons = lane.rows("SELECT DISTINCT path FROM dead_letters")
    assert reasons == [("meta.community",)]

    regions = load_regions([scheme])

    def counted(code: str) -> int:
        rows = read_model(
            lane.connection,
            catalogue(),
            "community_hour_tallies",
            prefix=regions.get(code).prefix,
            former=regions.former(code),
            as_of=MOMENT,
        )
        return sum(row["events"] for row in rows)

    assert counted("770101") == 1
    assert counted("770102") == 2
    assert counted("770201") == 3
    assert counted("770100") == 3
    assert counted("770200") == 3
    assert counted("770000") == 4
