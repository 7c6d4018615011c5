"""Whatever fails in the policy engine, nothing is permitted."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import cedarpy
import pytest

from maplebridge.access_policy.consumers import load_consumers
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import load_rules, parse_rules
from maplebridge.errors import ContractRefused, InputError
from maplebridge.schemas import load_catalogue, load_regions

CATALOGUE = load_catalogue()
REGIONS = load_regions()
CASE = CATALOGUE.get("mediation.case")
COMMUNITY = "330681001001"
ASKED = ("town-mediation", "dispute_resolution", CASE, COMMUNITY)

FOLDER = files("maplebridge.access_policy").joinpath("policies")
SCHEMA = FOLDER.joinpath("maplebridge.cedarschema").read_text("utf-8")


def permits(policies: Policies) -> int:
    """Count everything that is permitted to the three consumers in one community."""
    count = 0
    for app, consumer in policies.consumers.consumers.items():
        for purpose in consumer.purposes:
            for contract in CATALOGUE:
                plan = policies.plan(app, purpose, contract, COMMUNITY)
                count += plan.row_allowed + len(plan.shown())
            for name in policies.grades:
                count += policies.read_model(app, purpose, name, COMMUNITY).allowed
        count += len(policies.subscriptions(app))
    return count


def answer(decision: str, *, reason: tuple[str, ...], errors: tuple[str, ...] = ()) -> Any:
    diagnostics = {"reason": list(reason), "errors": list(errors)}
    return cedarpy.AuthzResult({"decision": decision, "diagnostics": diagnostics})


def raising(*_: Any, **__: Any) -> Any:
    raise ValueError("a fault")


PERMIT = "mediation-reads-its-cases"
FAULTS: dict[str, Callable[..., Any]] = {
    "raises": raising,
    "panics": lambda *_, **__: 1 / 0,
    "answers nothing": lambda *_, **__: [],
    "answers one too few": lambda asked, *_: [answer("Allow", reason=(PERMIT,)) for _ in asked[1:]],
    "answers with an error": lambda asked, *_: [
        answer("Allow", reason=(PERMIT,), errors=("a forbid failed",)) for _ in asked
    ],
    "allows without a reason": lambda asked, *_: [answer("Allow", reason=()) for _ in asked],
    "allows for a forbid": lambda asked, *_: [
        answer("Allow", reason=("l4-needs-a-named-grant",)) for _ in asked
    ],
    "allows for an unknown rule": lambda asked, *_: [
        answer("Allow", reason=("policy0",)) for _ in asked
    ],
    "does not decide": lambda asked, *_: [answer("NoDecision", reason=()) for _ in asked],
    "answers nonsense": lambda asked, *_: [None for _ in asked],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_evaluation_permits_nothing(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """T8: a fault injected where Cedar answers: 0 permits."""
    assert permits(Policies(CATALOGUE, REGIONS)) > 100
    monkeypatch.setattr(cedarpy, "is_authorized_batch", FAULTS[fault])
    assert permits(Policies(CATALOGUE, REGIONS)) == 0


def test_a_fault_in_reading_the_entities_permits_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T8: a fault injected where Cedar reads what it judges: 0 permits."""
    monkeypatch.setattr(cedarpy.Entities, "from_json_str", raising)
    assert permits(Policies(CATALOGUE, REGIONS)) == 0


