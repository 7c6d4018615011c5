"""Why a field is shown or hidden, and what of a plan a stream can carry."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from maplebridge.access_policy.plans import Form, at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import ContractRefused
from maplebridge.schemas import load_catalogue, load_regions

CATALOGUE = load_catalogue()
CASE = CATALOGUE.get("mediation.case")
POLICIES = Policies(CATALOGUE, load_regions())
TOWN = ("town-mediation", "dispute_resolution")
COMMUNITY = "330681001001"


def test_a_hidden_field_names_the_rule_that_hid_it_and_whom_to_ask() -> None:
    why = POLICIES.explain(*TOWN, "mediation.case", "agreement_text", COMMUNITY)
    assert (why.form, why.rule, why.grade) == ("absent", "l4-needs-a-named-grant", 4)
    assert why.ask == "the data officer of the justice bureau"
    text = why.text()
    assert "decided by l4-needs-a-named-grant: Sensitive personal data" in text
    assert "whom to ask: the data officer of the justice bureau" in text
    json.dumps(why.to_dict())


def test_a_shown_field_names_the_rule_that_gave_it() -> None:
    why = POLICIES.explain(*TOWN, "mediation.case", "parties[0].name", COMMUNITY)
    assert (why.form, why.rule) == ("clear", "mediation-reads-its-cases")
    assert why.sealed
    assert "L3, PI, sealed" in why.text()


@pytest.mark.parametrize(
    ("app", "purpose", "community", "rule", "ask"),
    [
        (*TOWN, "330681109201", "outside-its-region", "the head of the town's mediation centre"),
        (
            "town-mediation",
            "audit",
            COMMUNITY,
            "purpose-not-agreed",
            "the head of the town's mediation centre",
        ),
        (
            "nobody",
            "audit",
            COMMUNITY,
            "unknown-consumer",
            "the data officer of the justice bureau",
        ),
        (*TOWN, "x", "unknown-community", "the data officer of the justice bureau"),
    ],
)
def test_a_refused_row_is_explained_before_any_field(
    app: str, purpose: str, community: str, rule: str, ask: str
) -> None:
    """T6: wrong purpose, wrong place, unknown consumer, unknown place."""
    community = community if community != "330681109201" else _first_in("330681109000")
    why = POLICIES.explain(app, purpose, "mediation.case", "kind", community)
    assert (why.form, why.rule, why.ask) == ("absent", rule, ask)


def _first_in(region: str) -> str:
    return min(load_regions().within(region))


def test_a_read_model_is_explained_too() -> None:
    why = POLICIES.explain("city-dashboard", "service_improvement", "cases", "", COMMUNITY)
    assert (why.form, why.rule) == ("absent", "default-deny")
    assert "No rule permits it" in why.text()


def test_a_restricted_record_shows_no_party_and_no_way_to_one() -> None:
    plan = POLICIES.plan(*TOWN, CASE, COMMUNITY, restricted=True)
    for path in ("parties[].name", "parties[].phone", "dispute_type", "meta.key_refs"):
        assert plan.forms[path] == "absent"
        assert plan.rules[path] == "l4-needs-a-named-grant"
        assert plan.grades[path] == 4
    assert plan.is_clear("case_no")


def test_an_explanation_agrees_with_the_plan_for_every_field() -> None:
    for app, consumer in POLICIES.consumers.consumers.items():
        for contract in CATALOGUE:
            plan = POLICIES.plan(app, consumer.purposes[0], contract, COMMUNITY)
            for path, form in plan.forms.items():
                why = POLICIES.explain(
                    app, consumer.purposes[0], contract.event_type, path, COMMUNITY
                )
                assert why.form == form
                assert why.rule == plan.rules[path]
                assert form == "clear" or why.ask == plan.ask[path]


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ContractRefused, match="caller_phone"):
        POLICIES.explain(*TOWN, "hotline.order", "caller_fone", COMMUNITY)


def test_a_stream_carries_no_form_that_needs_the_plain_value() -> None:
    plan = POLICIES.plan(*TOWN, CASE, COMMUNITY)
    assert at_stream(plan) is plan
    forms: dict[str, Form] = {**plan.forms, "parties[].phone": "mask", "mediator": "mask"}
    carried = at_stream(replace(plan, forms=forms))
    assert carried.rules["parties[].phone"] == "needs-plaintext"
    assert "parties[].phone" not in carried.key_paths()
    assert carried.key_paths() == ("parties[].name",)
    # a plain field is masked there like anywhere
    softer = {path for path, form in carried.forms.items() if form in ("generalise", "mask")}
    assert softer == {"mediator"}
