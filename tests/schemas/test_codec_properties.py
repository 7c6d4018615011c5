"""The codec over events of every contract, and over bytes that nobody should send."""

from __future__ import annotations

import contextlib
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.signatures import without_proof
from maplebridge.errors import EventInvalid
from maplebridge.schemas import AvroCodec, Contract, load_catalogue
from maplebridge.schemas.codec import HEADER, ProofWriter
from tests.schemas.generated import events_of

CONTRACTS = list(load_catalogue())
BY_TYPE = {contract.event_type: AvroCodec(contract.schema, 7) for contract in CONTRACTS}
BOMB_MAX_BYTES = 8_000_000
every_contract = pytest.mark.parametrize("contract", CONTRACTS, ids=lambda each: each.event_type)


@every_contract
@given(data=st.data())
def test_any_event_comes_back_as_it_went(contract: Contract, data: st.DataObject) -> None:
    codec = BY_TYPE[contract.event_type]
    event = data.draw(events_of(contract))
    assert codec.decode(codec.encode(event)) == event


@every_contract
@given(data=st.data())
def test_the_proof_is_cut_off_where_it_begins(contract: Contract, data: st.DataObject) -> None:
    """What was signed is found again whatever the event holds."""
    codec = BY_TYPE[contract.event_type]
    event = data.draw(events_of(contract))
    proof = {
        "key_id": data.draw(st.binary(min_size=16, max_size=16)),
        "root_signature": bytes(64),
        "size": data.draw(st.integers(1, 256)),
        "index": data.draw(st.integers(0, 255)),
        "path": bytes(32) * data.draw(st.integers(0, 8)),
    }
    unproven = codec.encode({**event, "proof": None})[:-1]
    value = unproven + ProofWriter().encode(proof)
    assert codec.decode(value) == {**event, "proof": proof}
    assert without_proof(value, proof) == unproven


@given(st.integers(1, 256), st.binary(min_size=64, max_size=64))
def test_the_proofs_of_a_batch_are_written_as_one_by_one(size: int, signature: bytes) -> None:
    writer = ProofWriter()
    proofs = [
        {
            "key_id": bytes(16),
            "root_signature": signature,
            "size": size,
            "index": index,
            "path": bytes([index]) * (32 * (index % 9)),
        }
        for index in range(size)
    ]
    assert writer.encode_batch(proofs) == [writer.encode(each) for each in proofs]


@every_contract
@given(data=st.data())
def test_a_damaged_event_is_refused_or_another_event(
    contract: Contract, data: st.DataObject
) -> None:
    """T18: whatever the damage, there is no other error."""
    codec = BY_TYPE[contract.event_type]
    value = bytearray(codec.encode(data.draw(events_of(contract))))
    at = data.draw(st.integers(HEADER.size, len(value) - 1))
    damage = data.draw(st.sampled_from(["cut", "flip", "insert"]))
    if damage == "cut":
        del value[at:]
    elif damage == "flip":
        value[at] ^= data.draw(st.integers(1, 255))
    else:
        value[at:at] = data.draw(st.binary(min_size=1, max_size=12))
    with contextlib.suppress(EventInvalid):
        codec.decode(bytes(value))


@every_contract
@given(data=st.data())
def test_a_length_that_lies_takes_no_memory(contract: Contract, data: st.DataObject) -> None:
    """T18: an Avro bomb tells of gigabytes in a few bytes."""
    codec = BY_TYPE[contract.event_type]
    value = codec.encode(data.draw(events_of(contract)))
    at = data.draw(st.integers(HEADER.size, len(value)))
    huge = data.draw(
        st.sampled_from([b"\xfe\xff\xff\xff\xff\x7f", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x80\x10"])
    )
    tracemalloc.start()
    with contextlib.suppress(EventInvalid):
        codec.decode(value[:at] + huge + value[at:])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < BOMB_MAX_BYTES
