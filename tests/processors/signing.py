"""Signing events as their departments do, one batch an event."""

from __future__ import annotations

from maplebridge.access_policy.signatures import BatchSigner, SigningKey, event_leaf
from maplebridge.schemas import Codec, Contract, Event
from maplebridge.schemas.codec import ProofWriter

PROOFS = ProofWriter()


def signed(
    codec: Codec,
    contract: Contract,
    event: Event,
    key: SigningKey,
    *,
    topic: str,
    record_key: bytes,
) -> bytes:
    """Return the value of `event` on `topic`, signed by the department it names."""
    unproven = codec.encode(contract, event)[:-1]
    signer = BatchSigner(event["meta"]["department"], key)
    (proof,) = signer.prove([event_leaf(topic, record_key, unproven)])
    return unproven + PROOFS.encode(proof)
