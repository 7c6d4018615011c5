"""What is declared of warning rules is what their code looks at."""

from __future__ import annotations

from typing import Any

import pytest

from maplebridge.processors.lineage import reactions
from maplebridge.processors.rules import order_of
from maplebridge.schemas import Contract, load_catalogue, load_code_lists

CONTRACTS = {each.event_type: each for each in load_catalogue()}


class Watched(dict[str, Any]):
    """A record that remembers which of its fields were looked at."""

    def __init__(self, fields: dict[str, Any], seen: set[str], prefix: str = "") -> None:
        super().__init__(fields)
        self._seen, self._prefix = seen, prefix

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if not isinstance(value, Watched):
            self._seen.add(self._prefix + name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        return self[name]


def made(contract: Contract, seen: set[str], **changes: Any) -> Watched:
    """An event whose fields hold anything; `changes` are those of its top fields."""
    meta: dict[str, Any] = {
        path.removeprefix("meta."): "1" for path in contract.by_path if "meta." in path
    }
    meta |= {"occurred_at": 1, "backfill": False, "transition": "received"}
    top = {path: 1 for path in contract.by_path if "." not in path}
    return Watched({**top, **changes, "meta": Watched(meta, seen, "meta.")}, seen)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_rules_look_at_the_fields_that_are_declared(contract: Contract) -> None:
    declared = {path for paths in reactions(contract).values() for path in paths}
    if declared:
        seen: set[str] = set()
        categories = load_code_lists().get("hotline_category")
        assert order_of(made(contract, seen, category="gas"), categories) is not None
        assert seen == declared
