"""The decision function and `maplebridge policy authorize`."""

from __future__ import annotations

import io
import json
from itertools import product
from typing import Any

import cedarpy
import pytest

from maplebridge.access_policy.authorize import Request, RowFilter, authorize, read_request
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import BUILT_IN, parse_rules
from maplebridge.cli.app import main
from maplebridge.errors import ContractRefused, InputError
from maplebridge.schemas import load_catalogue, load_regions

CATALOGUE = load_catalogue()
REGIONS = load_regions()
POLICIES = Policies(CATALOGUE, REGIONS)
COMMUNITY = "330681001001"
TOWN: dict[str, Any] = {
    "app": "town-mediation",
    "purpose": "dispute_resolution",
    "resource": "mediation.case",
}


def decided(**request: Any) -> Any:
    return authorize(POLICIES, Request.model_validate(request))


def test_a_decision_says_of_every_field_what_the_view_plan_says() -> None:
    """T6: who decides by the function and who delivers by plans decide alike."""
    consumers = POLICIES.consumers.consumers.items()
    asked = [(app, purpose) for app, each in consumers for purpose in (*each.purposes, "other")]
    for (app, purpose), contract, restricted in product(asked, CATALOGUE, (False, True)):
        plan = POLICIES.plan(app, purpose, contract, COMMUNITY, restricted=restricted)
        told = decided(
            app=app,
            purpose=purpose,
            resource=contract.event_type,
            community=COMMUNITY,
            restricted=restricted,
        )
        assert (told.allowed, told.rule) == (plan.row_allowed, plan.row_rule)
        assert {each.path: each.form for each in told.fields} == plan.forms
        assert {each.path: each.rule for each in told.fields} == plan.rules
        assert [each.path for each in told.fields if each.needs_key] == list(plan.key_paths())
        assert [each.path for each in told.fields if each.ask] == list(plan.ask)


def test_a_decision_without_a_community_is_for_the_apps_own_region() -> None:
    told = decided(**TOWN, fields=["parties[2].name", "agreement_text"])
    assert told.rows == RowFilter("330681001000", restricted=False)
    name, text = sorted(told.fields, key=lambda each: each.path, reverse=True)
    assert (name.path, name.form, name.grade, name.needs_key) == (
        "parties[].name",
        "clear",
        3,
        True,
    )
    assert (text.form, text.rule, text.grade) == ("absent", "l4-needs-a-named-grant", 4)
    assert text.reason.startswith("Sensitive personal data (L4)")
    assert text.ask == "the data officer of the justice bureau"
    assert told.policy_version == POLICIES.version


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"app": "nobody", "community": COMMUNITY}, "unknown-consumer"),
        ({"app": "nobody"}, "unknown-consumer"),
        ({"purpose": "audit"}, "purpose-not-agreed"),
        ({"community": "330681109002"}, "outside-its-region"),
        ({"community": "330681000000"}, "outside-its-region"),
        ({"community": "x"}, "unknown-community"),
        ({"resource": "civil.assistance"}, "default-deny"),
        ({"resource": "audit"}, "default-deny"),
    ],
)
def test_want_of_permission_is_an_answer_with_a_reason(changed: dict[str, Any], rule: str) -> None:
    """T6: unknown app, purpose not agreed, places around it, event types and read models."""
    told = decided(**{**TOWN, **changed})
    assert (told.allowed, told.rows, told.rule) == (False, None, rule)
    assert told.reason
    assert {each.form for each in told.fields} == {"absent"}
    assert all(each.ask and each.reason for each in told.fields)


def test_a_read_model_is_shown_whole_with_the_grade_of_each_field() -> None:
    asked = {"app": "town-mediation", "purpose": "dispute_resolution", "resource": "cases"}
    told = decided(**asked)
    assert told.rows == RowFilter("330681001000", restricted=None)
    assert {each.path: each.grade for each in told.fields} == POLICIES.grades["cases"]
    assert {(each.form, each.rule) for each in told.fields} == {
        ("clear", "mediation-queries-cases")
    }
    one = next(iter(POLICIES.grades["cases"]))
    assert [each.path for each in decided(**asked, fields=[one]).fields] == [one]


@pytest.mark.parametrize("resource", ["mediation.case", "cases"])
def test_a_field_that_is_not_there_is_refused(resource: str) -> None:
    with pytest.raises(ContractRefused, match="unheard_of"):
        decided(**{**TOWN, "resource": resource}, fields=["unheard_of"])


def test_a_region_whose_parts_policies_tell_apart_has_no_one_answer() -> None:
    """T6: an answer for a town would otherwise cover a community that a rule closes."""
    closed = f"""
    @id("closed-community") @doc("This community is closed.")
    forbid (principal, action, resource is Stream)
    when {{ resource.community in Region::"{COMMUNITY}" }};
    """
    texts = [path.read_text("utf-8") for path in sorted(BUILT_IN.glob("*.cedar"))]
    schema = (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8")
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules([*texts, closed], schema))
    with pytest.raises(InputError, match=COMMUNITY):
        authorize(policies, Request(**TOWN))
    rules = {
        code: authorize(policies, Request(**TOWN, community=code)).rule
        for code in (COMMUNITY, "330681001296")
    }
    assert rules == {
        COMMUNITY: "closed-community",
        "330681001296": "mediation-subscribes-to-disputes",
    }


