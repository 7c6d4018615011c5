"""Registration: the registry holds nothing that the gate did not pass."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from maplebridge.errors import ContractRefused, RegistryUnavailable
from maplebridge.schemas import Contract, RegistryClient
from maplebridge.schemas.gradings import Grading
from maplebridge.schemas.history import registered
from maplebridge.schemas.ratchet import weakenings
from maplebridge.schemas.registration import register_contracts, subjects_of
from maplebridge.settings import Profile
from tests.schemas import mutations
from tests.schemas.made_contracts import INLINED, field, schema
from tests.schemas.mutations import parsed, reworked


@pytest.fixture(scope="module")
def registry(provisioned: Profile) -> Iterator[RegistryClient]:
    client = RegistryClient(provisioned.registry_url)
    yield client
    client.close()


@pytest.fixture
def contract() -> Contract:
    """A contract that no other test registers."""
    made = schema(
        field("note", "L2"), **{"mb:event_type": f"test.t{uuid4().hex}", "mb:subjects": {}}
    )
    whole = {
        **made,
        "fields": [
            {**each, "type": INLINED.get(str(each["type"]), each["type"])}
            for each in made["fields"][:-1]
        ],
    }
    return parsed(whole)


def versions(registry: RegistryClient, contract: Contract) -> list[int]:
    known = [each for each in subjects_of(contract) if each in registry.subjects()]
    return [each.version for each in registered(registry, known[:1])]


def extended(contract: Contract) -> Contract:
    made = reworked(contract)
    made["fields"].append({**field("more", "L1"), "type": ["null", "string"], "default": None})
    return parsed(made)


def test_versions_that_pass_are_registered_and_repeating_it_changes_nothing(
    registry: RegistryClient, contract: Contract
) -> None:
    second = extended(contract)
    for given in ([contract], [contract], [contract, second], [second, contract], [contract]):
        assert register_contracts(registry, given, tuple) == 2
    assert versions(registry, contract) == [1, 2]
    for subject in subjects_of(contract):
        assert registry.compatibility(subject) == "FULL_TRANSITIVE"


@pytest.mark.parametrize(
    "mutation",
    [
        mutations.remove, mutations.rename, mutations.rename_with_alias,
        mutations.alias_of_a_new_field, mutations.retype, mutations.lower, mutations.drop_tags,
    ],
    ids=lambda each: each.__name__,
)  # fmt: skip
def test_a_weakened_version_is_not_registered(
    registry: RegistryClient, contract: Contract, mutation: mutations.Mutation
) -> None:
    """T16: remove, rename, alias, type change, lowered and dropped tags: all refused."""
    register_contracts(registry, [contract], tuple)
    made = reworked(contract)
    assert mutation(made, "note")
    with pytest.raises(ContractRefused, match=r"note|plain_twin"):
        register_contracts(registry, [parsed(made)], tuple)
    assert versions(registry, contract) == [1]


def test_one_contract_that_fails_keeps_all_out(
    registry: RegistryClient, contract: Contract
) -> None:
    register_contracts(registry, [contract], tuple)
    made = reworked(contract)
    mutations.lower(made, "note")
    other = parsed({**contract.schema, "mb:event_type": f"test.t{uuid4().hex}"})
    with pytest.raises(ContractRefused, match="lowered"):
        register_contracts(registry, [other, parsed(made)], tuple)
    assert versions(registry, other) == []


def test_an_approved_grading_lets_a_version_in(
    registry: RegistryClient, contract: Contract
) -> None:
    register_contracts(registry, [contract], tuple)
    made = reworked(contract)
    mutations.lower(made, "note")
    second = parsed(made)
    changes = frozenset(weakenings(contract, second))
    grading = Grading(contract.event_type, 1, 2, changes, ("S1", "S2"))
    register_contracts(registry, [contract, second], lambda: [grading])
    assert versions(registry, contract) == [1, 2]


def test_what_was_registered_past_the_gate_does_not_become_the_measure(
    registry: RegistryClient, contract: Contract
) -> None:
    """T16: the registry itself takes the lowered grade; the next version is measured by all."""
    register_contracts(registry, [contract], tuple)
    made = reworked(contract)
    mutations.lower(made, "note")
    for subject in subjects_of(contract):
        registry.register(subject, made)
    third = extended(parsed(made))
    with pytest.raises(ContractRefused, match="since v1"):
        register_contracts(registry, [third], tuple)


def test_a_registry_that_is_down_is_told(contract: Contract) -> None:
    """F7: the registry down."""
    with pytest.raises(RegistryUnavailable):
        register_contracts(RegistryClient("http://127.0.0.1:9"), [contract], tuple)
