"""The sealed field over any value, any place and any damage."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from maplebridge.access_policy.envelope import FieldContext, open_field, read_header, seal_field
from maplebridge.access_policy.keys import FieldKey, Master, derive_field_key
from maplebridge.errors import TokenInvalid

MASTER = Master(b"k" * 16, 7, "hotline", "ref", "subject", 3, "330681001001", b"s" * 32)
SUITES = st.sampled_from([1, 2])
NAMES = st.text(st.characters(codec="utf-8"), max_size=40)
CONTEXTS = st.builds(
    FieldContext,
    department=NAMES,
    event_type=NAMES,
    event_id=st.uuids(version=4).map(str),
    path=NAMES,
    logical_type=st.sampled_from(["string", "int", '["null", "string"]']),
    scope=NAMES,
    grade=st.sampled_from([3, 4]),
)
CHANGES = st.sampled_from(["department", "event_type", "event_id", "path", "logical_type", "scope"])


def key_of(context: FieldContext, suite: int) -> FieldKey:
    master = replace(MASTER, grade_domain=4) if context.grade == 4 else MASTER
    return derive_field_key(master, suite=suite, event_type="any", path="any", grade=context.grade)


@given(st.binary(max_size=3_000), CONTEXTS, SUITES)
def test_any_value_opens_where_it_was_sealed(
    value: bytes, context: FieldContext, suite: int
) -> None:
    key = key_of(context, suite)
    assert (
        open_field(seal_field(value, context=context, key=key), context=context, key=key) == value
    )


@given(st.binary(max_size=200), CONTEXTS, SUITES, CHANGES, NAMES)
def test_no_value_opens_in_another_place(
    value: bytes, context: FieldContext, suite: int, name: str, other: Any
) -> None:
    """T2."""
    assume(getattr(context, name) != other)
    key = key_of(context, suite)
    token = seal_field(value, context=context, key=key)
    with pytest.raises(TokenInvalid):
        open_field(token, context=replace(context, **{name: other}), key=key)


@given(st.binary(max_size=200), CONTEXTS, SUITES, st.data())
def test_no_damaged_token_opens(
    value: bytes, context: FieldContext, suite: int, data: st.DataObject
) -> None:
    key = key_of(context, suite)
    token = bytearray(seal_field(value, context=context, key=key))
    at = data.draw(st.integers(0, len(token) - 1))
    damage = data.draw(st.sampled_from(["flip", "cut", "insert", "append"]))
    if damage == "flip":
        token[at] ^= data.draw(st.integers(1, 255))
    elif damage == "cut":
        del token[at:]
    elif damage == "insert":
        token[at:at] = b"\x00"
        assume(bytes(token) != seal_field(value, context=context, key=key))
    else:
        token += data.draw(st.binary(min_size=1, max_size=40))
    with pytest.raises(TokenInvalid):
        open_field(bytes(token), context=context, key=key)


@given(st.binary(max_size=300))
def test_foreign_bytes_are_no_envelope(foreign: bytes) -> None:
    """T18."""
    context = FieldContext("a", "b", "c", "d", "string", "case", 3)
    with pytest.raises(TokenInvalid):
        open_field(foreign, context=context, key=key_of(context, 1))
    with contextlib.suppress(TokenInvalid):
        read_header(b"MB" + foreign)
