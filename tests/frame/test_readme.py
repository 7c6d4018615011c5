"""The READMEs' commands are those of the Makefile and of the command line; the cheap ones run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from maplebridge.cli import main
from tests.frame.commands import commands
from tests.frame.repository import ROOT

README = (ROOT / "README.md").read_text("utf-8")
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# these need no server
CHEAP = ("schema list", "policy explain")


def lines() -> list[str]:
    """Return the command lines of README.md, without the pictures."""
    return [
        line
        for language, block in FENCED.findall(README)
        if not language and "|" not in block
        for line in block.splitlines()
        if line
    ]


def targets() -> set[str]:
    text = (ROOT / "Makefile").read_text("utf-8")
    return set(re.findall(r"^([a-z]+):", text, re.MULTILINE))


def test_the_makefile_has_its_targets() -> None:
    assert targets() == {"demo", "test", "nightly", "lint", "bench", "clean", "help"}


def test_make_help_lists_every_target() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0
    assert set(re.findall(r"^  make (\w+)", done.stdout, re.MULTILINE)) == targets()


def test_the_readme_shows_make_and_the_command_line_only() -> None:
    assert {line.split()[0] for line in lines()} == {"make", "maplebridge", "export"}


@pytest.mark.parametrize("line", [line for line in lines() if line.startswith("make ")])
def test_a_make_command_is_a_target(line: str) -> None:
    assert set(line.split()[1:]) <= targets()


@pytest.mark.parametrize("line", [line for line in lines() if line.startswith("maplebridge ")])
def test_a_command_of_the_readme_is_one(line: str) -> None:
    words = shlex.split(line)[1:]
    known = commands()
    name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
    assert name in known
    assert {word for word in words if word.startswith("--")} <= known[name].options
    for word in words:
        if word.startswith("examples/"):
            assert (ROOT / word).is_file()


def test_targets_that_the_text_names_are_there() -> None:
    for page in ("README.md", "README.zh-CN.md", "CONTRIBUTING.md"):
        named = re.findall(r"`make ([a-z]+)`", (ROOT / page).read_text("utf-8"))
        assert set(named) <= targets()


@pytest.mark.parametrize(
    "line", [line for line in lines() if line.startswith(tuple(f"maplebridge {c}" for c in CHEAP))]
)
def test_a_cheap_command_of_the_readme_runs(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAPLEBRIDGE_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(shlex.split(line)[1:])
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out


def test_what_the_readme_shows_of_explain_is_what_it_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (line,) = (line for line in lines() if line.startswith("maplebridge policy explain"))
    with pytest.raises(SystemExit):
        main(shlex.split(line)[1:])
    (shown,) = (each for _, each in FENCED.findall(README) if "decided by" in each)
    assert capsys.readouterr().out.startswith(shown)


def test_ci_runs_lint_and_tests_and_stops_at_the_first_failure() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    assert "set -euo pipefail" in script
    assert re.findall(r"^make (\w+)$", script, re.MULTILINE) == ["lint", "test"]


def test_an_older_python_is_told_so(tmp_path: Path) -> None:
    old = tmp_path / "python-old"
    old.write_text("#!/bin/sh\n[ \"$1\" = -V ] && echo 'Python 3.9.1' || exit 1\n")
    old.chmod(0o755)
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    done = subprocess.run(
        ["make", "demo", f"PYTHON={old}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert "needs Python 3.11 or later" in done.stderr
    assert "Python 3.9.1" in done.stderr
    assert sys.version_info >= (3, 11)
