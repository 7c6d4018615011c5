"""Every part of every role's policies changed: the cases beside them or the matrix notice.

The matrix here is that of every purpose, field, read model and kind of record with every purpose
agreed, in a community of the region: what is agreed, the place, the legal basis and grants are
looked at by the limits of all roles alone. A change that changes no decision of it loosens
nothing: it is told apart, not counted as caught.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product

import pytest

from maplebridge.access_policy.cases import load_cases, try_cases
from maplebridge.access_policy.consumers import Consumers, load_consumers
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.rules import Rules
from maplebridge.errors import ContractRefused
from tests.access_policy.policy_mutations import (
    ASKED,
    Policy,
    built_in,
    mutations,
    roles_of,
    rules_of,
)
from tests.access_policy.test_policy_matrix import (
    CATALOGUE,
    COMMUNITIES,
    PURPOSES,
    REGIONS,
    agreed,
    agreed_row,
)

CASES = load_cases()
CONSUMERS = load_consumers()
BASES: dict[str, dict[str, object]] = {"any purpose": {}, "no basis": {"legal_basis": "none"}}
HERE = COMMUNITIES[0]
SAMPLE = 30
CORES = 2

Mutant = tuple[str, str]
"""A policy's id, and the change."""
Decision = tuple[str, ...]
"""Of one consumer, purpose and resource in one place and kind of record: the form of each field."""


@cache
def mutants() -> dict[Mutant, tuple[int, Policy | None]]:
    """Return every change by its name: where the policy stands, and what it becomes."""
    return {
        (policy["annotations"]["id"], change): (at, changed)
        for at, policy in enumerate(built_in())
        # who may erase is no part of the matrix: cases and the coarser changes hold it
        if roles_of(policy) is not None and policy["resource"].get("entity_type", "Field") in ASKED
        for change, changed in mutations(policy)
    }


@cache
def consumers(agreement: str) -> Consumers:
    changed = {
        app: each.model_copy(update={"purposes": PURPOSES} | BASES[agreement])
        for app, each in CONSUMERS.consumers.items()
    }
    return CONSUMERS.model_copy(update={"consumers": changed})


def apps_of(roles: frozenset[str] | None) -> list[str]:
    everyone = CONSUMERS.consumers.items()
    return [app for app, each in everyone if roles is None or each.role in roles]


def fails_a_case(rules: Rules, roles: frozenset[str] | None) -> bool:
    """Tell whether a case of these roles is decided otherwise, or by another rule."""
    touched = [
        (file, group)
        for file, group in CASES
        if roles is None
        or ((group.but and group.but.role) or CONSUMERS.consumers[group.consumer].role) in roles
    ]
    return bool(try_cases(Policies(CATALOGUE, REGIONS, rules=rules), touched).failures)


def decisions(rules: Rules | None, app: str) -> Iterator[Decision]:
    """Yield what policies decide for one app; rules: None for those there are."""
    policies = Policies(CATALOGUE, REGIONS, consumers("any purpose"), rules)
    for purpose in PURPOSES:
        yield tuple(
            str(policies.read_model(app, purpose, name, HERE).allowed) for name in policies.grades
        )
        for contract, restricted in product(CATALOGUE, (False, True)):
            plan = policies.plan(app, purpose, contract, HERE, restricted=restricted)
            yield str(plan.row_allowed), *plan.forms.values()


@cache
def decided(app: str) -> tuple[Decision, ...]:
    return tuple(decisions(None, app))


def changes_a_decision(rules: Rules, roles: frozenset[str] | None) -> bool:
    return any(
        found != before
        for app in apps_of(roles)
        for found, before in zip(decisions(rules, app), decided(app), strict=True)
    )


def fate(name: Mutant) -> str:
    """Tell what becomes of a change: refused, caught by a case or the matrix, or the same."""
    at, changed = mutants()[name]
    policies = built_in()
    roles = roles_of(policies[at], changed)
    policies[at : at + 1] = [] if changed is None else [changed]
    try:
        rules = rules_of(policies)
    except ContractRefused:
        return "refused"
    if fails_a_case(rules, roles):
        return "case"
    return "matrix" if changes_a_decision(rules, roles) else "same"


def must_be_noticed(name: Mutant) -> bool:
    """Tell whether the change must change a decision, whatever the other policies say.

    Who gets the rows of an event or of a read model is said once. A field's policy repeats
    conditions of the one for its rows, so that each can be read by itself: there a condition
    may fall and nothing changes. The policy itself, its effect and its role may not.
    """
    at, _ = mutants()[name]
    whose = built_in()[at]["resource"].get("entity_type")
    change = name[1]
    whole = change in ("dropped", "permit", "forbid") or change.startswith("role ")
    return whole or whose in ("Stream", "ReadModel")


def sampled() -> list[Mutant]:
    """Return some of the changes, the same in every run."""
    return random.Random(20_261_128).sample(sorted(filter(must_be_noticed, mutants())), SAMPLE)


def test_a_change_of_any_part_of_a_policy_is_noticed() -> None:
    """T7: actions, comparisons, literals, sets, roles and effects; some of all that nightly tries.

    Noticed: `policy check` refuses it, a case beside the policies fails, or the matrix differs.
    """
    assert [name for name in sampled() if fate(name) == "same"] == []


@pytest.mark.nightly
@pytest.mark.timeout(7_200)
def test_every_change_of_any_part_of_a_policy_is_noticed() -> None:
    """T7: all changes, one by one; prints what noticed how many, and what changes no decision."""
    with ProcessPoolExecutor(CORES) as cores:
        fates = dict(zip(mutants(), cores.map(fate, mutants(), chunksize=4), strict=True))
    unnoticed = [name for name, told in fates.items() if told == "same"]
    print(f"{len(fates)} changes: {dict(Counter(fates.values()))}; no decision is changed by")
    print("\n".join(f"  {policy}: {change}" for policy, change in unnoticed))
    assert [name for name in unnoticed if must_be_noticed(name)] == []


def test_with_any_purpose_agreed_and_without_a_basis_the_policies_say_what_was_agreed() -> None:
    """T6: what the changes are compared with is the agreement itself."""
    differing = []
    asked = product(CONSUMERS.consumers, PURPOSES, CATALOGUE, (False, True))
    for agreement, (app, purpose, contract, restricted) in product(
        ("any purpose", "no basis"), asked
    ):
        plan = agreement_policies(agreement).plan(
            app, purpose, contract, HERE, restricted=restricted
        )
        if plan.row_allowed != agreed_row(app, purpose, contract, HERE):
            differing.append(f"{agreement} {app} {purpose} {contract.event_type} row")
        for spec in contract.fields:
            form = agreed(app, purpose, contract, spec, HERE, restricted)
            if agreement == "no basis" and spec.grade >= 3:
                form = "absent"
            if plan.forms[spec.path] != form:
                differing.append(f"{agreement} {app} {purpose} {contract.event_type} {spec.path}")
    assert differing == []


@cache
def agreement_policies(agreement: str) -> Policies:
    return Policies(CATALOGUE, REGIONS, consumers(agreement))
