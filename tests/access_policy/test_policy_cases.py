"""`maplebridge policy test`: the cases beside the policies."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.cases import load_cases, try_cases
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import BUILT_IN
from maplebridge.cli.app import main
from maplebridge.schemas import load_catalogue, load_regions

POLICIES = Policies(load_catalogue(), load_regions())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(BUILT_IN, tmp_path / "policies")
    return tmp_path / "policies"


def run(capsys: pytest.CaptureFixture[str], *folder: Path) -> tuple[int, list[dict[str, Any]]]:
    with pytest.raises(SystemExit) as ended:
        main(["policy", "test", *map(str, folder), "--json"])
    lines = capsys.readouterr().out.splitlines()
    return int(ended.value.code or 0), [json.loads(line) for line in lines]


def test_the_built_in_policies_decide_every_case_as_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, (summary,) = run(capsys)
    assert code == 0
    assert (summary["failed"], summary["untried"]) == (0, [])
    assert summary["cases"] == sum(len(group.cases) for _, group in load_cases())


def test_every_consumer_has_a_case_that_hides_and_one_that_shows_what_there_is() -> None:
    forms: dict[str, set[str]] = {app: set() for app in POLICIES.consumers.consumers}
    for _, group in load_cases():
        forms[group.consumer] |= {case.form for case in group.cases}
    assert all("absent" in held for held in forms.values())
    assert [app for app, held in forms.items() if len(held) < 2] == []


def test_a_case_that_is_decided_otherwise_ends_with_3_and_says_how(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = folder / "city-dashboard.cedar"
    text = policy.read_text("utf-8")
    policy.write_text(text.replace('["community_hour_tallies", "warnings"]', '["warnings"]'))
    code, (failure, summary) = run(capsys, folder)
    assert code == 3
    assert (failure["resource"], failure["file"]) == (
        "community_hour_tallies",
        "city-dashboard.cases.yaml",
    )
    assert failure["expected"] == ["clear", "dashboard-queries-live-tallies"]
    assert failure["found"] == ["absent", "default-deny"]
    assert summary["failed"] == 1


def test_a_rule_that_decides_no_case_is_no_pass(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "data-officer.cases.yaml").unlink()
    code, told = run(capsys, folder)
    assert code == 3
    assert "data-officer-reads-envelopes" in told[-1]["untried"]
    assert told[-1]["failed"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- {consumer: a, purpose: b, community: c}", "cases"),
        ("- {consumer: a, purpose: b, community: c, cases: [{resource: r, form: seen, rule: x}]}",
         "form"),
        ("cases: {", "cannot be read"),
        ('- {consumer: city-dashboard, purpose: audit, community: "330681001001", '
         "cases: [{resource: hotline.order, field: fone, form: clear, rule: x}]}", "fone"),
    ],
)  # fmt: skip
def test_a_file_of_cases_that_is_wrong_ends_with_3(
    folder: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (folder / "city-dashboard.cases.yaml").write_text(text, "utf-8")
    code, told = run(capsys, folder)
    assert code == 3
    assert message in json.dumps(told[-1])


def test_a_case_may_change_what_is_agreed_with_its_consumer() -> None:
    changed = [group for _, group in load_cases() if group.but is not None]
    assert changed
    alone = [("x", group.model_copy(update={"but": None})) for group in changed]
    assert try_cases(POLICIES, alone).failures
