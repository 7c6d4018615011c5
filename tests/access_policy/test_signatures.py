"""Batch signatures: what covers an event, and that nothing else does."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maplebridge.access_policy.merkle import inclusion_proof, root_of
from maplebridge.access_policy.signatures import (
    BATCH_MAX_EVENTS,
    BatchSigner,
    Enrolment,
    Proof,
    SignatureVerifier,
    SigningKey,
    event_leaf,
    statement,
)
from maplebridge.errors import EventInvalid, InputError

AT = 1_000_000
OWN, OTHER = SigningKey.generate(), SigningKey.generate()
UNCOVERED = "its department's signature does not cover it."
SIZES = (1, 2, 3, 5, 7, 8, 31, 33, 64, 100, 127, 129, 255, 256)


class Enrolled:
    """A directory in memory."""

    def __init__(self, *enrolments: Enrolment) -> None:
        self.held = {each.key_id: each for each in enrolments}

    def find(self, key_id: bytes) -> Enrolment | None:
        return self.held.get(key_id)


def enrolment(key: SigningKey, department: str, *, ends: int | None = None) -> Enrolment:
    return Enrolment(department, key.key_id, key.public_key, valid_from=100, valid_to=ends)


BOTH = (enrolment(OWN, "hotline"), enrolment(OTHER, "grid"))


def leaves(count: int) -> list[bytes]:
    return [event_leaf("t", b"k", b"event %d" % number) for number in range(count)]


def signed(count: int, key: SigningKey = OWN, department: str = "hotline") -> list[Proof]:
    return BatchSigner(department, key).prove(leaves(count))


def verdict(
    verifier: SignatureVerifier, leaf: bytes, proof: Proof, department: str = "hotline"
) -> str:
    try:
        verifier.check(department, leaf, proof, AT)
    except EventInvalid as refused:
        return refused.reason
    return ""


def fresh(leaf: bytes, proof: Proof, department: str = "hotline") -> str:
    return verdict(SignatureVerifier(Enrolled(*BOTH)), leaf, proof, department)


@pytest.mark.parametrize("size", SIZES)
def test_a_whole_batch_is_covered_in_whatever_order_it_is_read(size: int) -> None:
    verifier = SignatureVerifier(Enrolled(*BOTH))
    batch = list(zip(leaves(size), signed(size), strict=True))
    Random(size).shuffle(batch)
    assert {verdict(verifier, *each) for each in batch} == {""}


@pytest.mark.parametrize("size", SIZES)
def test_the_tree_is_that_of_the_standard(size: int) -> None:
    """RFC 9162, 2.1: against the audit log's own implementation of roots and paths."""
    hashes = leaves(size)
    proofs = signed(size)
    OWN.private.public_key().verify(
        proofs[0]["root_signature"], statement("hotline", size, root_of(hashes))
    )
    for index in {0, size // 2, size - 1}:
        assert proofs[index]["path"] == b"".join(inclusion_proof(index, hashes))


def tampered(proof: Proof, random: Random) -> Proof:
    """Return the proof with one thing about it changed."""
    path = proof["path"]
    at = random.randrange(len(path)) if path else 0
    flipped = path[:at] + bytes([path[at] ^ 1]) + path[at + 1 :] if path else b"\0"
    signature = proof["root_signature"]
    ways: list[dict[str, Any]] = [
        {"index": proof["index"] + 1},
        {"index": proof["index"] - 1},
        {"index": proof["index"] ^ 1},
        {"index": BATCH_MAX_EVENTS},
        {"size": proof["size"] + 1},
        {"size": proof["size"] - 1},
        {"size": 2**31 - 1},
        {"path": path[:-1]},
        {"path": path[:-32] if path else b"\0" * 32},
        {"path": path + b"\0"},
        {"path": path + bytes(32)},
        {"path": flipped},
        {"path": path[32:] + path[:32] + b"x"},
        {"root_signature": signature[:-1] + bytes([signature[-1] ^ 1])},
        {"root_signature": bytes(64)},
    ]
    changed = [{**proof, **way} for way in ways]
    return random.choice([each for each in changed if each != proof])


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SIZES), st.integers(0, 2**32), st.data())
def test_a_verdict_never_depends_on_what_was_read_before(
    size: int, seed: int, data: st.DataObject
) -> None:
    """T5: good and altered events of one batch, each judged in a crowd and alone."""
    random = Random(seed)
    hashes, proofs = leaves(size), signed(size)
    crowd: list[tuple[bytes, Proof]] = []
    for _ in range(data.draw(st.integers(1, 24))):
        number = random.randrange(size)
        leaf, proof = hashes[number], proofs[number]
        kind = random.randrange(4)
        if kind == 1:
            proof = tampered(proof, random)
        elif kind == 2:
            leaf = event_leaf("t", b"k", b"another")
        elif kind == 3:
            proof = proofs[random.randrange(size)]
        crowd.append((leaf, proof))
    verifier = SignatureVerifier(Enrolled(*BOTH))
    assert [verdict(verifier, *each) for each in crowd] == [fresh(*each) for each in crowd]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SIZES), st.integers(0, 2**32))
