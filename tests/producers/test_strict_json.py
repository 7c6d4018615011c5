"""Reading JSON of strangers: T18."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maplebridge.producers.strict_json import JsonRefused, JsonTooLarge, Limits, parse

LIMITS = Limits(size_bytes=2_000_000, depth=16, values=50_000)
MILLION = 1_000_000

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=30,
)


@given(VALUES)
def test_what_json_writes_is_read_back(value: Any) -> None:
    for ascii_only in (True, False):
        raw = json.dumps(value, ensure_ascii=ascii_only).encode()
        assert parse(raw, Limits(LIMITS.size_bytes, 40, LIMITS.values)) == value


@given(
    st.binary(max_size=200) | st.text(alphabet='[]{}",:\\u0d8e19.- ', max_size=60).map(str.encode)
)
def test_any_bytes_are_read_as_json_reads_them_or_refused(raw: bytes) -> None:
    try:
        told = parse(raw, LIMITS)
    except JsonRefused:
        return
    assert told == json.loads(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a": 1, "a": 2}',
        b'[{"b": {"a": 1, "a": 1}}]',
        b"NaN",
        b"[Infinity]",
        b"[1e999]",
        b"-1e400",
        b"[" + b"9" * 41 + b"]",
        b'"\\ud800"',
        b'{"\\uDC00": 1}',
        b'"\\ud800\\ud800"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"unclosed',
        b'"unclosed\\',
        b"",
        b"[1,]",
        b"{'a': 1}",
        b"[1] [2]",
        b'\xef\xbb\xbf"a"',
        b'"\x01"',
    ],
)
def test_what_i_json_does_not_allow_is_refused(raw: bytes) -> None:
    with pytest.raises(JsonRefused):
        parse(raw, LIMITS)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert parse(b'"\\ud83c\\udf41"', LIMITS) == "\N{MAPLE LEAF}"


HOSTILE = {
    "deep arrays": b"[" * MILLION,
    "deep objects": b'{"a":' * (MILLION // 5),
    "many values": b"[" + b"1," * MILLION,
    "many names": b"{" + b'"a":1,' * (MILLION // 6),
    "a huge number": b"1" * MILLION,
    "a huge fraction": b"0." + b"1" * MILLION,
    "one open text": b'"' + b"a" * MILLION,
    "quotes escaped in an open text": b'"' + b'\\"' * (MILLION // 2),
    "backslashes in an open text": b'"' + b"\\" * (MILLION + 1),
    "quotes": b'"' * MILLION,
    "closing brackets": b"]" * MILLION,
    "too long": b" " * (LIMITS.size_bytes + 1),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_text_costs_little_memory_and_time(kind: str) -> None:
    """T18: seen once, before anything is made of it."""
    raw = HOSTILE[kind]
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(JsonRefused):
            parse(raw, LIMITS)
        spent = time.process_time() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 * MILLION
    # a scan that began anew at each quotation mark would take hours
    assert spent < 20


def test_each_limit_has_its_refusal() -> None:
    for raw in (HOSTILE["deep arrays"], HOSTILE["many values"], HOSTILE["too long"]):
        with pytest.raises(JsonTooLarge):
            parse(raw, LIMITS)
    assert parse(b"[" * 16 + b"]" * 16, LIMITS)
    with pytest.raises(JsonTooLarge):
        parse(b"[" * 17 + b"]" * 17, LIMITS)
    assert parse(b'["[[[[[[[[[[[[[[[[[[[[[[[[[[[[["]', LIMITS)
