"""Region codes: the tree, its checks, and schemes that are plugged in."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest

from maplebridge.errors import ContractRefused, EventInvalid
from maplebridge.schemas import Region, Regions, load_regions
from tests.frame.repository import ROOT

REGIONS = load_regions()
COUNTY = "330681000000"
PUBLISHED = ROOT.parent / "shared" / "data" / "regions_330681.csv"
BOSTON = ROOT / "examples" / "boston" / "boston.regions.yaml"


def scheme(folder: Path, *rows: str, width: int = 4) -> Path:
    (folder / "made.csv").write_text(
        "\n".join(("code,name,level,parent,valid_from,valid_to", *rows)) + "\n"
    )
    path = folder / "made.regions.yaml"
    path.write_text(
        f"scheme: made\nsource: nobody\nwidth: {width}\n"
        "digits: {county: 2, community: 4}\nfile: made.csv\n"
    )
    return path


def test_zhuji_has_its_communities() -> None:
    assert len(REGIONS.within(COUNTY)) == 515
    assert REGIONS.within(COUNTY) == REGIONS.communities


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
        ("01,short,county,,,", "is not 4 digits"),
        ("01x0,letters,county,,,", "is not 4 digits"),
        ("0123,a county,county,,,", "digits beyond those of a county"),
        ("0201,orphan,community,0200,,", "a parent that is not in the file"),
        ("0201,stray,community,0100,,", "does not begin like its parent"),
    ],
)
def test_a_code_that_does_not_fit_its_scheme_is_refused(
    tmp_path: Path, row: str, fault: str
) -> None:
    with pytest.raises(ContractRefused, match=fault):
        load_regions([scheme(tmp_path, "0100,home,county,,,", row)])


def test_a_file_that_is_no_scheme_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "odd.regions.yaml"
    path.write_text("just: text\n")
    with pytest.raises(ContractRefused, match=r"odd\.regions\.yaml"):
        load_regions([path])


def test_a_code_is_valid_from_its_first_day_until_the_day_it_ends(tmp_path: Path) -> None:
    row = "0101,dated,community,0100,2020-01-01,2024-07-01"
    regions = load_regions([scheme(tmp_path, "0100,home,county,,,", row)])
    region = regions.get("0101")
    days = {"2019-12-31": False, "2020-01-01": True, "2024-06-30": True, "2024-07-01": False}
    assert {day: region.is_valid_on(date.fromisoformat(day)) for day in days} == days
    assert REGIONS.get(COUNTY).is_valid_on(date(1990, 1, 1))


def test_an_unknown_region_is_refused() -> None:
    with pytest.raises(ContractRefused, match="MAPLEBRIDGE_REGIONS"):
        Regions([Region("01", "one", "county", "", "01")]).get("02")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published codes are not beside the project")
def test_the_codes_are_those_that_were_published() -> None:
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        published = {
            (row["code"], row["name"], row["level"], row["parent"]) for row in csv.DictReader(file)
        }
    ours = {
        (region.code, region.name, region.level, region.parent)
        for region in REGIONS
        if region.code.startswith("330681")
    }
    assert ours == published