def test_no_altered_proof_covers_an_event(size: int, seed: int) -> None:
    """T5: partly covered: wrong index, size, path or signature, cut short or with a tail."""
    random = Random(seed)
    number = random.randrange(size)
    proof = signed(size)[number]
    changed = tampered(proof, random)
    verifier = SignatureVerifier(Enrolled(*BOTH))
    for each in zip(leaves(size), signed(size), strict=True):
        assert verdict(verifier, *each) == ""
    assert verdict(verifier, leaves(size)[number], changed) == UNCOVERED
    assert fresh(leaves(size)[number], changed) == UNCOVERED


def test_an_event_signed_by_another_department_or_under_its_name_is_refused() -> None:
    """T5: re-signed with its own key; signed as us with its key; our batch claimed by it."""
    leaf = leaves(1)[0]
    (theirs,) = signed(1, OTHER, "grid")
    (forged,) = signed(1, OTHER, "hotline")
    (ours,) = signed(1)
    assert fresh(leaf, theirs) == "signed by another department."
    assert fresh(leaf, forged) == "signed by another department."
    assert fresh(leaf, ours, "grid") == "signed by another department."
    assert fresh(leaf, {**forged, "key_id": OWN.key_id}) == UNCOVERED
    assert fresh(leaf, ours) == ""


def test_one_key_cannot_sign_in_two_departments_names() -> None:
    """The statement names the department, so a shared key's batch is one department's."""
    (proof,) = signed(1, OWN, "grid")
    assert fresh(leaves(1)[0], proof) == UNCOVERED


@pytest.mark.parametrize(
    ("at", "holds"), [(99, False), (100, True), (199, True), (200, False), (10**9, False)]
)
def test_a_key_holds_by_the_brokers_time_of_the_record(at: int, holds: bool) -> None:
    """T5: not yet valid, expired, revoked."""
    verifier = SignatureVerifier(Enrolled(enrolment(OWN, "hotline", ends=200)))
    (proof,) = signed(1)
    if holds:
        verifier.check("hotline", leaves(1)[0], proof, at)
    else:
        with pytest.raises(EventInvalid, match="does not hold"):
            verifier.check("hotline", leaves(1)[0], proof, at)


def test_a_key_that_ended_covers_no_more_of_a_batch_that_is_half_read() -> None:
    """T5: what was remembered of the batch does not outlive the key."""
    directory = Enrolled(enrolment(OWN, "hotline"))
    verifier = SignatureVerifier(directory)
    first, second = signed(2)
    assert verdict(verifier, leaves(2)[0], first) == ""
    directory.held[OWN.key_id] = replace(directory.held[OWN.key_id], valid_to=AT)
    assert verdict(verifier, leaves(2)[1], second) == "signed by a key that does not hold."


def test_an_unknown_key_covers_nothing() -> None:
    (proof,) = signed(1, SigningKey.generate())
    assert fresh(leaves(1)[0], proof) == "signed by a key that is not enrolled."


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40), st.binary(max_size=40), st.text(max_size=20), st.data())
def test_no_other_split_of_the_same_bytes_has_the_same_leaf(
    key: bytes, value: bytes, topic: str, data: st.DataObject
) -> None:
    """T5: neither topic nor key nor value can give a byte to its neighbour."""
    whole = topic.encode() + key + value
    cut = data.draw(st.integers(0, len(whole)))
    again = data.draw(st.integers(cut, len(whole)))
    try:
        other = whole[:cut].decode()
    except UnicodeDecodeError:
        return
    same = (other, whole[cut:again], whole[again:]) == (topic, key, value)
    leaf = event_leaf(other, whole[cut:again], whole[again:])
    assert (leaf == event_leaf(topic, key, value)) == same


def test_memory_is_bounded_and_what_was_forgotten_is_verified_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("maplebridge.access_policy.signatures._KNOWN_BATCHES", 3)
    verifier = SignatureVerifier(Enrolled(*BOTH))
    batches = [
        BatchSigner("hotline", OWN).prove([event_leaf("t", b"", bytes([n]))]) for n in range(9)
    ]
    for _ in range(2):
        for number, (proof,) in enumerate(batches):
            assert verdict(verifier, event_leaf("t", b"", bytes([number])), proof) == ""
    assert len(verifier._batches) == 3


def test_a_signing_key_that_is_no_key_is_told_without_showing_it() -> None:
    with pytest.raises(InputError) as told:
        SigningKey.decode("c2VjcmV0")
    assert "c2VjcmV0" not in str(told.value)
