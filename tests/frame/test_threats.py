"""Every threat and fault that docs/threats.md lists has a test that names its row."""

from __future__ import annotations

import ast
import re

from tests.frame.repository import ROOT, tracked_files

ROW = re.compile(r"\b[TF]\d{1,2}\b")


def listed() -> set[str]:
    page = (ROOT / "docs" / "threats.md").read_text("utf-8")
    return set(re.findall(r"^\| ([TF]\d+) \|", page, re.MULTILINE))


def named() -> set[str]:
    rows: set[str] = set()
    for path in tracked_files():
        if path.suffix == ".py" and path.name.startswith("test_"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Module | ast.FunctionDef):
                    rows |= set(ROW.findall(ast.get_docstring(node) or ""))
    return rows


def test_every_row_has_a_test_and_every_test_a_row() -> None:
    assert named() == listed()