def test_a_read_model_of_a_region_is_refused_where_a_community_of_it_is() -> None:
    """T6: also to who reads its rows, and not to this function alone."""
    community, county = "330681001001", "330681000000"
    closed = f"""
    @id("not-here") @doc("Of one community nothing.")
    forbid (principal is App, action == Action::"query", resource)
    when {{ resource.community in Region::"{community}" }};
    @id("anywhere") @doc("All of the county.")
    permit (principal is App, action == Action::"query", resource);
    """
    schema = (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8")
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules([closed], schema))
    asked = ("emergency-duty", "safety_response", "community_hour_tallies")
    plan = policies.read_model(*asked, county)
    assert (plan.allowed, plan.rule, plan.part) == (False, "not-here", community)
    plan = policies.read_model(*asked, "330681002001")
    assert (plan.allowed, plan.part) == (True, "")
    with pytest.raises(InputError, match=f"show less in {community}"):
        authorize(
            policies,
            Request(app=asked[0], purpose=asked[1], resource=asked[2], community=county),
        )


def test_a_region_in_which_the_apps_own_place_shows_less_has_no_one_answer() -> None:
    """T6."""
    closed = """
    @id("not-at-home") @doc("Nothing of the app's own region.")
    forbid (principal is App, action, resource is Stream)
    when { resource.community in principal.region };
    @id("anywhere") @doc("All of the county.")
    permit (principal is App, action, resource is Stream);
    """
    schema = (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8")
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules([closed], schema))
    with pytest.raises(InputError, match="show less in 330681001"):
        authorize(policies, Request(**TOWN, community="330681000000"))
    assert authorize(policies, Request(**TOWN, community="330681002000")).allowed


def test_a_region_of_which_a_part_shows_more_has_an_answer() -> None:
    """What a grant over a town opens there beside what the county shows is not told of it."""
    more = """
    @id("more-here") @doc("Here all is clear.")
    permit (principal is App, action == Action::"read_clear", resource)
    when { resource.community in Region::"330681001001" };
    """
    texts = [path.read_text("utf-8") for path in sorted(BUILT_IN.glob("*.cedar"))]
    schema = (BUILT_IN / "maplebridge.cedarschema").read_text("utf-8")
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules([*texts, more], schema))
    told = authorize(policies, Request(**TOWN))
    assert told.allowed
    assert told.fields == authorize(Policies(CATALOGUE, REGIONS), Request(**TOWN)).fields


@pytest.mark.parametrize("resource", ["mediation.case", "cases"])
def test_a_fault_in_cedar_is_a_denial(resource: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """T8: the function answers, and permits nothing."""

    def raising(*_: Any) -> Any:
        raise ValueError("a fault")

    monkeypatch.setattr(cedarpy, "is_authorized_batch", raising)
    policies = Policies(CATALOGUE, REGIONS)
    told = authorize(policies, Request(**{**TOWN, "resource": resource}))
    assert (told.allowed, told.rule) == (False, "evaluation-error")
    assert {each.form for each in told.fields} == {"absent"}


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ("{", "document"),
        ("[]", "document"),
        ('{"app": "a", "purpose": "p"}', "resource"),
        ('{"app": "a", "purpose": "p", "resource": "r", "grant": "g"}', "grant"),
        ('{"app": "a", "purpose": "p", "resource": "r", "restricted": "no"}', "restricted"),
        ('{"app": "a", "purpose": "p", "resource": "r", "fields": "kind"}', "fields"),
    ],
)
def test_a_request_that_is_none_is_refused_by_its_part(document: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        read_request(document)


def run(
    request: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, Any]]:
    stdin = io.TextIOWrapper(io.BytesIO(json.dumps(request).encode()))
    monkeypatch.setattr("sys.stdin", stdin)
    with pytest.raises(SystemExit) as ended:
        main(["policy", "authorize", "-", "--json"])
    return int(ended.value.code or 0), json.loads(capsys.readouterr().out)


def test_the_command_prints_the_decision_and_ends_by_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {"app": "data-officer", "purpose": "audit", "resource": "mediation.case"}
    code, told = run({**asked, "fields": ["meta.key_refs"]}, monkeypatch, capsys)
    assert (code, told["allowed"]) == (0, True)
    assert told["rows"] == {"within": "330681000000", "restricted": False}
    (field,) = told["fields"]
    assert (field["form"], field["rule"]) == ("pseudonym", "data-officer-sees-pseudonyms")
    code, told = run({**asked, "purpose": "statistics"}, monkeypatch, capsys)
    assert (code, told["allowed"], told["rows"]) == (4, False, None)
