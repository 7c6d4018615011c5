"""A count agrees with its noun, and a queue that is empty has no first."""

from __future__ import annotations

import pytest

from maplebridge.cli.output import counted
from maplebridge.cli.relay import _sentence
from maplebridge.producers.outbox.relay import RelayProgress


@pytest.mark.parametrize(("count", "text"), [(0, "0 leaves"), (1, "1 leaf"), (2, "2 leaves")])
def test_one_is_singular(count: int, text: str) -> None:
    assert counted(count, "leaf", "leaves") == text
    assert counted(count, "row") == f"{count} row{'s' * (count != 1)}"


def test_a_relay_speaks_of_a_first_row_only_if_one_waits() -> None:
    assert _sentence(RelayProgress(1, 0, 0, 0.0)) == "1 row relayed, 0 refused, 0 waiting"
    assert _sentence(RelayProgress(2, 1, 3, 0.5)).endswith("3 waiting, the first for 0.5 s")
