"""Imports point one way: what a layer may import is written here and nowhere else."""

from __future__ import annotations

from functools import cache

import grimp
import pytest

BASE = frozenset(
    {
        "errors",
        "kafka_log",
        "kafka_topics",
        "problems",
        "request_body",
        "schema_of_database",
        "settings",
        "sql",
        "table_copies",
        "tls",
        "certs",
    }
)
LOWER = BASE | {"schemas", "access_policy"}
ALLOWED = {
    "errors": frozenset[str](),
    "kafka_log": frozenset[str](),
    "kafka_topics": frozenset({"errors", "settings", "tls"}),
    "problems": frozenset({"errors"}),
    "request_body": frozenset[str](),
    "schema_of_database": frozenset[str](),
    "sql": frozenset[str](),
    "table_copies": frozenset({"errors"}),
    "tls": frozenset({"errors"}),
    "certs": frozenset({"errors"}),
    "settings": frozenset({"errors", "kafka_log"}),
    "schemas": BASE,
    "access_policy": BASE | {"schemas"},
    "producers": LOWER,
    "projections": LOWER,
    "processors": LOWER | {"producers", "projections"},
    "localstack": frozenset({"errors", "settings", "tls", "certs"}),
}
LAYERS = frozenset(ALLOWED) - BASE
# not imported by anything below the command line
TOP = frozenset({"cli", "benchmarks", "demo", "__main__"})


def part_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "maplebridge"


@cache
def imports() -> frozenset[tuple[str, str]]:
    """Return (importer, imported) for each pair of modules, also of imports inside functions."""
    graph = grimp.build_graph("maplebridge", cache_dir=None)
    return frozenset(
        (module, imported)
        for module in graph.modules
        for imported in graph.find_modules_directly_imported_by(module)
    )


@pytest.mark.parametrize("layer", ALLOWED)
def test_a_layer_imports_only_what_lies_below_it(layer: str) -> None:
    wrong = sorted(
        f"{importer} -> {imported}"
        for importer, imported in imports()
        if part_of(importer) == layer and part_of(imported) not in ALLOWED[layer] | {layer}
    )
    assert wrong == []


def test_every_folder_of_the_package_is_judged() -> None:
    seen = {part_of(module) for pair in imports() for module in pair}
    assert seen >= LAYERS


def test_the_top_is_imported_by_the_top_alone() -> None:
    wrong = sorted(
        f"{importer} -> {imported}"
        for importer, imported in imports()
        if part_of(imported) in TOP and part_of(importer) not in TOP
    )
    assert wrong == []


def test_no_module_imports_in_a_circle() -> None:
    below: dict[str, set[str]] = {}
    for importer, imported in imports():
        below.setdefault(importer, set()).add(imported)
        # a package's own face imports its modules, which do not import the face
        below.setdefault(imported, set())
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for each in sorted(below[module]):
                visit(each, (*way, module))
            done.add(module)

    for module in sorted(below):
        visit(module, ())
