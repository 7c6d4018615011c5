"""Sealed fields that were damaged, moved or cut: none opens."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import pytest

from maplebridge.access_policy.envelope import FieldContext, open_field, seal_field
from maplebridge.access_policy.keys import FieldKey
from maplebridge.errors import TokenInvalid

SIZES = (0, 1, 11, 28, 29, 60, 200, 1_000)


@dataclass(frozen=True)
class Sealed:
    token: bytes
    context: FieldContext
    key: FieldKey


def corpus(rng: random.Random, suite: int) -> list[Sealed]:
    """Sealed values of many lengths, several under one key and several in one context."""
    keys = [FieldKey(rng.randbytes(16), at, suite, rng.randbytes(32)) for at in range(3)]
    found = []
    for number in range(24):
        context = FieldContext(
            rng.choice(("hotline", "grid")),
            rng.choice(("hotline.order", "grid.case")),
            f"event-{number // 4}",
            rng.choice(("caller_phone", "parties[0].name", "parties[1].name")),
            rng.choice(("string", '["null", "string"]')),
            rng.choice(("subject:caller", "case")),
            rng.choice((3, 4)),
        )
        key = rng.choice(keys)
        value = rng.randbytes(rng.choice(SIZES))
        found.append(Sealed(seal_field(value, context=context, key=key), context, key))
    return found


def mutated(rng: random.Random, one: Sealed, other: Sealed) -> Sealed:
    """Return `one` with its bytes, its context or its key changed, which may come out the same."""
    token = one.token
    at, size = rng.randrange(len(token)), rng.randrange(1, 40)
    match rng.randrange(10):
        case 0 | 1:
            flipped = bytes([token[at] ^ 1 << rng.randrange(8)])
            return replace(one, token=token[:at] + flipped + token[at + 1 :])
        case 2:
            # header, salt and commitment as they were: the tag alone can tell
            at = rng.randrange(72, len(token))
            return replace(one, token=token[:at] + rng.randbytes(1) + token[at + 1 :])
        case 3:
            return replace(one, token=token[:at] + rng.randbytes(size) + token[at + size :])
        case 4:
            return replace(one, token=token[:at] + rng.randbytes(size) + token[at:])
        case 5:
            return replace(one, token=token[:at] + token[at + size :])
        case 6:
            return replace(one, token=token[:at] + other.token[at:])
        case 7:
            return replace(one, token=other.token[:72] + token[72:])
        case 8:
            name = rng.choice(fields(FieldContext)).name
            moved = replace(one.context, **{name: getattr(other.context, name)})
            return replace(one, context=moved)
        case _:
            secret = rng.choice((other.key.secret, rng.randbytes(32)))
            key = FieldKey(one.key.key_id, one.key.version, one.key.suite, secret)
            return replace(one, key=key)


def accepted(*, seed: int, suite: int, mutations: int) -> Iterator[Sealed]:
    """Yield every mutant that opens, of so many that differ from what they were made of."""
    rng = random.Random(seed)
    whole = corpus(rng, suite)
    made = 0
    while made < mutations:
        one = rng.choice(whole)
        mutant = mutated(rng, one, rng.choice(whole))
        if mutant == one:
            continue
        made += 1
        try:
            open_field(mutant.token, context=mutant.context, key=mutant.key)
        except TokenInvalid:
            continue
        yield mutant


@pytest.mark.parametrize("suite", [1, 2])
def test_what_the_mutants_are_made_of_opens(suite: int) -> None:
    for one in corpus(random.Random(suite), suite):
        open_field(one.token, context=one.context, key=one.key)


@pytest.mark.parametrize("suite", [1, 2])
def test_no_flipped_bit_of_a_sealed_field_opens(suite: int) -> None:
    """T2: every bit of every length's shortest and longest bucket here."""
    whole = sorted(corpus(random.Random(suite), suite), key=lambda each: len(each.token))
    for one in (whole[0], whole[-1]):
        for bit in range(len(one.token) * 8):
            flipped = bytearray(one.token)
            flipped[bit // 8] ^= 1 << bit % 8
            with pytest.raises(TokenInvalid):
                open_field(bytes(flipped), context=one.context, key=one.key)


@pytest.mark.parametrize("suite", [1, 2])
def test_no_mutation_of_a_sealed_field_opens(suite: int) -> None:
    """T2: 4,000 seeded mutations of each suite."""
    assert list(accepted(seed=20_151_001 + suite, suite=suite, mutations=4_000)) == []


@pytest.mark.nightly
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("suite", [1, 2])
def test_no_mutation_of_half_a_million_of_each_suite_opens(suite: int) -> None:
    """T2: with both suites a million seeded mutations, 0 accepted."""
    assert list(accepted(seed=20_260_302 + suite, suite=suite, mutations=500_000)) == []
