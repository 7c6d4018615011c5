"""What a package shows in `__all__` is there, says what it is, and is told of."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

import maplebridge
from tests.frame.repository import ROOT

PACKAGES = (
    "maplebridge",
    "maplebridge.access_policy",
    "maplebridge.access_policy.audit",
    "maplebridge.cli",
    "maplebridge.localstack",
    "maplebridge.producers",
    "maplebridge.producers.mapping",
    "maplebridge.producers.proposal",
    "maplebridge.producers.sources",
    "maplebridge.schemas",
    "maplebridge.schemas.lint",
)
# used by each other's modules by their full names; they show nothing of their own
SILENT = (
    "maplebridge.access_policy.broker",
    "maplebridge.benchmarks",
    "maplebridge.demo",
    "maplebridge.processors",
    "maplebridge.projections",
    "maplebridge.schemas.codes",
)


@pytest.mark.parametrize("name", [*PACKAGES, *SILENT])
def test_a_package_says_what_it_is(name: str) -> None:
    doc = import_module(name).__doc__ or ""
    assert len(doc.split()) > 4


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_shows_sorted_names_that_are_there(name: str) -> None:
    package = import_module(name)
    assert package.__all__ == sorted(package.__all__, key=_as_ruff_sorts)
    for public in package.__all__:
        assert hasattr(package, public)


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_class_and_function_has_a_docstring(name: str) -> None:
    package = import_module(name)
    silent = [
        public
        for public in package.__all__
        if inspect.isclass(getattr(package, public)) or inspect.isfunction(getattr(package, public))
        if not _own_doc(getattr(package, public))
    ]
    assert silent == []


def test_every_public_method_of_the_public_api_has_a_docstring() -> None:
    silent = [
        f"{name}.{method}"
        for name in maplebridge.__all__
        if inspect.isclass(shown := getattr(maplebridge, name))
        for method, function in vars(shown).items()
        if inspect.isfunction(function) and not method.startswith("_") and not function.__doc__
        # settings say in their names what they return
        if name != "Settings"
    ]
    assert silent == []


def test_every_public_name_is_told_in_the_documentation() -> None:
    told = "".join(path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md"))
    told += (ROOT / "README.md").read_text("utf-8")
    assert [name for name in maplebridge.__all__ if f"{name}" not in told] == []


def _own_doc(shown: object) -> str:
    doc = vars(shown).get("__doc__") if inspect.isclass(shown) else shown.__doc__
    # a dataclass without one is given its signature
    return "" if doc is None or doc.startswith(f"{getattr(shown, '__name__', '')}(") else doc


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)