@pytest.mark.parametrize("nth", range(1, 6))
def test_a_fault_in_the_nth_request_permits_nothing_of_it(
    nth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T8: a fault injected at every step of one plan."""
    whole = Policies(CATALOGUE, REGIONS).plan(*ASKED)
    real, calls = cedarpy.is_authorized_batch, 0

    def failing(*args: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        return raising() if calls == nth else real(*args, **more)

    monkeypatch.setattr(cedarpy, "is_authorized_batch", failing)
    plan = Policies(CATALOGUE, REGIONS).plan(*ASKED)
    assert set(plan.shown()) <= set(whole.shown())
    if nth <= 2:
        assert plan.shown() == ()
        assert set(plan.rules.values()) == {"evaluation-error"}


def test_a_forbid_that_cannot_be_evaluated_denies_all_the_same() -> None:
    """T8: Cedar skips a forbid that errs; here the error itself denies."""
    texts = [
        '@id("all") @doc("d") permit (principal, action, resource);',
        '@id("broken") @doc("d") forbid (principal, action == Action::"read_clear", '
        "resource is Field) when { resource.grade + 9223372036854775807 > 0 };",
    ]
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules(texts, SCHEMA))
    plan = policies.plan(*ASKED)
    assert plan.row_allowed
    assert plan.shown() == ()
    assert set(plan.rules.values()) == {"evaluation-error"}


def test_a_plan_made_in_a_fault_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    policies = Policies(CATALOGUE, REGIONS)
    with monkeypatch.context() as patch:
        patch.setattr(cedarpy, "is_authorized_batch", raising)
        assert policies.plan(*ASKED).shown() == ()
    assert policies.plan(*ASKED).shown() != ()


def test_a_forbid_wins_over_any_permit() -> None:
    """T7: a permit for everything, added to the built-in rules, opens no L4 field."""
    limits = FOLDER.joinpath("00-limits.cedar").read_text("utf-8")
    everything = '@id("all") @doc("d") permit (principal, action, resource);'
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules([limits, everything], SCHEMA))
    plan = policies.plan(*ASKED)
    absent = {path for path, form in plan.forms.items() if form == "absent"}
    assert absent == {spec.path for spec in CASE.fields if spec.grade == 4}
    assert {plan.rules[path] for path in absent} == {"l4-needs-a-named-grant"}


PERMIT_ALL = '@id("{}") @doc("d") permit (principal, action, resource){};'


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["permit (principal, action, resource);"], "@id"),
        (['@id("A b") @doc("d") permit (principal, action, resource);'], "@id"),
        (['@id("default-deny") @doc("d") permit (principal, action, resource);'], "@id"),
        (['@id("a") permit (principal, action, resource);'], "no @doc"),
        (['@id("a") @doc("d") @ask("me") permit (principal, action, resource);'], "@ask"),
        ([PERMIT_ALL.format("a", ""), PERMIT_ALL.format("a", "")], "two policies"),
        ([PERMIT_ALL.format("a", " when { resource.nothing }")], "schema"),
        ([PERMIT_ALL.format("a", " when {")], "parse"),
        (['@id("a") @doc("d") permit (principal == ?principal, action, resource);'], "template"),
        (
            [
                '@id("a") @doc("d") permit (principal, action == Action::"mask", resource) '
                'when { resource.path like "meta.*" };'
            ],
            "path",
        ),
        (
            [
                '@id("a") @doc("d") permit (principal, action == Action::"mask", resource) '
                "when { resource.path == context.purpose };"
            ],
            "no literal",
        ),
    ],
)
def test_a_policy_that_is_not_as_it_should_be_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(ContractRefused, match=message):
        parse_rules(texts, SCHEMA)


def test_the_built_in_policies_fit_their_schema_and_each_says_what_it_does() -> None:
    rules = load_rules()
    assert len(rules.by_id) >= 15
    assert all(rule.doc.endswith(".") for rule in rules.by_id.values())
    assert "meta.key_refs" in rules.named_paths


def test_fields_are_told_apart_by_path_only_where_a_policy_names_them() -> None:
    texts = [
        '@id("rows") @doc("d") permit (principal, action == Action::"subscribe", resource);',
        '@id("one") @doc("d") permit (principal, action == Action::"read_clear", resource) '
        'when { resource.path == "parties[].phone" };',
    ]
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules(texts, SCHEMA))
    assert policies.plan(*ASKED).shown() == ("parties[].phone",)


def test_a_plan_is_memoised_and_travels_between_processes() -> None:
    policies = Policies(CATALOGUE, REGIONS)
    plan = policies.plan(*ASKED)
    assert policies.plan(*ASKED) is plan
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_communities_that_no_rule_tells_apart_share_a_plan_and_others_do_not() -> None:
    texts = [
        '@id("rows") @doc("d") permit (principal, action == Action::"subscribe", resource);',
        '@id("here") @doc("d") permit (principal, action == Action::"read_clear", resource) '
        f'when {{ resource.community == Region::"{COMMUNITY}" }};',
    ]
    policies = Policies(CATALOGUE, REGIONS, rules=parse_rules(texts, SCHEMA))
    here = policies.plan(*ASKED[:3], COMMUNITY)
    beside = policies.plan(*ASKED[:3], "330681001296")
    assert beside is policies.plan(*ASKED[:3], "330681001218")
    assert here.shown() != beside.shown() == ()


def test_consumers_that_are_not_as_they_should_be_are_refused(tmp_path: Any) -> None:
    path = tmp_path / "consumers.yaml"
    path.write_text(json.dumps({"consumers": {"a": {"role": "r"}}, "departments": {}}))
    with pytest.raises(InputError, match=r"consumers\.a\.title"):
        load_consumers(path)
    with pytest.raises(InputError, match="cannot be read"):
        load_consumers(tmp_path / "none.yaml")
