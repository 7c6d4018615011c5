"""Every contract: an event goes its whole way, without servers and with them."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.plans import at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.processors.views import Projection, is_restricted
from maplebridge.producers.mapping.targets import field_targets
from maplebridge.producers.sealing import EventSealer
from maplebridge.projections.folds import fold_all
from maplebridge.schemas import (
    AvroCodec,
    Contract,
    Event,
    Validator,
    load_catalogue,
    load_code_lists,
    load_regions,
)
from maplebridge.schemas.case_rules import load_case_rules
from tests.producers.every_event import CONTENT, first_step, whole
from tests.producers.orders import COMMUNITY

CATALOGUE, CODES, REGIONS = load_catalogue(), load_code_lists(), load_regions()
POLICIES = Policies(CATALOGUE, REGIONS)
OF_DEPARTMENTS = [each for each in CATALOGUE.published if each.department != "control"]
RESTRICTED = {"mediation.case", "snap.report"}


def named(contract: Contract) -> str:
    return contract.event_type


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[DepartmentKeys]:
    with DepartmentStore(tmp_path / "justice.db", department="justice") as store:
        yield DepartmentKeys(store)


def checked(contract: Contract, **meta: Any) -> Event:
    event = whole(contract, **meta)
    Validator(contract, CODES, REGIONS).check(event)
    return event


def test_there_is_an_event_of_every_contract_but_those_of_reactions() -> None:
    made = {each.event_type for each in (*CATALOGUE.published, *CATALOGUE.control)}
    assert set(CONTENT) == made


@pytest.mark.parametrize("contract", [*CATALOGUE.published, *CATALOGUE.control], ids=named)
def test_an_event_comes_back_as_it_was_sealed(contract: Contract, keys: DepartmentKeys) -> None:
    plain = checked(contract, case_ref="ZJ-1")
    event = copy.deepcopy(plain)
    EventSealer(contract, keys).seal(event)
    codec = AvroCodec(contract.schema, 7)
    assert codec.decode(codec.encode(event)) == event
    sealed = {spec.path for spec in contract.fields if spec.seal}
    for path in sealed:
        array, inside, name = path.partition("[].")
        for record in event[array] if inside else [event]:
            token = record[name or array]
            assert token is None or token.startswith(b"MB\x01")
    told = repr(event)
    for secret in secrets_of(contract, plain):
        assert secret not in told


def secrets_of(contract: Contract, plain: Event) -> list[str]:
    """Return the texts of the plain event that are sealed, or raised."""
    found = []
    for spec in contract.fields:
        rule = spec.raises
        array, inside, name = spec.path.partition("[].")
        for record in plain[array] if inside else [plain]:
            value = record.get(name or array)
            when = rule.when.rpartition(".")[2] if rule else ""
            raised = rule is not None and record[when] in rule.values
            if isinstance(value, str) and (spec.seal or raised):
                found.append(value)
    return found


@pytest.mark.parametrize("contract", OF_DEPARTMENTS, ids=named)
def test_an_event_is_folded_and_shown_as_its_grades_say(
    contract: Contract, keys: DepartmentKeys
) -> None:
    event = checked(contract, case_ref="ZJ-1")
    EventSealer(contract, keys).seal(event)
    change = fold_all([(contract, event)], load_case_rules())
    ((key, count),) = change.tallies.items()
    assert (key[2], key[3], count) == (contract.event_type, first_step(contract), 1)
    assert key[4] == (event[contract.tally] if contract.tally else "")
    assert key[5] == (event[contract.handler] or "" if contract.handler else "")
    assert ("ZJ-1", contract.event_type) in change.parts
    assert is_restricted(contract, event) == (contract.event_type in RESTRICTED)
    for app, purpose in (
        ("city-dashboard", "service_improvement"),
        ("town-mediation", "dispute_resolution"),
        ("data-officer", "audit"),
    ):
        restricted = is_restricted(contract, event)
        plan = POLICIES.plan(app, purpose, contract, COMMUNITY, restricted=restricted)
        shown = Projection.of(at_stream(plan)).fields(event, {})
        grades = {path: spec.grade for path, spec in contract.by_path.items()}
        if app == "city-dashboard":
            # and which event it saw is corrected: an id, which is L1 where it is the event's own
            above = {path for path in shown if grades[path] > 1}
            assert above - {"meta.corrects"} == {"meta.occurred_at"}
            assert shown["meta.occurred_at"] < event["meta"]["occurred_at"]
            assert "meta.community" in shown
        assert not any(grades.get(path, 0) == 4 for path in shown)


@pytest.mark.parametrize("contract", OF_DEPARTMENTS, ids=named)
def test_a_mapping_may_fill_every_field_that_a_caller_gives(contract: Contract) -> None:
    targets = field_targets(contract, CODES)
    twins = {spec.raises.twin for spec in contract.fields if spec.raises}
    given = {
        name for name, value in CONTENT[contract.event_type].items() if type(value) is not list
    }
    assert given <= set(targets)
    assert not twins & set(targets)
