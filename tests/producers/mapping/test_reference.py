"""Every mapping of docs/mapping.md and of examples/ is right, and does what is said of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maplebridge.producers.dry_run import dry_run
from maplebridge.producers.mapping import load_mapping
from maplebridge.producers.mapping.changes import _KINDS
from maplebridge.producers.mapping.load import _TOP
from maplebridge.producers.mapping.rule_loader import _READING, _WAYS, DERIVATIONS
from maplebridge.producers.mapping.source import _KEYS, FORMATS
from maplebridge.producers.mapping.targets import ENVELOPE_RULES
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "mapping.md").read_text("utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
CATALOGUE = load_catalogue()
CODES = load_code_lists()
REGIONS = load_regions()


@pytest.mark.parametrize("text", BLOCKS)
def test_a_mapping_of_the_reference_is_right(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(text, "utf-8")
    load_mapping(path, catalogue=CATALOGUE, codes=CODES, regions=REGIONS)


def test_the_reference_tells_every_word_of_the_language() -> None:
    words = {*_TOP, *ENVELOPE_RULES, *_WAYS, *_READING, *_KINDS, *DERIVATIONS, *FORMATS}
    words |= {key for keys in _KEYS.values() for key in keys}
    assert [word for word in sorted(words) if not re.search(rf"`[^`]*\b{word}\b", PAGE)] == []


def test_the_mediation_example_does_what_it_says() -> None:
    folder = ROOT / "examples" / "mediation"
    mapping = load_mapping(folder / "cases.yaml", catalogue=CATALOGUE, codes=CODES, regions=REGIONS)
    done = dry_run(folder / "cases.jsonl", mapping, codes=CODES, regions=REGIONS, limit=3)
    assert (done.result.rows, done.result.published, done.result.events) == (3, 2, 5)
    (rejected,) = done.rejected
    assert (rejected.row, rejected.column) == (3, "where.community")
    assert done.result.unseen == ()
    assert [each.values["transition"] for each in done.events if each.row == 1] == [
        "applied", "accepted", "agreed",
    ]  # fmt: skip
