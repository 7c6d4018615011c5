"""Who sees which field: the policies against a table written without them.

The table below is the agreement with the consumers in plain Python. It
shares no code with the engine; where both say the same for every consumer,
purpose, field, community and record, the policies say what was agreed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from itertools import product

import pytest

from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import load_rules, parse_rules
from maplebridge.schemas import Contract, FieldSpec, load_catalogue, load_regions

CATALOGUE = load_catalogue()
REGIONS = load_regions()

IN_TOWN = ("330681001001", "330681001296")
COMMUNITIES = (
    *IN_TOWN,
    sorted(REGIONS.within("330681109000"))[0],
    sorted(REGIONS.within("330681201000"))[-1],
)
APPS = (
    "town-mediation",
    "city-dashboard",
    "data-officer",
    "hotline-clerk",
    "grid-worker",
    "county-mediation",
    "court-liaison",
    "civil-affairs-worker",
    "emergency-duty",
    "open-data-publisher",
    "researcher",
    "auditor",
    "nobody",
)
PURPOSES = (
    "dispute_resolution",
    "service_improvement",
    "audit",
    "statistics",
    "case_handling",
    "safety_response",
    "",
)
PERSONAL = ("PI", "SPI", "TEXT", "PLACE")
NAMES = ("caller_name", "parties[].name", "proposer_name", "applicant_name")
PHONES = ("caller_phone", "parties[].phone", "reporter_phone")
TOWN, COUNTY = "330681001", "330681"
WHERE_AND_WHAT = {
    ("town-mediation", "dispute_resolution"): (
        TOWN,
        ("mediation.case", "hotline.order", "grid.case", "event.retraction"),
    ),
    ("hotline-clerk", "case_handling"): (
        COUNTY,
        ("hotline.order", "hotline.evaluation", "grid.case", "event.retraction"),
    ),
    ("grid-worker", "case_handling"): (
        TOWN,
        ("grid.case", "grid.inspection", "responsibility.task", "hotline.order",
         "reaction.warning", "reaction.push", "warning.response", "event.retraction"),
    ),
    ("county-mediation", "dispute_resolution"): (
        COUNTY,
        ("mediation.case", "mediation.confirmation", "event.retraction"),
    ),
    ("court-liaison", "dispute_resolution"): (
        COUNTY,
        ("mediation.case", "mediation.confirmation", "event.retraction"),
    ),
    ("civil-affairs-worker", "case_handling"): (
        TOWN,
        ("civil.assistance", "service.item", "event.retraction"),
    ),
    ("emergency-duty", "safety_response"): (
        COUNTY,
        ("sensor.alert", "reaction.warning", "reaction.push", "warning.response",
         "grid.inspection", "grid.case", "hotline.order", "event.retraction"),
    ),
}  # fmt: skip
"""Where an app sees which event types, for those that do not see all."""


def agreed(
    app: str,
    purpose: str,
    contract: Contract,
    spec: FieldSpec,
    community: str,
    restricted: bool,
) -> str:
    """The form that was agreed on, read from the agreement alone."""
    grade, personal = spec.grade, spec.category in PERSONAL
    if restricted and (personal or spec.path in ("meta.key_refs", "dispute_type")):
        grade = 4
    if grade == 4 or not agreed_row(app, purpose, contract, community):
        return "absent"
    about = contract.event_type
    # L1 and L2 without any person, and without the way to one
    impersonal = grade <= 2 and not spec.category and spec.path != "meta.key_refs"
    match (app, purpose):
        case ("town-mediation", _):
            own = about == "mediation.case"
            return "clear" if own or impersonal else "absent"
        case ("hotline-clerk", _):
            own = about in ("hotline.order", "hotline.evaluation")
            return "clear" if own or impersonal else "absent"
        case ("grid-worker", _):
            if about == "hotline.order" and spec.path in (*NAMES, *PHONES):
                return "mask"
            own = about in ("grid.case", "grid.inspection", "responsibility.task")
            return "clear" if own or impersonal else "absent"
        case ("county-mediation", _):
            if spec.path == "meta.key_refs":
                return "pseudonym"
            if spec.path in (*NAMES, *PHONES, "mediator"):
                return "mask"
            return "clear" if impersonal else "absent"
        case ("court-liaison", _):
            if spec.path in NAMES:
                return "mask"
            own = about == "mediation.confirmation"
            return "clear" if own or impersonal else "absent"
        case ("civil-affairs-worker", _):
            return "absent" if spec.path == "meta.key_refs" else "clear"
        case ("emergency-duty", _):
            return "clear" if impersonal or spec.category == "PLACE" else "absent"
        case ("city-dashboard", "service_improvement"):
            if spec.path == "meta.occurred_at":
                return "generalise"
            names_an_event = spec.path in ("meta.corrects", "retracts")
            return "clear" if names_an_event or (grade == 1 and not spec.category) else "absent"
        case ("data-officer", "audit"):
            if not spec.path.startswith("meta."):
                return "absent"
            name = spec.path.removeprefix("meta.")
            if name in ("occurred_at", "recorded_at", "grid"):
                return "generalise"
            linking = name in ("event_id", "case_ref", "corrects", "key_refs")
            return "pseudonym" if linking else "clear"
    return "absent"


@cache
def built_in() -> Policies:
    return Policies(CATALOGUE, REGIONS)


def agreed_row(app: str, purpose: str, contract: Contract, community: str) -> bool:
    """Whether the consumer gets the event at all, read from the agreement alone."""
    match (app, purpose):
        case (str(), str()) if (app, purpose) in WHERE_AND_WHAT:
            place, types = WHERE_AND_WHAT[app, purpose]
            return community.startswith(place) and contract.event_type in types
        case ("city-dashboard", "service_improvement") | ("data-officer", "audit"):
            return community.startswith("330681")
    return False


def differences(policies: Policies) -> Iterator[str]:
    """Every place where the policies and the agreement say different things."""
    for app, purpose, contract, community, restricted in product(
        APPS, PURPOSES, CATALOGUE, COMMUNITIES, (False, True)
    ):
        plan = policies.plan(app, purpose, contract, community, restricted=restricted)
        where = f"{app} {purpose} {contract.event_type} {community} {restricted}"
        if plan.row_allowed != agreed_row(app, purpose, contract, community):
            yield f"{where} row"
        for spec in contract.fields:
            form = agreed(app, purpose, contract, spec, community, restricted)
            if plan.forms[spec.path] != form:
                yield f"{where} {spec.path}"


def test_every_consumer_sees_what_was_agreed_and_nothing_else() -> None:
    """T6: the whole matrix consumer x purpose x field x community, against the table."""
    assert list(differences(built_in())) == []


def test_a_consumer_sees_no_field_of_a_place_it_is_not_responsible_for() -> None:
    """T6: places above, beside and unknown."""
    for community in ("110101001001", "x", ""):
        for contract in CATALOGUE:
            plan = built_in().plan("city-dashboard", "service_improvement", contract, community)
            assert not plan.row_allowed
            assert plan.row_rule == "unknown-community"
            assert plan.shown() == ()


def test_every_community_of_the_county_is_the_dashboards_and_one_towns_the_centres() -> None:
    contract = CATALOGUE.get("mediation.case")
    rows = {
        app: {
            community
            for community in REGIONS.communities
            if built_in().stream(app, purpose, contract, community).allowed
        }
        for app, purpose in (
            ("town-mediation", "dispute_resolution"),
            ("city-dashboard", "service_improvement"),
        )
    }
    assert rows["town-mediation"] == REGIONS.within("330681001000")
    assert rows["city-dashboard"] == REGIONS.communities
    assert len(rows["city-dashboard"]) == 707


def test_the_read_models_are_each_for_those_they_were_agreed_with() -> None:
    """T6: the read models."""
    agreed_models = {
        ("town-mediation", "dispute_resolution"): {"cases"},
        ("city-dashboard", "service_improvement"): {
            "community_hour_tallies",
            "warnings",
            "indicators",
            "maple_bridge_index",
            "village_light",
            "rising_topics",
        },
        ("data-officer", "audit"): {"audit"},
        ("hotline-clerk", "case_handling"): {"cases"},
        ("grid-worker", "case_handling"): {"cases", "warnings"},
        ("county-mediation", "dispute_resolution"): {"cases"},
        ("emergency-duty", "safety_response"): {
            "community_hour_tallies",
            "warnings",
            "warning_outcomes",
        },
        ("auditor", "audit"): {"audit"},
        ("researcher", "statistics"): {"released_tables"},
        ("open-data-publisher", "statistics"): {"released_tables"},
    }
    names = (*built_in().grades, "unheard-of")
    for app in APPS:
        for purpose in PURPOSES:
            allowed = {
                name
                for name in names
                if built_in().read_model(app, purpose, name, IN_TOWN[0]).allowed
            }
            assert allowed == agreed_models.get((app, purpose), set())


def test_only_a_consumer_that_a_policy_permits_has_anything_to_follow() -> None:
    followed = {app: built_in().subscriptions(app) for app in APPS}
    # those who have no topic follow nothing there, whatever they may see
    with_topic = {
        "town-mediation", "city-dashboard", "data-officer", "county-mediation", "court-liaison",
        "civil-affairs-worker", "emergency-duty",
    }  # fmt: skip
    assert {app for app, each in followed.items() if each} == with_topic
    assert {purpose for purpose, _ in followed["data-officer"]} == {"audit"}
    assert {kind for _, kind in followed["town-mediation"]} == {
        "mediation.case",
        "hotline.order",
        "grid.case",
        "event.retraction",
    }


def sources() -> tuple[list[str], str]:
    folder = files("maplebridge.access_policy").joinpath("policies")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".cedar"))
    texts = [folder.joinpath(name).read_text("utf-8") for name in names]
    return texts, folder.joinpath("maplebridge.cedarschema").read_text("utf-8")


MUTATIONS = {
    "the centre reads sensitive personal data": (
        r'resource\.event_type == "mediation.case" &&\s+resource\.grade <= 3',
        'resource.event_type == "mediation.case" && resource.grade <= 3 || resource.grade == 4',
    ),
    "l4 needs no grant": (
        r"(resource\.grade >= 4 \}\s+)unless \{ context has grant \}",
        r"\1unless { true }",
    ),
    "the centre reads persons of other departments": (
        r'(@id\("mediation-reads-what-led-to-a-case"\).*?)'
        r'resource\.grade <= 2 &&\s+resource\.category == "" &&',
        r"\1resource.grade <= 3 &&",
    ),
    "the centre reads key references of other departments": (
        r' &&\s+resource\.path != "meta.key_refs"\s+\};\s+@id\("mediation-queries',
        ' };\n@id("mediation-queries',
    ),
    "the centre reads its cases for any purpose": (
        r'(@id\("mediation-reads-its-cases"\).*?)'
        r'context\.purpose == "dispute_resolution" &&\s+resource\.event_type',
        r"\1resource.event_type",
    ),
    "the centre follows any event": (
        r'context\.purpose == "dispute_resolution" &&\s+\["mediation.case", "hotline.order", '
        r'"grid.case", "event.retraction"\]\.contains\(resource\.event_type\)',
        'context.purpose == "dispute_resolution"',
    ),
    "anyone is a mediation centre": (
        r'(permit \()principal in Role::"mediation_centre", action == Action::"read_clear", '
        r'resource is Field\)(\s+when \{\s+context\.purpose == "dispute_resolution" &&\s+'
        r"resource\.event_type)",
        r'\1principal in Role::"dashboard", action == Action::"read_clear", resource is Field)\2',
    ),
    "places do not count": (
        r"unless \{ resource\.community in principal\.region \|\| context has grant \}",
        "unless { true }",
    ),
    "the dashboard reads a grade more": (r"resource\.grade == 1 &&", "resource.grade <= 2 &&"),
    "the data officer reads content": (
        r'when \{ resource\.part != "meta" \};(.*?)resource\.part == "meta" &&\s',
        r"when { false };\1",
    ),
    "the data officer reads key references": (r'"time", "id", "key"', '"time", "id"'),
    "the data officer reads ids": (r'"time", "id", "key"', '"time", "key"'),
    "the data officer reads times": (r'"time", "id", "key"', '"id", "key"'),
    "a pseudonym of anything": (
        r'(Action::"pseudonym", resource is Field\)\s+'
        r'when \{ context\.purpose == "audit") && resource\.part == "meta"',
        r"\1",
    ),
    "joins need no grant": (
        r'(Action::"join", resource is Field\)\s+)unless \{ context has grant \}',
        r"\1unless { true }",
    ),
    "the centre sees nothing": (
        r'(@id\("mediation-reads-its-cases"\).*?)resource\.grade <= 3\n',
        r"\1resource.grade <= 0\n",
    ),
}

MASKED = {
    # a second rule holds as well, so the matrix cannot tell: defence in depth
    "the centre reads sensitive personal data",
    "the centre reads its cases for any purpose",
    "a pseudonym of anything",
    "joins need no grant",
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_loosened_policy_changes_the_matrix(name: str) -> None:
    """T7: mutations of the policies are caught, unless a second rule holds all the same."""
    old, new = MUTATIONS[name]
    texts, schema = sources()
    whole = "\n".join(texts)
    assert len(re.findall(old, whole, re.DOTALL)) == 1, "the mutation must hit one place"
    loosened = parse_rules([re.sub(old, new, whole, flags=re.DOTALL)], schema)
    caught = any(differences(Policies(CATALOGUE, REGIONS, rules=loosened)))
    assert caught is (name not in MASKED)


def test_two_rules_must_fall_before_sensitive_data_is_seen() -> None:
    """T7: the limit and the permit dropped together are caught."""
    texts, schema = sources()
    whole = "\n".join(texts).replace("unless { context has grant }", "unless { true }")
    whole = re.sub(r"resource\.grade <= 3\n", "resource.grade <= 4\n", whole)
    found = differences(Policies(CATALOGUE, REGIONS, rules=parse_rules([whole], schema)))
    assert any("agreement_text" in each for each in found)


def test_the_built_in_policies_are_versioned_by_content() -> None:
    texts, schema = sources()
    assert load_rules().version == parse_rules(texts, schema).version
    changed = [texts[0].replace("grade >= 4", "grade > 3"), *texts[1:]]
    assert parse_rules(changed, schema).version != load_rules().version
