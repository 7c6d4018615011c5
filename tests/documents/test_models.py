"""Typed models: they type-check strictly, catch mistakes, and publish as they are."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from maplebridge.cli import main
from maplebridge.documents.models import python_models
from maplebridge.schemas import load_catalogue, load_code_lists
from tests.producers.bus import Bus

CATALOGUE = load_catalogue()

PROGRAM = """
from datetime import UTC, datetime

from maplebridge import Department
from made_models import MediationCaseEvent

event: MediationCaseEvent = {
    "event_type": "mediation.case",
    "community": "330681001001",
    "transition": "applied",
    "occurred_at": datetime(2026, 3, 2, 9, tzinfo=UTC),
    "purpose": "dispute_resolution",
    "legal_basis": "statutory_duty",
    "case_ref": "ZJ-1",
    "fields": {
        "case_no": "M1",
        "kind": "people",
        "centre_level": "town_position",
        "dispute_type": "family_violence",
        "source": "walk_in",
        "state": "applied",
        "party_count": 1,
        "parties": [{"role": "applicant", "name": "Made Up"}],
    },
}


def publish(department: Department) -> str:
    return department.publish(**event).event_id
"""


def check(folder: Path, program: str) -> str:
    (folder / "program.py").write_text(program, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "program.py", "made_models.py"]
    done = subprocess.run(
        [*command, "--cache-dir", str(folder / "cache")],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    with pytest.raises(SystemExit):
        main(["schema", "models", "justice", "--out", str(made / "made_models.py")])
    return made


def test_a_program_with_them_passes_strict_mypy_and_a_mistake_does_not(folder: Path) -> None:
    assert "Success" in check(folder, PROGRAM)
    for wrong, message in (
        (PROGRAM.replace('"kind": "people"', '"kind": "peopel"'), "peopel"),
        (PROGRAM.replace('"party_count": 1', '"party_count": "1"'), "party_count"),
        (PROGRAM.replace('"case_no": "M1",', ""), "case_no"),
        (PROGRAM.replace('"family_violence"', '"restricted"'), "dispute_type"),
        (PROGRAM.replace('"transition": "applied"', '"transition": "begun"'), "transition"),
    ):
        assert message in check(folder, wrong)


def test_an_event_of_the_models_is_published(folder: Path, bus: Bus, tmp_path: Path) -> None:
    from maplebridge import Department

    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_loader("program", loader=None)
        assert spec is not None
        program = importlib.util.module_from_spec(spec)
        exec(PROGRAM, program.__dict__)
    finally:
        sys.path.remove(str(folder))
    topic = "mb.dept.justice.mediation.case"
    since = bus.ends(topic)
    with Department("justice", settings=bus.settings("dept-justice", tmp_path)) as department:
        event_id = program.publish(department)
    (event,) = bus.decode(bus.read(topic, since))
    assert event["meta"]["event_id"] == event_id
    assert event["dispute_type"] == "restricted"


@pytest.mark.parametrize("department", CATALOGUE.departments)
def test_models_of_every_department_are_formatted_python_and_always_the_same(
    department: str, tmp_path: Path
) -> None:
    codes, contracts = load_code_lists(), CATALOGUE.published_by(department)
    text = python_models(department, contracts, codes)
    compile(text, "models.py", "exec")
    assert text == python_models(department, contracts, codes)
    assert all(len(line) <= 200 for line in text.splitlines())
    path = tmp_path / "models.py"
    path.write_text(text, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "100"]
    done = subprocess.run([*ruff, "--check", str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_an_unknown_department_is_told_those_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["schema", "models", "nobody", "--out", str(tmp_path / "x.py")])
    assert ended.value.code == 3
    assert "Departments: " in capsys.readouterr().err
