"""What grants open: the policies against a table written without them."""

from __future__ import annotations

from itertools import product

import pytest

from maplebridge.access_policy.grant_log import FixedGrants
from maplebridge.access_policy.grants import GrantedField, Terms
from maplebridge.access_policy.policy import Policies
from maplebridge.schemas import Contract, FieldSpec
from tests.access_policy.test_policy_matrix import (
    APPS,
    CATALOGUE,
    COMMUNITIES,
    PERSONAL,
    PURPOSES,
    REGIONS,
    agreed,
    agreed_row,
    built_in,
)

TYPES = ("mediation.case", "civil.assistance", "sensor.alert", "hotline.order")
TOWN = "330681001000"


def terms_of(app: str, purpose: str, region: str, grade: int) -> Terms:
    """Every other field of every other contract, up to a grade."""
    fields = tuple(
        GrantedField(event_type, spec.path, grade)
        for event_type in TYPES[:3]
        for spec in CATALOGUE.get(event_type).fields[::2]
    )
    return Terms(
        "G-1", app, region, purpose, "statutory_duty", valid_from=0, valid_to=1, fields=fields
    )


def granted(
    terms: Terms,
    purpose: str,
    contract: Contract,
    spec: FieldSpec | None,
    community: str,
    restricted: bool,
) -> bool:
    """Whether the grant opens the field, or the row, read from its terms and the limits alone."""
    if purpose != terms.purpose or purpose == "statistics":
        return False
    if terms.consumer in ("researcher", "open-data-publisher", "nobody"):
        return False
    if terms.region == TOWN and not community.startswith(TOWN[:9]):
        return False
    named = {(each.event_type, each.path): each.grade for each in terms.fields}
    if spec is None:
        return contract.event_type in {event_type for event_type, _ in named}
    personal = spec.category in PERSONAL
    if terms.consumer == "city-dashboard" and spec.category:
        return False
    if terms.consumer == "data-officer" and not spec.path.startswith("meta."):
        return False
    grade = spec.grade
    if restricted and (personal or spec.path in ("meta.key_refs", "dispute_type")):
        grade = 4
    return named.get((contract.event_type, spec.path), 0) >= grade


@pytest.mark.parametrize(
    ("purpose", "region", "grade"),
    [
        ("dispute_resolution", TOWN, 4),
        ("dispute_resolution", TOWN, 3),
        ("safety_response", "330681000000", 4),
        ("statistics", TOWN, 4),
        ("service_improvement", TOWN, 4),
        ("audit", TOWN, 4),
    ],
)
def test_a_grant_opens_what_it_names_and_nothing_else(
    purpose: str, region: str, grade: int
) -> None:
    """T6: consumer x purpose x field x community x record, each app with a grant of its own."""
    wrong = []
    grants = FixedGrants(*(terms_of(app, purpose, region, grade) for app in APPS))
    policies = Policies(CATALOGUE, REGIONS, grants=grants)
    for app, asked, event_type, community, restricted in product(
        APPS, PURPOSES, TYPES, COMMUNITIES, (False, True)
    ):
        contract = CATALOGUE.get(event_type)
        (terms,) = grants.active(app)
        plan = policies.plan(app, asked, contract, community, restricted=restricted)
        row = agreed_row(app, asked, contract, community)
        by_grant = granted(terms, asked, contract, None, community, restricted)
        if plan.row_allowed != (row or by_grant):
            wrong.append(f"{app} {asked} {event_type} {community} row")
        if not row and by_grant:
            assert plan.grants[""] == "G-1"
        for spec in contract.fields:
            form = without_row(app, asked, contract, spec, community, restricted)
            # a sealed field opens with its event's id, so a row that is the grant's has it
            names_row = by_grant and not row and spec.path == "meta.event_id"
            if names_row or granted(terms, asked, contract, spec, community, restricted):
                joins = spec.path == "meta.key_refs" and form != "clear"
                form = "joined" if joins else "clear"
            if plan.forms[spec.path] != form:
                wrong.append(f"{app} {asked} {event_type} {community} {restricted} {spec.path}")
    assert wrong == []


def without_row(
    app: str, purpose: str, contract: Contract, spec: FieldSpec, community: str, restricted: bool
) -> str:
    """The form without the grant: a row that only the grant gives brings nothing else along."""
    if agreed_row(app, purpose, contract, community):
        return agreed(app, purpose, contract, spec, community, restricted)
    return "absent"


def test_another_apps_grant_changes_nothing() -> None:
    """T6."""
    terms = terms_of("town-mediation", "dispute_resolution", TOWN, 4)
    policies = Policies(CATALOGUE, REGIONS, grants=FixedGrants(terms))
    for contract, community in product(CATALOGUE, COMMUNITIES):
        asked = ("county-mediation", "dispute_resolution", contract, community)
        assert policies.plan(*asked) == built_in().plan(*asked)


def test_a_grant_is_told_where_it_decides() -> None:
    terms = terms_of("town-mediation", "safety_response", TOWN, 4)
    policies = Policies(CATALOGUE, REGIONS, grants=FixedGrants(terms))
    path = CATALOGUE.get("sensor.alert").fields[0].path
    asked = ("town-mediation", "safety_response", "sensor.alert", path, COMMUNITIES[0])
    told = policies.explain(*asked)
    assert (told.form, told.rule, told.grant) == ("clear", "granted-field", "G-1")
    assert "under grant G-1" in told.text()
    assert ("safety_response", "sensor.alert") in policies.subscriptions("town-mediation")
    assert ("safety_response", "sensor.alert") not in built_in().subscriptions("town-mediation")
    assert built_in().explain(*asked).grant == ""
