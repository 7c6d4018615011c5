"""Grades of read models are computed down to the contracts; a lower one is refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from maplebridge.access_policy.policy import Policies
from maplebridge.cli import main
from maplebridge.errors import InputError
from maplebridge.projections.statistics import STATISTICS
from maplebridge.schemas import Catalogue, load_catalogue, load_regions
from maplebridge.schemas.contracts import SERVICES
from maplebridge.schemas.lint.read_model_rules import lint_read_models
from maplebridge.schemas.read_models import load_read_models, parse_read_models, read_models_path

CATALOGUE = load_catalogue()
TEXT = read_models_path().read_text("utf-8")
STATE = "state: {grade: L2, of: [case_parts.state]}"


def graded(event_type: str, path: str, grade: int) -> Catalogue:
    """Return the catalogue with one field graded otherwise."""
    contracts = tuple(
        replace(
            each,
            fields=tuple(
                replace(spec, grade=grade) if spec.path == path else spec for spec in each.fields
            ),
        )
        if each.event_type == event_type
        else each
        for each in CATALOGUE
    )
    return Catalogue(contracts, CATALOGUE.control)


def test_the_read_models_pass() -> None:
    assert lint_read_models(TEXT, CATALOGUE) == []


def test_a_grade_below_what_a_field_is_made_of_is_refused_with_its_line() -> None:
    (finding,) = lint_read_models(
        TEXT.replace(f"      {STATE}", f"      {STATE}".replace("L2", "L1"), 1), CATALOGUE
    )
    assert (finding.code, finding.path) == ("MB501", "cases.state")
    assert STATE in TEXT.splitlines()[finding.line - 1]
    assert "civil.assistance state by case_parts.state" in finding.message
    assert "projection lineage cases.state" in finding.fix


def test_a_contract_that_raises_a_grade_raises_each_field_made_of_it_and_no_other() -> None:
    raised = graded("grid.case", "state", 3)
    found = lint_read_models(TEXT, raised)
    assert {each.path for each in found} == {
        "cases.state",
        "cases.parts[].state",
        "cases.history[].state",
    }
    assert all("made of L3: grid.case state" in each.message for each in found)


def test_what_decides_which_rows_there_are_raises_every_field() -> None:
    found = lint_read_models(TEXT, graded("hotline.order", "meta.case_ref", 3))
    tallies = load_read_models().read_models["community_hour_tallies"].fields
    assert {each.path for each in found} >= {f"community_hour_tallies.{name}" for name in tallies}
    assert not any(each.path.startswith("warnings.") for each in found)


def test_what_a_rule_looks_at_raises_what_is_made_of_its_warnings() -> None:
    raised = graded("hotline.order", "order_no", 3)
    found = lint_read_models(TEXT, raised)
    models = load_read_models().read_models
    graded_below = {each.path for each in found if each.code == "MB501"}
    assert graded_below >= {
        f"warnings.{name}"
        for name, field in models["warnings"].fields.items()
        if not any(each.startswith("warning_responses.") for each in field.of)
    }
    # a warning is no event that is tallied
    assert not any(path.startswith("community_hour_tallies.") for path in graded_below)
    (of_contract,) = (each for each in found if each.code == "MB503")
    assert "reaction.warning warning_id is graded L2, and made of L3" in of_contract.message
    assert "hotline.order order_no" in of_contract.message
    assert TEXT.splitlines()[of_contract.line - 1] == "  urgent-orders:"


def test_a_warning_graded_below_what_its_rule_makes_it_of_is_refused() -> None:
    for path in ("severity", "events", "window_from", "window_to", "warning_id"):
        (finding,) = lint_read_models(TEXT, graded("reaction.warning", path, 1))
        assert finding.code == "MB503"
        assert f"reaction.warning {path} is graded L1, and made of L2" in finding.message


def test_a_warning_is_followed_to_the_orders_and_retractions_that_cause_it() -> None:
    inputs = load_read_models().inputs(CATALOGUE, "warnings", "window_from")
    held = {(each.role, each.event_type, each.path, each.through) for each in inputs}
    assert held >= {
        ("of", "reaction.warning", "window_from", "warnings.window_from"),
        ("of", "hotline.order", "meta.occurred_at", "reaction.warning.window_from"),
        ("rows", "hotline.order", "order_no", "urgent-orders"),
        ("rows", "event.retraction", "retracts", "warnings"),
    }


def test_policies_judge_a_read_model_by_the_computed_grade_whatever_is_declared() -> None:
    regions = load_regions()
    assert max(Policies(CATALOGUE, regions).grades["cases"].values()) == 2
    raised = Policies(graded("grid.case", "state", 4), regions)
    assert raised.grades["cases"]["state"] == 4
    assert raised.grades["cases"]["community"] == 2
    assert raised.version != Policies(CATALOGUE, regions).version


@pytest.mark.parametrize(
    ("old", "new", "code", "told"),
    [
        ("of: [case_parts.state]", "of: [case_parts.mood]", "MB502", "no column case_parts.mood"),
        ("rows: [warnings.community]", "rows: [alerts.community]", "MB502", "alerts.community"),
        ("state: {of: [state]}", "state: {of: [mood]}", "MB502", "of the kind cases has mood"),
        ("makes: reaction.warning", "makes: reaction.offer", "MB502", "event type reaction.offer"),
        ("hotline.order:", "hotline.call:", "MB502", "no event type hotline.call"),
        ("retracts, retracts_type]\n  sensor-", "takes_back]\n  sensor-", "MB502",
         "event.retraction has no field takes_back"),
        ("revision: {}\n          events: {by", "revision: {}\n          calls: {by", "MB502",
         "reaction.warning has no field calls"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_named(old: str, new: str, code: str, told: str) -> None:
    found = lint_read_models(TEXT.replace(old, new, 1), CATALOGUE)
    assert [each.code for each in found] == [code]
    assert told in found[0].message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tables: {}", "read_models"),
        ("tables: [", "ParserError"),
        (TEXT.replace("grade: L2", "grade: L5", 1), "grade"),
        (TEXT.replace("    rows:", "    row:", 1), "row"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_wrong(text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        parse_read_models(text)


def test_lint_checks_the_read_models_beside_the_contracts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    raised = graded("grid.case", "state", 3)
    monkeypatch.setattr("maplebridge.cli.schema.load_catalogue", lambda: raised)
    code, told = run(capsys, "schema", "lint")
    assert code == 3
    assert {each["file"] for each in told[:-1]} == {"read_models.yaml"}
    assert {each["code"] for each in told[:-1]} == {"MB501"}
    assert told[-1]["findings"] == 3


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, object]]]:
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--json"])
    out = capsys.readouterr().out.splitlines()
    return int(stopped.value.code or 0), [json.loads(line) for line in out]


def test_a_field_is_followed_down_to_the_contracts(capsys: pytest.CaptureFixture[str]) -> None:
    code, (told,) = run(capsys, "projection", "lineage", "cases.state")
    assert code == 0
    assert (told["declared"], told["computed"]) == ("L2", "L2")
    inputs = told["inputs"]
    assert isinstance(inputs, list)
    made_of = {each["event_type"] for each in inputs if each["role"] == "of"}
    assert made_of == {
        each.event_type
        for each in CATALOGUE
        if "state" in each.by_path and each.department not in SERVICES
    }
    assert {
        "role": "rows",
        "through": "case_parts",
        "event_type": "event.retraction",
        "path": "retracts",
        "grade": "L2",
    } in inputs


def test_a_field_without_a_read_model_is_told_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    _, told = run(capsys, "projection", "lineage", "community")
    assert [each["read_model"] for each in told] == [
        "cases",
        "community_hour_tallies",
        "warnings",
        *STATISTICS,
        "released_tables",
    ]


def test_a_field_is_followed_in_text_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["projection", "lineage", "warnings.severity"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [
        "warnings.severity: graded L2, computed L2",
        "  made of",
        "    severity L2 by warnings.severity: reaction.warning",
        "  decided by",
        "    meta.occurred_at L2 by reaction.warning.severity:"
        " hotline.order, sensor.alert, grid.case",
    ]
    assert "    order_no L2 by urgent-orders: hotline.order" in lines


@pytest.mark.parametrize("wanted", ["cases.mood", "mood", "alerts.state"])
def test_a_field_that_is_not_there_is_refused_with_those_there_are(
    capsys: pytest.CaptureFixture[str], wanted: str
) -> None:
    code, (told,) = run(capsys, "projection", "lineage", wanted)
    assert code == 3
    assert "history[].state" in str(told["todo"])
