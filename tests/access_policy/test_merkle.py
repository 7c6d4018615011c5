"""The Merkle tree of RFC 9162, against the tree's definition and against forgeries."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.merkle import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)

HASHES = [leaf_hash(str(at).encode()) for at in range(70)]


def defined_root(entries: list[bytes]) -> bytes:
    """The recursion of RFC 9162, 2.1.1, written out."""
    if not entries:
        return sha256().digest()
    if len(entries) == 1:
        return sha256(b"\x00" + entries[0]).digest()
    middle = 1
    while middle * 2 < len(entries):
        middle *= 2
    left, right = defined_root(entries[:middle]), defined_root(entries[middle:])
    return sha256(b"\x01" + left + right).digest()


def test_the_root_is_that_of_the_definition_at_every_size() -> None:
    entries = [str(at).encode() for at in range(70)]
    for size in range(71):
        assert root_of(HASHES[:size]) == defined_root(entries[:size])


def test_the_empty_tree_and_the_first_leaf_have_the_published_hashes() -> None:
    assert EMPTY_ROOT.hex().startswith("e3b0c44298fc1c149afbf4c8996fb924")
    assert leaf_hash(b"").hex().startswith("6e340b9cffb37a989ca544e6bb780a2c")


@given(st.integers(0, 70), st.integers(0, 70))
def test_a_frontier_can_be_stored_and_extended_at_any_point(first: int, second: int) -> None:
    stored = Frontier().extended(HASHES[:first])
    again = Frontier.from_bytes(first, stored.to_bytes()).extended(HASHES[first:second])
    assert again.root() == root_of(HASHES[: max(first, second)])


def test_a_frontier_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="does not belong"):
        Frontier.from_bytes(4, Frontier().extended(HASHES[:3]).to_bytes())


def test_every_leaf_is_proven_at_its_index_and_at_no_other() -> None:
    for size in range(1, 34):
        root = root_of(HASHES[:size])
        for index in range(size):
            proof = inclusion_proof(index, HASHES[:size])
            held = {
                at
                for at in range(size + 1)
                if verify_inclusion(HASHES[index], index=at, size=size, proof=proof, root=root)
            }
            assert held == {index}
            assert not verify_inclusion(HASHES[69], index=index, size=size, proof=proof, root=root)
            assert not verify_inclusion(
                HASHES[index], index=index, size=size, proof=[*proof, root], root=root
            )


def test_every_earlier_tree_is_proven_a_prefix_and_no_other_is() -> None:
    for new in range(1, 34):
        new_root = root_of(HASHES[:new])
        for old in range(new + 1):
            proof = consistency_proof(Frontier().extended(HASHES[:old]), HASHES[old:new])
            sizes = {"old_size": old, "new_size": new}
            old_root = root_of(HASHES[:old])
            assert verify_consistency(**sizes, proof=proof, old_root=old_root, new_root=new_root)
            forged = root_of(HASHES[1 : old + 1])
            assert (
                not verify_consistency(**sizes, proof=proof, old_root=forged, new_root=new_root)
                or old == 0
            )
            assert not verify_consistency(
                **sizes, proof=[*proof, new_root], old_root=old_root, new_root=new_root
            )


def test_proofs_of_what_is_not_there_are_refused() -> None:
    with pytest.raises(IndexError):
        inclusion_proof(3, HASHES[:3])
    with pytest.raises(IndexError):
        inclusion_proof(-1, HASHES[:3])
