"""What the length of a sealed field tells to who cannot open it."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

import pytest

from maplebridge.access_policy.envelope import (
    SMALL_BUCKETS,
    VALUE_MAX_BYTES,
    FieldContext,
    padded_bytes,
    seal_field,
)
from maplebridge.access_policy.keys import FieldKey

CONTEXT = FieldContext("hotline", "hotline.order", "event", "content", "string", "case", 3)
SURNAMES = "王李张刘陈杨黄赵吴周"
Sample = tuple[str, bytes]
"""what kind of value it is, and the value"""


def key_of(suite: int) -> FieldKey:
    return FieldKey(b"k" * 16, 1, suite, b"s" * 32)


def drawn(rng: random.Random) -> Sample:
    """Return a made-up value of one of the kinds that are sealed."""
    kind = rng.choice(("name", "phone", "identity", "address", "text", "null"))
    match kind:
        case "name":
            text = rng.choice(SURNAMES) + "虚构"[: rng.randrange(1, 3)]
        case "phone":
            text = f"1{rng.randrange(10**10):010d}"
        case "identity":
            text = f"{rng.randrange(10**18):018d}"
        case "address":
            text = f"虚构路{rng.randrange(300)}号" + f"{rng.randrange(30)}单元" * rng.randrange(3)
        case "text":
            text = "路灯不亮，" * rng.randrange(1, 60)
        case _:
            return kind, b"\0"
    return kind, text.encode()


def accuracy(
    samples: Sequence[Sample],
    seen: Callable[[bytes], Hashable],
    asked: Callable[[Sample], Hashable],
) -> float:
    """Return how often the best guess from what is seen, learnt on one half, is right on the other.

    Given what is seen, no classifier does better than the answer most frequent with it.
    """
    half = len(samples) // 2
    learnt: dict[Hashable, Counter[Hashable]] = defaultdict(Counter)
    for sample in samples[:half]:
        learnt[seen(sample[1])][asked(sample)] += 1
    best = {what: counts.most_common(1)[0][0] for what, counts in learnt.items()}
    right = sum(best.get(seen(sample[1])) == asked(sample) for sample in samples[half:])
    return right / (len(samples) - half)


@pytest.mark.parametrize("suite", [1, 2])
def test_a_length_classifier_learns_no_more_than_the_bucket(suite: int) -> None:
    """T11: what a value is, and how long: a classifier of lengths is one of buckets."""
    rng, key = random.Random(11), key_of(suite)
    samples = [drawn(rng) for _ in range(6_000)]

    def length(value: bytes) -> int:
        return len(seal_field(value, context=CONTEXT, key=key))

    def bucket(value: bytes) -> int:
        return padded_bytes(len(value))

    for asked in (lambda sample: sample[0], lambda sample: len(sample[1])):
        by_length = accuracy(samples, length, asked)
        assert by_length == accuracy(samples, bucket, asked)
        # the test can tell: without padding the same classifier would learn much more
        assert by_length < accuracy(samples, len, asked) - 0.2


@pytest.mark.parametrize("suite", [1, 2])
def test_within_a_bucket_a_length_classifier_only_guesses(suite: int) -> None:
    """T11: it is right as often as who always names the most frequent kind."""
    rng, key = random.Random(12), key_of(suite)
    samples = [each for each in (drawn(rng) for _ in range(6_000)) if len(each[1]) <= 28]
    assert {kind for kind, _ in samples} >= {"name", "phone", "identity", "address", "null"}

    def length(value: bytes) -> int:
        return len(seal_field(value, context=CONTEXT, key=key))

    found = accuracy(samples, length, lambda sample: sample[0])
    assert found == accuracy(samples, lambda _: None, lambda sample: sample[0])


def test_a_length_tells_the_bucket_whatever_the_content() -> None:
    """T11: every size up to the limit is of the length of its bucket, zeros or noise."""
    rng, key = random.Random(13), key_of(1)
    sizes_by_length: dict[int, set[int]] = {}
    for size in (*range(600), *(rng.randrange(600, VALUE_MAX_BYTES) for _ in range(300))):
        for value in (bytes(size), rng.randbytes(size)):
            length = len(seal_field(value, context=CONTEXT, key=key))
            sizes_by_length.setdefault(length, set()).add(size)
    for length, sizes in sizes_by_length.items():
        assert {padded_bytes(size) for size in sizes} == {length - 88}
    assert len(sizes_by_length[88 + 32]) == 32 - 4 + 1
    assert [b for b in SMALL_BUCKETS if b <= 512] == [32, 64, 128, 256, 512]
