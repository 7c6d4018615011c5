"""The commands around mappings that need no server."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from maplebridge.cli import main
from maplebridge.cli.import_progress import ImportLines, choose_show, pace_of
from maplebridge.producers import ImportProgress
from tests.producers.mapping.test_reference import ROOT

HOTLINE = ROOT / "examples" / "hotline"


@pytest.fixture(autouse=True)
def _without_a_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAPLEBRIDGE_HOME", str(tmp_path / "none"))


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_a_dry_run_shows_events_and_rejects(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (str(HOTLINE / "orders.csv"), "--mapping", str(HOTLINE / "orders.yaml"))
    assert run("import", *arguments, "--dry-run", "--limit", "2") == 0
    out = capsys.readouterr().out
    assert "20 rows = 16 would be published + 4 rejected" in out
    assert "sealed (L3)" in out
    assert "10000000001" not in out
    assert run("import", *arguments, "--dry-run", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["event"]["caller_name"] == "sealed (L3)"
    assert lines[-1] == {
        "dry_run": True,
        "rows": 20,
        "published": 16,
        "already_published": 0,
        "rejected": 4,
        "waiting": 0,
        "events": 16,
        "corrections": 0,
        "rejects": None,
        "unseen_columns": [],
    }
    assert not (HOTLINE / "orders.csv.rejects.csv").exists()


def test_a_mapping_is_proposed_and_checked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "m.yaml"
    assert run("mapping", "init", str(HOTLINE / "orders.csv"), "--out", str(out)) == 0
    assert run("mapping", "init", str(HOTLINE / "orders.csv"), "--out", str(out)) == 3
    assert "is there already" in capsys.readouterr().err
    assert run("mapping", "check", str(out)) == 3
    assert "still to be decided" in capsys.readouterr().err
    assert run("mapping", "check", str(HOTLINE / "orders.yaml"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["event_type"] == "hotline.order"


def test_a_file_is_needed_where_the_mapping_names_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("import", "--mapping", str(HOTLINE / "orders.yaml"), "--dry-run") == 3
    assert "no file is named" in capsys.readouterr().err


def test_progress_tells_rate_and_time_left_as_far_as_they_are_known() -> None:
    half = ImportProgress(50_000, 49_000, 1_000, 0, 0.5)
    assert pace_of(half, 100.0) == ("50%  50,000 rows, 1,000 rejected, 500 rows/s, 1 min 40 s left")
    assert pace_of(half, 0.1) == "50%  50,000 rows, 1,000 rejected"
    endless = ImportProgress(50_000, 49_000, 1_000, 0, None)
    assert pace_of(endless, 100.0) == "50,000 rows, 1,000 rejected, 500 rows/s"


def test_without_a_terminal_a_line_comes_every_five_seconds() -> None:
    out = StringIO()
    now_s = iter([0.0, 1.0, 6.0, 7.0, 12.0])
    show = ImportLines(Console(file=out), clock=lambda: next(now_s))
    for rows in (1, 2, 3, 4):
        show.progress(ImportProgress(rows, 0, 0, 0, None))
    assert [line.split()[0] for line in out.getvalue().splitlines()] == ["2", "4"]


def test_on_a_terminal_a_bar_moves() -> None:
    out = StringIO()
    with choose_show(Console(file=out, force_terminal=True, width=100), as_json=False) as show:
        show.progress(ImportProgress(1, 1, 0, 0, 0.5))
    assert "50%" in out.getvalue()
