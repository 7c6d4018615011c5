"""The sealed field: what opens it, and everything that must not."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from maplebridge.access_policy.envelope import (
    VALUE_MAX_BYTES,
    FieldContext,
    FieldSealer,
    open_field,
    padded_bytes,
    read_header,
    seal_field,
)
from maplebridge.access_policy.keys import FieldKey, Master, derive_field_key, prefixed
from maplebridge.errors import EventInvalid, InputError, TokenInvalid

MASTER = Master(b"k" * 16, 7, "hotline", "ref", "subject", 3, "330681001001", b"s" * 32)
CONTEXT = FieldContext(
    department="hotline",
    event_type="hotline.order",
    event_id="0199b1a2-7c00-7e55-8a10-2f6f0f3c9d01",
    path="caller_phone",
    logical_type="string",
    scope="subject:caller",
    grade=3,
)
VALUE = b"\x1a13800138000"


def key_of(context: FieldContext, *, suite: int = 1, master: Master = MASTER) -> FieldKey:
    return derive_field_key(
        replace(master, grade_domain=context.grade),  # type: ignore[arg-type]
        suite=suite,
        event_type=context.event_type,
        path=context.path,
        grade=context.grade,
    )


def opens(token: bytes, context: FieldContext, key: FieldKey) -> bool:
    try:
        open_field(token, context=context, key=key)
    except TokenInvalid:
        return False
    return True


@pytest.mark.parametrize("suite", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 27, 28, 29, 2044, 2045, 4092, 4093, VALUE_MAX_BYTES])
def test_what_was_sealed_opens_to_the_same_value(suite: int, size: int) -> None:
    value = random.Random(size).randbytes(size)
    key = key_of(CONTEXT, suite=suite)
    token = seal_field(value, context=CONTEXT, key=key)
    assert open_field(token, context=CONTEXT, key=key) == value
    assert len(token) == 88 + padded_bytes(size)


@pytest.mark.parametrize("path", ["caller_phone", "parties[0].name"])
def test_a_field_sealer_makes_what_the_slow_path_opens(path: str) -> None:
    context = replace(CONTEXT, path=path)
    sealer = FieldSealer(
        department=context.department,
        event_type=context.event_type,
        path=path,
        logical_type=context.logical_type,
        scope=context.scope,
        grade=context.grade,
    )
    key = key_of(context)
    token = sealer.seal(VALUE, event_id=prefixed(context.event_id), key=key, salt=bytes(16))
    assert open_field(token, context=context, key=key) == VALUE


def test_the_header_names_the_master_it_was_sealed_under() -> None:
    header = read_header(seal_field(VALUE, context=CONTEXT, key=key_of(CONTEXT, suite=2)))
    assert (header.version, header.suite) == (1, 2)
    assert (header.key_id, header.key_version) == (MASTER.key_id, 7)


def test_two_seals_of_one_value_share_nothing_but_their_header() -> None:
    key = key_of(CONTEXT)
    first, second = (seal_field(VALUE, context=CONTEXT, key=key) for _ in range(2))
    assert first[:24] == second[:24]
    assert all(first[at : at + 16] not in second for at in range(24, len(first) - 15))


def test_a_value_over_the_limit_is_refused_by_its_path_and_without_its_content() -> None:
    with pytest.raises(EventInvalid) as refused:
        seal_field(b"canary" * 20_000, context=CONTEXT, key=key_of(CONTEXT))
    assert refused.value.path == "caller_phone"
    assert "canary" not in str(refused.value)


def test_a_field_of_l4_is_not_sealed_under_a_master_of_l3() -> None:
    with pytest.raises(InputError, match="L4"):
        derive_field_key(MASTER, event_type="hotline.order", path="x", grade=4)


def test_a_field_key_opens_its_field_in_every_array_element_and_no_other_field() -> None:
    contexts = [replace(CONTEXT, path=p) for p in ("parties[0].name", "parties[11].name")]
    assert key_of(contexts[0]) == key_of(contexts[1])
    others = [
        replace(CONTEXT, path="parties[0].phone"),
        replace(CONTEXT, path="parties"),
        replace(CONTEXT, event_type="grid.case", path="parties[0].name"),
    ]
    assert all(key_of(other).secret != key_of(contexts[0]).secret for other in others)


def test_secrets_are_not_in_what_is_printed() -> None:
    key = key_of(CONTEXT)
    printed = repr(MASTER) + repr(key)
    assert repr(MASTER.secret)[2:-1] not in printed
    assert key.secret.hex() not in printed
    assert "secret" not in printed


def test_no_sealed_field_can_be_swapped_with_another() -> None:
    """T2: every pairwise swap in a corpus is rejected, whoever holds the keys."""
    contexts = [
        FieldContext(department, event_type, event_id, path, logical_type, scope, grade)
        for department, event_type in (("hotline", "hotline.order"), ("grid", "grid.case"))
        for event_id in ("event-1", "event-2")
        for path, scope in (
            ("name", "subject:caller"),
            ("parties[0].name", "subject:parties[0]"),
            ("parties[1].name", "subject:parties[1]"),
            ("text", "case"),
        )
        for logical_type in ("string", "bytes")
        for grade in (3, 4)
    ]
    # one master for all: the context alone must hold them apart
    sealed = [(c, k, seal_field(VALUE, context=c, key=k)) for c in contexts for k in [key_of(c)]]
    swaps = list(itertools.permutations(sealed, 2))
    assert len(swaps) == 64 * 63
    for (context, key, _), (_, other_key, token) in swaps:
        assert not opens(token, context, key)
        assert not opens(token, context, other_key)


def test_bytes_that_are_no_envelope_have_no_header() -> None:
    token = seal_field(VALUE, context=CONTEXT, key=key_of(CONTEXT))
    for wrong in (b"", b"MB", token[:-1], b"XX" + token[2:], token[:3] + b"\x09" + token[4:]):
        with pytest.raises(TokenInvalid):
            read_header(wrong)
