"""Region codes: the tree, its checks, and schemes that are plugged in."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path

import pytest

from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.schemas import Region, Regions, load_regions
from tests.frame.repository import ROOT
from tests.frame.shared_data import PUBLISHED_REGIONS

REGIONS = load_regions()
COUNTY = "330681000000"
BOSTON = ROOT / "examples" / "boston" / "boston.regions.yaml"


def scheme(folder: Path, *rows: str, width: int = 4) -> Path:
    (folder / "made.csv").write_text(
        "\n".join(("code,name,level,parent,valid_from,valid_to,replaced_by", *rows)) + "\n"
    )
    path = folder / "made.regions.yaml"
    path.write_text(
        f"scheme: made\nsource: nobody\ntimezone: Asia/Shanghai\nwidth: {width}\n"
        "digits: {county: 2, community: 4}\nfile: made.csv\n"
    )
    return path


def at(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1_000_000)


NOW = at("2026-03-02T00:00:00+08:00")


def test_zhuji_has_its_communities() -> None:
    assert len(REGIONS.within(COUNTY, at=NOW)) == 515
    assert REGIONS.within(COUNTY) == REGIONS.communities


def test_the_towns_merged_in_2019_keep_their_history() -> None:
    """Wangjiajing and Jieting went into Jinan, Caota and Datang town into Datang."""
    old, new = "330681114217", "330681004246"
    assert REGIONS.within("330681114000", at=NOW) == set()
    assert REGIONS.get(REGIONS.ancestors(old)[0]).name == "王家井镇"
    assert REGIONS.get(REGIONS.ancestors(new)[0]).name == "暨南街道"
    assert REGIONS.lineage(new) == (new, old)
    REGIONS.check_community(old, at=at("2018-06-01T00:00:00+08:00"))
    with pytest.raises(EventInvalid, match="no longer in use") as refused:
        REGIONS.check_community(old, at=NOW)
    assert new in refused.value.todo
    assert old in REGIONS.former("330681004000")


def test_a_code_holds_while_the_published_lists_leave_it_open() -> None:
    """Between 2018-10-31 and 2019-10-31 the lists do not say on which day it changed."""
    gone, come = REGIONS.get("330681101000"), REGIONS.get("330681005000")
    assert gone.replaced_by == (come.code,)
    assert come.validity.start == at("2018-11-01T00:00:00+08:00")
    assert gone.validity.end == at("2019-10-31T00:00:00+08:00")


def test_a_community_lies_in_its_town_county_city_and_province() -> None:
    names = [REGIONS.get(code).name for code in REGIONS.ancestors("330681001001")]
    assert names == ["暨阳街道", "诸暨市", "绍兴市", "浙江省"]


def test_a_region_holds_what_begins_with_its_prefix() -> None:
    town = REGIONS.get("330681001000")
    assert town.prefix == "330681001"
    inside = REGIONS.within(town.code)
    assert inside
    assert all(code.startswith(town.prefix) for code in inside)
    assert REGIONS.within("330681001001") == {"330681001001"}


def test_towns_share_no_community() -> None:
    towns = [region for region in REGIONS if region.level == "town"]
    assert sum(len(REGIONS.within(town.code)) for town in towns) == len(REGIONS.communities)


def test_an_unknown_community_gets_the_nearest_advice_without_its_code() -> None:
    with pytest.raises(EventInvalid) as refused:
        REGIONS.check_community("330681001999")
    assert refused.value.path == "meta.community"
    assert "暨阳街道 (330681001000)" in refused.value.todo
    assert "330681001999" not in str(refused.value)
    with pytest.raises(EventInvalid, match="MAPLEBRIDGE_REGIONS"):
        REGIONS.check_community("999999999999")


def test_a_town_is_not_a_community() -> None:
    with pytest.raises(EventInvalid, match="that of a town"):
        REGIONS.check_community("330681001000")


def test_a_scheme_of_ones_own_is_plugged_in() -> None:
    both = load_regions([BOSTON])
    both.check_community("250700009")
    assert both.get("250700009").name == "Dorchester"
    assert both.within(COUNTY) == REGIONS.communities
    with pytest.raises(EventInvalid):
        REGIONS.check_community("250700009")


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("01,short,county,,,,", "is not 4 digits"),
        ("01x0,letters,county,,,,", "is not 4 digits"),
        ("0123,a county,county,,,,", "digits beyond those of a county"),
        ("0201,orphan,community,0200,,,", "a parent that is not in the file"),
        ("0201,stray,community,0100,,,", "does not begin like its parent"),
        ("0101,lost,community,0100,,2024-07-01,0199", "replaced by a code that is not"),
        ("0101,same,community,0100,,2024-07-01,0101", "replaced by a code that is not"),
        ("0101,open,community,0100,,,0100", "is replaced, but has no valid_to"),
    ],
)
def test_a_code_that_does_not_fit_its_scheme_is_refused(
    tmp_path: Path, row: str, fault: str
) -> None:
    with pytest.raises(ContractRefused, match=fault):
        load_regions([scheme(tmp_path, "0100,home,county,,,,", row)])


def test_a_file_that_is_no_scheme_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "odd.regions.yaml"
    path.write_text("just: text\n")
    with pytest.raises(ContractRefused, match=r"odd\.regions\.yaml"):
        load_regions([path])


SPLIT = (
    "0100,home,county,,,,",
    # split in two in 2024, one half of which was merged with a neighbour in 2025
    "0101,old,community,0100,2020-01-01,2024-07-01,0102 0103",
    "0102,one half,community,0100,2024-07-01,,",
    "0103,other half,community,0100,2024-07-01,2025-01-01,0105",
    "0104,neighbour,community,0100,,2025-01-01,0105",
    "0105,merged,community,0100,2025-01-01,,",
)


@pytest.mark.parametrize(
    ("moment", "code", "todo"),
    [
        ("2019-12-31T23:59:59+08:00", "0101", "Give the code of that day."),
        ("2020-01-01T00:00:00+08:00", "0101", ""),
        ("2024-06-30T23:59:59.999999+08:00", "0101", ""),
        ("2024-07-01T00:00:00+08:00", "0101", "In use then: 0102, 0103."),
        # a day is one of the place's own time, not of UTC
        ("2024-06-30T16:00:00+00:00", "0101", "In use then: 0102, 0103."),
        ("2024-06-30T15:59:59+00:00", "0102", "In use then: 0101."),
        ("2024-06-30T16:00:00+00:00", "0102", ""),
        ("1990-01-01T00:00:00+08:00", "0104", ""),
    ],
)
def test_a_code_is_taken_on_the_days_it_was_in_use(
    tmp_path: Path, moment: str, code: str, todo: str
) -> None:
    regions = load_regions([scheme(tmp_path, *SPLIT)])
    regions.check_community(code)
    if not todo:
        regions.check_community(code, at=at(moment))
        return
    with pytest.raises(EventInvalid) as refused:
        regions.check_community(code, at=at(moment))
    assert refused.value.todo == todo


def test_a_place_that_was_split_or_merged_keeps_its_history(tmp_path: Path) -> None:
    regions = load_regions([scheme(tmp_path, *SPLIT)])
    assert regions.lineage("0105") == ("0105", "0103", "0104", "0101")
    assert regions.lineage("0102") == ("0102", "0101")
    assert regions.lineage("0101") == ("0101",)


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ContractRefused, match="MAPLEBRIDGE_REGIONS"):
        Regions([Region("01", "one", "county", "", "01")]).get("02")


@pytest.mark.skipif(not PUBLISHED_REGIONS.exists(), reason="the published codes are not here")
def test_the_codes_are_those_that_were_published() -> None:
    with PUBLISHED_REGIONS.open(encoding="utf-8", newline="") as file:
        published = {
            (row["code"], row["name"], row["level"], row["parent"]) for row in csv.DictReader(file)
        }
    ours = {
        (region.code, region.name, region.level, region.parent)
        for region in REGIONS
        if region.code.startswith("330681") and NOW in region.validity
    }
    assert ours == published


HOME = "0100,home,county,,,,"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (("0101,a,community,0100,,,", "0101,b,community,0100,,,"), "0101 stands there twice"),
        (
            (
                "0101,a,community,0100,,2024-01-01,0102",
                "0102,b,community,0100,,2024-02-01,0103",
                "0103,c,community,0100,,2024-03-01,0102",
            ),
            "0102 is replaced by a code that it replaces itself",
        ),
        (("0101,a,community,0100,2025-01-01,2024-01-01,",), "0101 has a valid_to"),
        (("0101,a,community,0100,,2024-01-01,0100",), "0101 is replaced by a code of another"),
        (("0101,a,community,0101,,,",), "0101 has a parent that is not of a level above"),
        (("0101,a,community",), r"made\.csv line 3 has not as many cells"),
        (("0101,a,community,0100,,,,more",), r"made\.csv line 3 has not as many cells"),
        (("0101,a,hamlet,0100,,,",), r"made\.csv line 3 has a level"),
    ],
)
def test_a_scheme_that_contradicts_itself_is_refused(
    tmp_path: Path, rows: tuple[str, ...], says: str
) -> None:
    with pytest.raises(ContractRefused, match=says):
        load_regions([scheme(tmp_path, HOME, *rows)])
