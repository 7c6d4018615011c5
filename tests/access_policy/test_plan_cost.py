"""`maplebridge bench policy`: what a view plan costs, in processor time."""

from __future__ import annotations

import pytest

from maplebridge.benchmarks.policy import made, run
from maplebridge.processors.views import is_restricted
from maplebridge.schemas import Contract, load_catalogue
from maplebridge.schemas.codec import AvroCodec


@pytest.mark.parametrize("contract", [*load_catalogue()], ids=lambda each: str(each.event_type))
def test_what_is_measured_with_is_an_event_of_the_contract(contract: Contract) -> None:
    codec = AvroCodec(contract.schema, 1)
    event = made(contract)
    assert codec.decode(codec.encode(event)) == event
    assert not is_restricted(contract, event)


def test_a_plan_costs_less_than_decoding_and_little_to_compile() -> None:
    """The targets are half of decoding and 50 ms; a busy machine gets the first some slack."""
    told = run(events=600)
    assert isinstance(told["ratio"], float)
    assert 0 < told["ratio"] < 0.8
    assert isinstance(told["cold_cpu_p99_ms"], float)
    assert told["cold_cpu_p99_ms"] < 50
