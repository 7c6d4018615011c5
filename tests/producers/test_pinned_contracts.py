"""A department publishes with contracts that passed the gate, and with no other."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest

from maplebridge.errors import ContractRefused
from maplebridge.producers import Department
from maplebridge.schemas import Catalogue, RegistryClient, load_catalogue
from maplebridge.schemas.codec import schema_id_of
from maplebridge.schemas.contracts import parse_contract
from tests.producers.bus import Bus
from tests.producers.orders import envelope

TYPE = "event.retraction"
TOPIC = "mb.control.event.retraction"
FIELDS = {
    "retracts": "01a20470-98ea-72db-a011-e5a125e6adac",
    "retracts_type": "grid.case",
    "reason": "duplicate",
}
ENVELOPE = envelope(transition="retracted")


def unpinned(attribute: str) -> Catalogue:
    """The built-in catalogue, but for a field of one contract that somebody changed."""
    built_in = load_catalogue()
    contract = built_in.get(TYPE)
    schema = copy.deepcopy(contract.schema)
    (field,) = (each for each in schema["fields"] if each["name"] == "retracts")
    field[attribute] = ["L1"] if attribute == "confluent:tags" else "Another text"
    changed = replace(parse_contract(schema, {}), publishers=contract.publishers)
    rest = (each for each in built_in.contracts if each.event_type != TYPE)
    return replace(built_in, contracts=(*rest, changed))


@pytest.mark.parametrize("attribute", ["confluent:tags", "doc"])
def test_a_contract_that_the_registry_does_not_hold_is_not_published_with(
    bus: Bus, tmp_path: Path, attribute: str
) -> None:
    """T16, F7: a schema that never passed the gate is refused before anything is sent."""
    settings = bus.settings("dept-citymgt", tmp_path)
    since = bus.ends(TOPIC)
    with (
        pytest.raises(ContractRefused, match=TOPIC) as caught,
        Department("citymgt", settings=settings, catalogue=unpinned(attribute)) as department,
    ):
        department.publish(TYPE, FIELDS, **ENVELOPE)
    assert "maplebridge schema register" in caught.value.todo
    assert bus.ends(TOPIC) == since


def test_what_somebody_else_registered_changes_nothing_for_a_department(
    bus: Bus, tmp_path: Path
) -> None:
    """T16: the registry takes a lowered grade; events go on under the pinned contract."""
    registry = RegistryClient(bus.profile.registry_url)
    pinned = load_catalogue().get(TYPE)
    number = registry.id_of(f"{TOPIC}-value", pinned.schema)
    lowered = unpinned("confluent:tags").get(TYPE)
    assert registry.register(f"{TOPIC}-value", lowered.schema) != number
    registry.close()
    since = bus.ends(TOPIC)
    settings = bus.settings("dept-citymgt", tmp_path)
    with Department("citymgt", settings=settings) as department:
        department.publish(TYPE, FIELDS, **ENVELOPE).result(10)
    (record,) = bus.read(TOPIC, since)
    assert schema_id_of(record.value) == number
