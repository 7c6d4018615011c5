"""Sealed fields open as their publisher made them, whoever the contract's owner is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keys import FieldKey, derive_field_key
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.keytransport import decode_batch
from maplebridge.errors import ContractRefused, TokenInvalid
from maplebridge.processors.opening import Openers
from maplebridge.producers.sealing import EventSealer
from maplebridge.schemas import load_catalogue
from tests.producers.every_event import whole

CATALOGUE = load_catalogue()


@pytest.fixture
def sealed(tmp_path: Path) -> tuple[dict[str, Any], FieldKey]:
    """A grid case that citymgt published, not the contract's owner; the key of its place."""
    contract = CATALOGUE.get("grid.case")
    assert contract.publishers[:2] == ("grid", "citymgt")
    event = whole(contract, case_ref="ZJ-1")
    event["meta"]["department"] = "citymgt"
    with DepartmentStore(tmp_path / "keys.db", department="citymgt") as store:
        keys = DepartmentKeys(store)
        EventSealer(contract, keys).seal(event)
        keys.write_new()
        (batch,) = keys.pending()
    (made,) = {each.master for each in decode_batch(batch.plain, department="citymgt")}
    return event, derive_field_key(made, event_type="grid.case", path="latlon", grade=3)


def opened(
    event: dict[str, Any], key: FieldKey, *, department: str = "citymgt", path: str = "latlon"
) -> Any:
    return Openers(CATALOGUE).open(
        event["latlon"],
        department=department,
        event_type="grid.case",
        event_id=event["meta"]["event_id"],
        path=path,
        key=key,
    )


def test_a_field_opens_under_the_name_of_who_published_it(
    sealed: tuple[dict[str, Any], FieldKey],
) -> None:
    assert opened(*sealed) == "29.712345,120.212345"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"department": "grid"}, TokenInvalid),
        ({"path": "photo_ref"}, TokenInvalid),
        ({"path": "case_no"}, TokenInvalid),
        ({"path": "mood"}, ContractRefused),
    ],
)
def test_a_field_opens_nowhere_else(
    sealed: tuple[dict[str, Any], FieldKey], changes: dict[str, str], error: type[Exception]
) -> None:
    event, key = sealed
    with pytest.raises(error):
        opened(event, key, **changes)
