"""T18: whatever decodes bytes or text from outside answers foreign ones with one clear error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.access_policy.checkpoint import open_note
from maplebridge.access_policy.cosignature import cosigned_by
from maplebridge.access_policy.keytransport import BrokerPrivateKey, BrokerPublicKey, decode_batch
from maplebridge.access_policy.merkle import Frontier
from maplebridge.access_policy.proof_text import Extension
from maplebridge.access_policy.signatures import SigningKey
from maplebridge.access_policy.signed_note import COSIGNATURE, Verifier
from maplebridge.errors import AuditCorrupt, InputError, TokenInvalid
from maplebridge.schemas import SealSpec
from maplebridge.schemas.values import value_reader

VERIFIER = Verifier("maplebridge-audit", bytes(32))
BROKER = BrokerPrivateKey.generate("2026-W10")
SEEDED = st.integers(0, 2**32).map(lambda seed: Random(seed).randbytes(2_000))
BYTES = st.one_of(st.binary(max_size=200), SEEDED)
TEXTS = st.one_of(st.text(max_size=200), BYTES.map(lambda each: each.decode("latin-1")))

OF_BYTES: dict[str, tuple[Callable[[bytes], Any], type[Exception]]] = {
    "masters in a wrap": (lambda each: decode_batch(each, department="grid"), TokenInvalid),
    "a wrap": (lambda each: BROKER.unwrap(each, department="grid"), TokenInvalid),
    "a frontier": (lambda each: Frontier.from_bytes(len(each), each), ValueError),
    "a sealed text": (lambda each: value_reader(SealSpec("string", "case"))(each), TokenInvalid),
    "a sealed number": (
        lambda each: value_reader(SealSpec(["null", "long"], "case"))(each),
        TokenInvalid,
    ),
}
OF_TEXT: dict[str, tuple[Callable[[str], Any], type[Exception]]] = {
    "a checkpoint": (lambda each: open_note(each, VERIFIER), AuditCorrupt),
    "a verifier key": (Verifier.parse, InputError),
    "a witness's request": (Extension.parse, InputError),
    "a witness's key": (lambda each: Verifier.parse(each, kind=COSIGNATURE), InputError),
    "a witness's cosignature": (
        lambda each: cosigned_by(
            f"maplebridge-audit\n1\nAAAA\n\n{each}\n", [Verifier("w", bytes(32), COSIGNATURE)]
        ),
        AuditCorrupt,
    ),
    "a signing key": (SigningKey.decode, InputError),
    "the broker's public key": (BrokerPublicKey.decode, InputError),
}


@pytest.mark.parametrize("name", OF_BYTES)
@given(foreign=BYTES)
def test_foreign_bytes_are_refused_by_their_own_error(name: str, foreign: bytes) -> None:
    decode, refusal = OF_BYTES[name]
    with contextlib.suppress(refusal):
        decode(foreign)


@pytest.mark.parametrize("name", OF_TEXT)
@given(foreign=TEXTS)
def test_foreign_text_is_refused_by_its_own_error(name: str, foreign: str) -> None:
    decode, refusal = OF_TEXT[name]
    with contextlib.suppress(refusal):
        decode(foreign)
