"""What is built holds every folder of the layout, data files included."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.frame.repository import ROOT, tracked_files

FOLDERS = (
    "access_policy", "benchmarks", "localstack", "processors", "producers", "projections",
    "schemas",
)  # fmt: skip
PACKAGED = (*FOLDERS, "maplebridge")


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel built from the tree, and the one built from the sdist of it."""
    out = tmp_path_factory.mktemp("dist")
    built = {}
    for name, flags in (("tree", ("--wheel",)), ("sdist", ())):
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out / name)]
        done = subprocess.run(
            [*command, *flags, str(ROOT)], capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stdout + done.stderr
        (built[name],) = (out / name).glob("*.whl")
    return built


def packaged_files() -> set[str]:
    """Return the names that tracked files of the packaged folders have in a wheel."""
    names = set()
    for path in tracked_files():
        parts = path.relative_to(ROOT).parts
        if parts[0] == "maplebridge":
            names.add("/".join(parts))
        elif parts[0] in FOLDERS:
            names.add("/".join(("maplebridge", *parts)))
    return names


@pytest.mark.parametrize("source", ["tree", "sdist"])
def test_every_file_of_the_packaged_folders_is_in_the_wheel(
    wheels: dict[str, Path], source: str
) -> None:
    with zipfile.ZipFile(wheels[source]) as wheel:
        held = set(wheel.namelist())
    assert packaged_files() - held == set()
    kinds = {Path(name).suffix for name in held}
    assert kinds >= {".py", ".avsc", ".yaml", ".csv", ".sql", ".cedar", ".cedarschema", ".json"}


def test_the_wheel_and_that_of_the_sdist_hold_the_same(wheels: dict[str, Path]) -> None:
    names = []
    for path in wheels.values():
        with zipfile.ZipFile(path) as wheel:
            names.append(sorted(wheel.namelist()))
    assert names[0] == names[1]
    assert not [name for name in names[0] if name.startswith(("tests", "docs", "examples"))]


def test_the_wheel_works_without_the_repository(wheels: dict[str, Path], tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(wheels["sdist"])!r})
import zipfile, pathlib
zipfile.ZipFile({str(wheels["sdist"])!r}).extractall({str(tmp_path)!r})
sys.path[0] = {str(tmp_path)!r}
import maplebridge
assert maplebridge.__file__.startswith({str(tmp_path)!r}), maplebridge.__file__
for name in {FOLDERS!r}:
    __import__("maplebridge." + name)
from maplebridge.access_policy.policy import Policies
from maplebridge.schemas import load_catalogue, load_regions
assert len(Policies(load_catalogue(), load_regions()).rules.by_id) > 5
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_folder_of_the_layout_is_linked_into_the_package() -> None:
    for name in FOLDERS:
        link = ROOT / "maplebridge" / name
        assert link.is_symlink()
        assert link.resolve() == ROOT / name


def test_no_folder_stands_empty() -> None:
    for name in (*PACKAGED, "docs", "examples", "tests"):
        held = [path for path in tracked_files() if path.is_relative_to(ROOT / name)]
        assert [path for path in held if path.stat().st_size > 0 and path.name != "__init__.py"]
