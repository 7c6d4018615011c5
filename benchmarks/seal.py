"""Opening sealed fields, measured against the bare cryptography on the same fields.

Ours: what an app does with three sealed fields of one event (a hotline caller's name, phone and
address) whose field keys it holds: context, header, commitment, tag, padding; and, as
`with_values`, the Avro values read besides. The bare loop: for each field one HKDF, whose info is
a hash of the context, and one AEAD call over slices of the token; the contexts are prepared and
nothing is checked. As `calls_alone` it is HKDF and AEAD with every input prepared, the hash and
the slices too. All go round by round, in turn, in processor time of the one thread; a ratio is
the median of the rounds'. No server takes part.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from maplebridge.access_policy.envelope import FieldOpener, FieldSealer
from maplebridge.access_policy.keys import FieldKey, prefixed
from maplebridge.access_policy.suites import NONCE, TAG_BYTES, suite_of
from maplebridge.errors import ContractRefused
from maplebridge.producers import uuid7
from maplebridge.schemas import Contract, SealSpec, load_catalogue
from maplebridge.schemas.values import value_reader, value_writer

EVENT_TYPE = "hotline.order"
SEALED = ("caller_name", "caller_phone", "address")
ROUNDS = 45
_INFO = {number: b"MBF1 value" + bytes((number,)) for number in (1, 2)}


@dataclass(frozen=True)
class Sealed:
    """One event's sealed fields, in the order of SEALED, with their keys."""

    event_id: str
    tokens: tuple[bytes, ...]
    keys: tuple[FieldKey, ...]


Inputs = tuple[bytes, bytes, bytes, bytes, bytes]
"""salt, info, secret, ciphertext and tag, associated data"""


def run(*, events: int = 45_000, suite: int = 1) -> dict[str, float]:
    """Open the sealed fields of `events` each way.

    Returns events_per_s and limit_events_per_s (medians, three fields an event), ratio,
    with_values (the ratio when the Avro values are read too), calls_alone (the ratio to HKDF
    and AEAD with all inputs prepared), rss_mb (peak), rounds.
    """
    contract = load_catalogue().get(EVENT_TYPE)
    openers = [FieldOpener(**_place(contract, path)) for path in SEALED]
    readers = [value_reader(_seal_of(contract, path)) for path in SEALED]
    made = make_events(contract, events // ROUNDS, suite=suite)

    def ours() -> None:
        for event in made:
            event_id = prefixed(event.event_id)
            for opener, token, key in zip(openers, event.tokens, event.keys, strict=True):
                opener.open(token, event_id=event_id, key=key)

    def with_values() -> None:
        for event in made:
            event_id = prefixed(event.event_id)
            for opener, read, token, key in zip(
                openers, readers, event.tokens, event.keys, strict=True
            ):
                read(opener.open(token, event_id=event_id, key=key))

    placed = [
        (token, opener.context(prefixed(event.event_id)), key.secret)
        for event in made
        for opener, token, key in zip(openers, event.tokens, event.keys, strict=True)
    ]
    calls = _calls(suite)
    prepared = [_inputs(*each, suite) for each in placed]

    def bare() -> None:
        for token, context, secret in placed:
            calls(*_inputs(token, context, secret, suite))

    def calls_alone() -> None:
        for each in prepared:
            calls(*each)

    rates = _rounds([ours, bare, with_values, calls_alone], len(made))
    return {
        "suite": suite,
        "events_per_s": round(median(each[0] for each in rates)),
        "limit_events_per_s": round(median(each[1] for each in rates)),
        "ratio": round(median(each[0] / each[1] for each in rates), 3),
        "with_values": round(median(each[2] / each[1] for each in rates), 3),
        "calls_alone": round(median(each[0] / each[3] for each in rates), 3),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "rounds": len(rates),
    }


def make_events(contract: Contract, count: int, *, suite: int) -> list[Sealed]:
    """Return sealed fields of made-up callers, each with two events under the same keys."""
    sealers = [FieldSealer(**_place(contract, path)) for path in SEALED]
    writers = [value_writer(_seal_of(contract, path)) for path in SEALED]
    made = []
    keys: tuple[FieldKey, ...] = ()
    for number in range(count):
        if number % 2 == 0:
            key_id = os.urandom(16)
            keys = tuple(FieldKey(key_id, 1, suite, os.urandom(32)) for _ in SEALED)
        values = (f"虚构{number}", f"1{number:010d}", f"虚构路{number % 300}号")
        event_id = uuid7()
        tokens = tuple(
            sealer.seal(write(value), event_id=prefixed(event_id), key=key, salt=os.urandom(16))
            for sealer, write, value, key in zip(sealers, writers, values, keys, strict=True)
        )
        made.append(Sealed(event_id, tokens, keys))
    return made


def _inputs(token: bytes, context: bytes, secret: bytes, suite: int) -> Inputs:
    """Return what HKDF and AEAD are given for one field."""
    info = _INFO[suite] + suite_of(suite).digest(context)
    return token[24:40], info, secret, token[72:], token[:72] + context


def _calls(suite: int) -> Callable[[bytes, bytes, bytes, bytes, bytes], None]:
    """Return the function that derives one value's key and deciphers, and no more."""
    algorithm = suite_of(suite).hash

    def aes(salt: bytes, info: bytes, secret: bytes, sealed: bytes, associated: bytes) -> None:
        derived = HKDF(algorithm, 64, salt, info).derive(secret)
        AESGCM(derived[:32]).decrypt(NONCE, sealed, associated)

    def sm4(salt: bytes, info: bytes, secret: bytes, sealed: bytes, associated: bytes) -> None:
        derived = HKDF(algorithm, 64, salt, info).derive(secret)
        mode = modes.GCM(NONCE, sealed[-TAG_BYTES:])
        decryptor = Cipher(algorithms.SM4(derived[:16]), mode).decryptor()
        decryptor.authenticate_additional_data(associated)
        decryptor.update(sealed[:-TAG_BYTES])
        decryptor.finalize()

    return aes if suite == 1 else sm4


def _rounds(ways: Sequence[Callable[[], None]], events: int) -> list[list[float]]:
    """Return events per second of each way, round by round, the order turned each time."""
    for way in ways:
        way()
    rates = []
    for number in range(ROUNDS):
        found = [0.0] * len(ways)
        for turn in range(len(ways)):
            at = (turn + number) % len(ways)
            began = time.thread_time()
            ways[at]()
            found[at] = events / (time.thread_time() - began)
        rates.append(found)
    return rates


def _seal_of(contract: Contract, path: str) -> SealSpec:
    seal = contract.field(path).seal
    if seal is None:
        raise ContractRefused(f"{path} does not travel sealed.", todo="Measure with another field.")
    return seal


def _place(contract: Contract, path: str) -> dict[str, Any]:
    seal = _seal_of(contract, path)
    return {
        "department": contract.department,
        "event_type": contract.event_type,
        "path": path,
        "logical_type": seal.logical_type,
        "scope": seal.key,
        "grade": contract.field(path).grade,
    }
