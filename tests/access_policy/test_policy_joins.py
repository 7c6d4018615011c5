"""Who may see that two departments speak of one person, and in which views an id is none."""

from __future__ import annotations

from itertools import product

import pytest

from maplebridge.access_policy.plans import KEY_REFS, ViewPlan, at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import BUILT_IN, Rules, parse_rules
from maplebridge.access_policy.view_changes import policy_changes
from maplebridge.access_policy.view_forms import kind_of
from maplebridge.schemas import load_catalogue, load_regions

CATALOGUE = load_catalogue()
REGIONS = load_regions()
HERE = "330681001001"
CASE_WORK = {"county-mediation"}
"""Whose views name cases in clear and persons by pseudonyms: cases are joined there, by design."""
LIMIT = 'unless { context has grant };\n\n@id("l4-needs'
JOIN = """
@id("officers-join")
@doc("A test's officer joins persons.")
permit (principal in Role::"data_officer", action == Action::"join", resource is Field)
when { context.purpose == "audit" };
"""


def rules(*, may_join: bool = False, needs_grant: bool = True) -> Rules:
    texts = [path.read_text("utf-8") for path in sorted(BUILT_IN.glob("*.cedar"))]
    whole = "\n".join(texts) + (JOIN if may_join else "")
    if not needs_grant:
        assert whole.count(LIMIT) == 1
        whole = whole.replace(LIMIT, LIMIT.replace("context has grant", "true"))
    return parse_rules([whole], (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8"))


def form_of_key_refs(policies: Policies) -> str:
    contract = CATALOGUE.get("hotline.order")
    return policies.plan("data-officer", "audit", contract, HERE).forms[KEY_REFS]


def test_nobody_joins_persons_over_departments_without_a_grant() -> None:
    policies = Policies(CATALOGUE, REGIONS)
    for app, consumer in policies.consumers.consumers.items():
        for purpose, contract in product(consumer.purposes, CATALOGUE):
            plan = policies.plan(app, purpose, contract, HERE)
            assert "joined" not in plan.forms.values()


@pytest.mark.parametrize(
    ("may_join", "needs_grant", "form"),
    [
        (False, True, "pseudonym"),
        (False, False, "pseudonym"),
        (True, True, "pseudonym"),
        (True, False, "joined"),
    ],
)
def test_a_join_takes_a_permit_and_a_grant(may_join: bool, needs_grant: bool, form: str) -> None:
    policies = Policies(CATALOGUE, REGIONS, rules=rules(may_join=may_join, needs_grant=needs_grant))
    assert form_of_key_refs(policies) == form


def test_a_join_that_is_newly_permitted_is_told_as_more_seen() -> None:
    """T7."""
    old = Policies(CATALOGUE, REGIONS)
    new = Policies(CATALOGUE, REGIONS, rules=rules(may_join=True, needs_grant=False))
    changes = policy_changes(old, new)
    assert {(each.app, each.path, each.old, each.new, each.effect) for each in changes} == {
        ("data-officer", KEY_REFS, "pseudonym", "joined", "sees")
    }


def test_why_a_person_is_not_joined_is_explained() -> None:
    told = Policies(CATALOGUE, REGIONS).explain(
        "data-officer", "audit", "hotline.order", KEY_REFS, HERE
    )
    steps = {step.action: step.rule for step in told.steps}
    assert steps["join"] == "joins-need-a-grant"
    assert (told.form, told.rule) == ("pseudonym", "data-officer-sees-pseudonyms")


def plans_with_pseudonyms() -> list[ViewPlan]:
    policies = Policies(CATALOGUE, REGIONS)
    return [
        plan
        for app, consumer in policies.consumers.consumers.items()
        for purpose, contract, restricted in product(consumer.purposes, CATALOGUE, (False, True))
        for plan in [policies.plan(app, purpose, contract, HERE, restricted=restricted)]
        if plan.row_allowed and "pseudonym" in plan.forms.values()
    ]


def test_a_view_with_pseudonyms_names_nothing_by_which_two_apps_could_join() -> None:
    """T9: no id, number or key reference in clear, no time finer than the day, nothing sealed."""
    plans = plans_with_pseudonyms()
    assert {plan.app for plan in plans} == {"data-officer", *CASE_WORK}
    for plan in plans:
        if plan.app in CASE_WORK:
            continue
        assert not plan.names_events
        contract = CATALOGUE.get(plan.event_type)
        shown = at_stream(plan).shown()
        clear = {kind_of(contract.field(path)) for path in shown if plan.is_clear(path)}
        assert clear <= {"other", "place"}
        assert not plan.sealed.intersection(shown)


def test_a_sealed_field_is_absent_where_events_are_not_named() -> None:
    """T9: its envelope is the same bytes in every view, and opens with the event's id alone."""
    policies = Policies(CATALOGUE, REGIONS)
    contract = CATALOGUE.get("mediation.case")
    centre = policies.plan("town-mediation", "dispute_resolution", contract, HERE)
    assert at_stream(centre).forms["parties[].name"] == "clear"
    hide = """
@id("no-event-is-named")
@doc("A test's centre does not see which event it is.")
forbid (principal, action == Action::"read_clear", resource is Field)
when { resource.kind == "id" };
"""
    texts = [path.read_text("utf-8") for path in sorted(BUILT_IN.glob("*.cedar"))]
    schema = (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8")
    unnamed = Policies(CATALOGUE, REGIONS, rules=parse_rules([*texts, hide], schema)).plan(
        "town-mediation", "dispute_resolution", contract, HERE
    )
    carried = at_stream(unnamed)
    assert unnamed.forms["parties[].name"] == "clear"
    assert (carried.forms["parties[].name"], carried.rules["parties[].name"]) == (
        "absent",
        "needs-event-id",
    )
    assert not carried.sealed.intersection(carried.shown())
