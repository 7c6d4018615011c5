"""docs/dead-letters.md tells what to do about every reason that a record can be refused for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.frame.repository import ROOT

JUDGES = (
    "processors/judge.py",
    "schemas/codec.py",
    "schemas/regions.py",
    "access_policy/signatures.py",
)
OF_PUBLISHERS = ("AvroWriter", "check_region")
"""What refuses an event before it is a record."""


def raised(path: str) -> Iterator[str]:
    """Yield the reasons that a module gives, `...` for what it fills in."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    apart = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in OF_PUBLISHERS
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or node in apart:
            continue
        match node.func:
            case ast.Name("EventInvalid"):
                yield text_of(node.args[0])
            case ast.Attribute(attr="_refuse"):
                yield f"schema id ... {text_of(node.args[1])}"


def text_of(node: ast.expr) -> str:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [part.value if isinstance(part, ast.Constant) else "..." for part in parts]
    return "".join(map(str, texts)).removesuffix(".")


def test_the_page_lists_the_reasons_of_the_code() -> None:
    page = (ROOT / "docs" / "dead-letters.md").read_text("utf-8")
    rows = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    listed = [reason for row in rows for reason in re.findall(r"`([^`]+)`", row)]
    assert sorted(listed) == sorted({reason for path in JUDGES for reason in raised(path)})
