"""`maplebridge policy diff`: what other policies let each consumer see, or take away."""

from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import load_rules
from maplebridge.access_policy.view_changes import ViewChange, community_classes, policy_changes
from maplebridge.cli.app import main
from maplebridge.schemas import load_catalogue, load_regions

BUILT_IN = Path(str(files("maplebridge.access_policy").joinpath("policies")))
CATALOGUE, REGIONS = load_catalogue(), load_regions()
NOW = Policies(CATALOGUE, REGIONS)


def edited(tmp_path: Path, file: str, old: str, new: str) -> Path:
    folder = tmp_path / "policies"
    shutil.copytree(BUILT_IN, folder)
    text = (folder / file).read_text("utf-8")
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new), "utf-8")
    return folder


def changes_by(folder: Path) -> list[ViewChange]:
    return policy_changes(NOW, Policies(CATALOGUE, REGIONS, rules=load_rules(folder)))


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    with pytest.raises(SystemExit) as ended:
        main(["policy", "diff", *map(str, arguments), "--json"])
    lines = capsys.readouterr().out.splitlines()
    return int(ended.value.code or 0), [json.loads(line) for line in lines]


def test_the_same_policies_change_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    code, told = run(capsys, "built-in", BUILT_IN)
    assert (code, told) == (0, [{"changes": 0, "sees": 0}])


def test_what_is_newly_allowed_ends_with_3_and_names_both_rules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = edited(tmp_path, "city-dashboard.cedar", "resource.grade == 1 &&", "")
    code, told = run(capsys, "built-in", folder)
    assert code == 3
    *changes, summary = told
    assert summary == {"changes": len(changes), "sees": len(changes)}
    assert {each["app"] for each in changes} == {"city-dashboard"}
    (found,) = (each for each in changes if each["path"] == "return_reason")
    assert (found["resource"], found["old"], found["new"]) == ("hotline.order", "absent", "clear")
    assert found["old_rule"] == "default-deny"
    assert found["new_rule"] == "dashboard-reads-what-is-not-sensitive"
    code, told = run(capsys, folder, "built-in")
    assert (code, told[-1]["sees"]) == (0, 0)


def test_a_read_model_is_compared_too(tmp_path: Path) -> None:
    folder = edited(tmp_path, "city-dashboard.cedar", '["community_hour_tallies", "warnings"]',
                    '["warnings", "cases"]')  # fmt: skip
    assert {(each.resource, each.path, each.effect) for each in changes_by(folder)} == {
        ("community_hour_tallies", "", "loses"),
        ("cases", "", "sees"),
    }


def test_a_rule_for_one_place_is_told_with_that_place(tmp_path: Path) -> None:
    town = "330681109000"
    folder = edited(
        tmp_path,
        "city-dashboard.cedar",
        'when { context.purpose == "service_improvement" };',
        'when { context.purpose == "service_improvement" }'
        f'unless {{ resource.community in Region::"{town}" }};',
    )
    assert load_rules(folder).named_regions == {town}
    changes = changes_by(folder)
    assert {each.effect for each in changes} == {"loses"}
    (only,) = {each.communities for each in changes}
    assert set(only) <= REGIONS.within(town)


def test_consumers_beside_the_policies_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(BUILT_IN, folder)
    agreed = files("maplebridge.access_policy").joinpath("consumers.yaml").read_text("utf-8")
    (folder / "consumers.yaml").write_text(
        agreed.replace('region: "330681001000"', 'region: "330681109000"', 1), "utf-8"
    )
    code, told = run(capsys, "built-in", folder)
    assert code == 3
    assert {each["app"] for each in told[:-1]} == {"town-mediation"}
    places = {(each["effect"], *each["communities"]) for each in told[:-1]}
    assert [effect for effect, _ in sorted(places)] == ["loses", "sees"]


def test_communities_are_told_apart_by_the_consumers_of_both_sides() -> None:
    listed = load_consumers()
    moved = listed.consumers["town-mediation"].model_copy(update={"region": "330681109000"})
    consumers = listed.model_copy(
        update={"consumers": {**listed.consumers, "town-mediation": moved}}
    )
    other = Policies(CATALOGUE, REGIONS, consumers)
    assert len(community_classes(NOW, other)) == len(community_classes(NOW)) + 1


def test_a_folder_without_policies_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, told = run(capsys, "built-in", tmp_path)
    assert code == 3
    assert told[-1]["todo"]
