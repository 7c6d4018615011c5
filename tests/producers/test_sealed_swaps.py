"""Sealed fields of whole events, moved: none opens in the place of another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.envelope import (
    FieldContext,
    open_field,
    read_header,
    seal_field,
)
from maplebridge.access_policy.keys import FieldKey, Master, derive_field_key
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import decode_batch
from maplebridge.errors import TokenInvalid
from maplebridge.producers import uuid7
from maplebridge.producers.sealing import EventSealer
from maplebridge.schemas import Contract, FieldSpec, load_catalogue
from tests.producers.every_event import whole

DEPARTMENT = "justice"
CONTRACTS = [each for each in load_catalogue().published if any(s.seal for s in each.fields)]


@dataclass(frozen=True)
class Sealed:
    """One sealed field of one event, and the key that opens it where it stands."""

    context: FieldContext
    token: bytes
    key: FieldKey


@pytest.fixture(params=["each its own masters", "one master for all"])
def corpus(request: pytest.FixtureRequest, tmp_path: Path) -> list[Sealed]:
    """Two events of every contract with sealed fields, of one department and the same persons.

    With one master for all of a grade, nothing but the envelope's context holds them apart.
    """
    with DepartmentStore(tmp_path / "keys.db", department=DEPARTMENT) as store:
        keys = DepartmentKeys(store)
        events = []
        for contract in CONTRACTS:
            for _ in range(2):
                event = whole(contract, event_id=uuid7(), case_ref="ZJ-1")
                EventSealer(contract, keys).seal(event)
                events.append((contract, event))
        keys.write_new()
        masters = {
            each.master.key_id: each.master
            for batch in keys.pending()
            for each in decode_batch(batch.plain, department=DEPARTMENT)
        }
    found = [one for contract, event in events for one in _sealed(contract, event, masters)]
    if request.param == "each its own masters":
        return found
    by_grade = {grade: replace(_any(masters), grade_domain=grade) for grade in (3, 4)}
    return [_again(each, by_grade) for each in found]


def _any(masters: dict[bytes, Master]) -> Master:
    return next(iter(masters.values()))


def _sealed(
    contract: Contract, event: dict[str, Any], masters: dict[bytes, Master]
) -> Iterator[Sealed]:
    for spec in contract.fields:
        if spec.seal is None:
            continue
        for path, token in _tokens(spec, event):
            if token is not None:
                master = masters[read_header(token).key_id]
                context = FieldContext(
                    DEPARTMENT,
                    contract.event_type,
                    event["meta"]["event_id"],
                    path,
                    spec.seal.logical_type,
                    spec.seal.key,
                    spec.grade,
                )
                key = derive_field_key(
                    master, event_type=contract.event_type, path=path, grade=spec.grade
                )
                yield Sealed(context, token, key)


def _tokens(spec: FieldSpec, event: dict[str, Any]) -> Iterator[tuple[str, bytes | None]]:
    array, inside, name = spec.path.partition("[].")
    if not inside:
        yield spec.path, event[spec.path]
        return
    for index, item in enumerate(event[array]):
        yield f"{array}[{index}].{name}", item[name]


def _again(one: Sealed, masters: dict[int, Master]) -> Sealed:
    """Seal the value once more, under the one master of its grade."""
    value = open_field(one.token, context=one.context, key=one.key)
    context = one.context
    key = derive_field_key(
        masters[context.grade],
        event_type=context.event_type,
        path=context.path,
        grade=context.grade,
    )
    return Sealed(context, seal_field(value, context=context, key=key), key)


def opens(token: bytes, context: FieldContext, key: FieldKey) -> bool:
    try:
        open_field(token, context=context, key=key)
    except TokenInvalid:
        return False
    return True


def test_no_sealed_field_of_an_event_opens_in_the_place_of_another(corpus: list[Sealed]) -> None:
    """T2: pairwise, by the key of the place it is moved to and by the key it was sealed with."""
    assert all(opens(each.token, each.context, each.key) for each in corpus)
    assert {each.context.event_type for each in corpus} == {each.event_type for each in CONTRACTS}
    swaps = list(permutations(corpus, 2))
    assert len(swaps) > 2_000
    taken = [
        (place.context, moved.context)
        for place, moved in swaps
        if opens(moved.token, place.context, place.key)
        or opens(moved.token, place.context, moved.key)
    ]
    assert taken == []
