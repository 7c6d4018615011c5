"""Contracts: what the files say, and that a grade is part of a contract's identity."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from maplebridge.errors import ContractRefused
from maplebridge.schemas import contracts, load_catalogue, load_code_lists, without_indexes
from maplebridge.schemas.contracts import fingerprint, parse_contract
from tests.frame.shared_data import DOMAIN
from tests.schemas.made_contracts import INLINED, field, schema, text

CATALOGUE = load_catalogue()


def test_nine_departments_publish_and_reactions_warn_and_push() -> None:
    assert {each.event_type: each.department for each in CATALOGUE.published} == {
        "hotline.order": "hotline",
        "hotline.evaluation": "hotline",
        "grid.case": "grid",
        "grid.inspection": "grid",
        "responsibility.task": "grid",
        "snap.report": "citymgt",
        "mediation.case": "justice",
        "mediation.confirmation": "court",
        "civil.assistance": "civil",
        "hall.proposal": "community",
        "org.activity": "community",
        "sensor.alert": "emergency",
        "warning.response": "emergency",
        "service.item": "govsvc",
        "event.retraction": "control",
    }
    for reaction in map(CATALOGUE.get, ("reaction.warning", "reaction.push")):
        assert reaction.topic == reaction.core_topic == f"mb.react.{reaction.event_type}"


def test_control_events_are_known_but_not_consumed() -> None:
    assert {each.event_type for each in CATALOGUE.control} == {
        "policy.grant",
        "erasure.requested", "erasure.completed",
        "schema.graded", "aggregate.released",
    }  # fmt: skip
    for contract in CATALOGUE.control:
        assert contract not in tuple(CATALOGUE)
        assert CATALOGUE.get(contract.event_type) is contract
        assert CATALOGUE.by_fingerprint[contract.fingerprint] is contract
        assert contract.publishers == ("control",)
        assert all(spec.grade <= 2 for spec in contract.fields)


def graded(whole: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, grade and key as the domain writes them) of a contract's proposal."""
    for name, given in whole.items():
        items = given.startswith("array of ") and yaml.safe_load(given.removeprefix("array of "))
        if items:
            yield from graded(items, f"{path}{name}[].")
        else:
            yield f"{path}{name}", given


@pytest.mark.skipif(not DOMAIN.exists(), reason="the domain is not beside the project")
def test_the_contracts_are_those_of_the_domain() -> None:
    domain = yaml.safe_load(DOMAIN.read_text("utf-8"))
    # the steps of grants and of break-glass are transitions of one contract (decision 0017)
    steps = r"^(policy\.grant|breakglass)\..*"
    named = {re.sub(steps, "policy.grant", each) for each in domain["control_events"]}
    # what was released or denied is a leaf of the audit log, as `mb.control.access` has it
    releases = {"access.decrypted", "access.denied"}
    assert {each.event_type for each in CATALOGUE.control} == named - releases
    for event_type, proposed in domain["events"].items():
        contract = CATALOGUE.get(event_type)
        assert contract.department == proposed["department"]
        wanted = dict(graded(proposed["fields"]))
        ours = {
            spec.path: f"L{spec.grade}" + (spec.seal.key[0] if spec.seal else "")
            for spec in contract.fields
            if not spec.path.startswith("meta.")
        }
        assert {path: ours.get(path) for path in wanted} == wanted, event_type
        # what we add is what raises, and the twins it raises into
        rules = [spec.raises for spec in contract.fields if spec.raises]
        added = {each for rule in rules for each in (rule.when, rule.twin)}
        assert set(ours) - set(wanted) <= added, event_type


def test_a_contract_is_shared_like_its_strictest_field() -> None:
    assert (CATALOGUE.get("org.activity").share, CATALOGUE.get("org.activity").open) == (
        "conditional",
        "restricted",
    )
    assert CATALOGUE.get("civil.assistance").open == "prohibited"
    explicit = parse_contract(schema(**{"mb:share": "not_shared"}), INLINED)
    assert (explicit.share, explicit.open) == ("not_shared", "restricted")


def test_a_contract_has_its_topics() -> None:
    contract = CATALOGUE.get("mediation.case")
    assert contract.topic == "mb.dept.justice.mediation.case"
    assert contract.core_topic == "mb.core.mediation.case"
    assert contract.ce_type == "mediation.case.v1"


def test_every_field_has_a_grade_and_what_is_l3_or_higher_is_sealed() -> None:
    for contract in CATALOGUE.everything:
        for spec in contract.fields:
            assert spec.grade in (1, 2, 3, 4), spec.path
            assert (spec.seal is not None) == (spec.grade >= 3), spec.path


def test_every_code_list_that_a_contract_names_is_there() -> None:
    codes = load_code_lists()
    for contract in CATALOGUE:
        for spec in contract.fields:
            assert spec.code_list is None or spec.code_list in codes


def test_fields_inside_lists_are_found_with_an_index() -> None:
    contract = CATALOGUE.get("mediation.case")
    assert without_indexes("parties[12].name") == "parties[].name"
    assert contract.field("parties[3].name") is contract.by_path["parties[].name"]
    with pytest.raises(ContractRefused, match="has no field parties"):
        contract.field("parties[].nothing")


def test_an_unknown_event_type_is_refused_with_those_there_are() -> None:
    with pytest.raises(ContractRefused, match=r"hotline\.order"):
        CATALOGUE.get("hotline.ordre")


@pytest.mark.parametrize("change", ["grade", "doc", "seal"])
def test_any_change_of_a_field_changes_the_fingerprint(change: str) -> None:
    contract = CATALOGUE.get("hotline.order")
    changed: dict[str, Any] = copy.deepcopy(contract.schema)
    (phone,) = (each for each in changed["fields"] if each["name"] == "caller_phone")
    if change == "grade":
        phone["confluent:tags"] = ["L2", "PI"]
    elif change == "doc":
        phone["doc"] += "."
    else:
        phone["mb:seal"]["key"] = "case"
    assert fingerprint(changed) != contract.fingerprint


def test_the_order_of_attributes_does_not_change_the_fingerprint() -> None:
    contract = CATALOGUE.get("hotline.order")
    turned = json.loads(json.dumps(contract.schema), object_pairs_hook=lambda p: dict(reversed(p)))
    assert fingerprint(turned) == contract.fingerprint


def test_two_versions_of_a_contract_are_two_contracts() -> None:
    one = parse_contract(schema(field("note", "L1")), INLINED)
    other = parse_contract(schema(field("note", "L2")), INLINED)
    assert one != other
    assert one.fingerprint != other.fingerprint


def test_a_file_that_is_no_contract_is_refused_by_name(tmp_path: Path) -> None:
    for name, file in contracts.INLINED.items():
        (tmp_path / f"{file}.avsc").write_text(json.dumps(INLINED[name]))
    folder = tmp_path / "test"
    folder.mkdir()
    whole = schema()
    del whole["mb:unit"]
    (folder / "test.thing.v1.avsc").write_text(text(whole))
    with pytest.raises(ContractRefused, match=r"test\.thing\.v1\.avsc.*mb:unit"):
        load_catalogue(tmp_path)


def test_a_catalogue_of_another_folder_is_read(tmp_path: Path) -> None:
    for name, file in contracts.INLINED.items():
        (tmp_path / f"{file}.avsc").write_text(json.dumps(INLINED[name]))
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "test.thing.v1.avsc").write_text(text(schema(field("note", "L2"))))
    (contract,) = load_catalogue(tmp_path)
    assert contract.by_path["note"].grade == 2
    assert contract.by_path["meta.case_ref"].grade == 2
