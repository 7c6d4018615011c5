"""Every policy dropped, and changed in each of its parts: the cases beside them notice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maplebridge.access_policy.cases import load_cases, try_cases
from maplebridge.access_policy.policy import Policies
from maplebridge.schemas import load_catalogue, load_regions
from tests.access_policy.policy_mutations import Policy, built_in, rules_of

CATALOGUE = load_catalogue()
REGIONS = load_regions()
CASES = load_cases()
ROWS = ("subscribe", "query")
SAME_DECISIONS = {
    # a grant is an app's, so nobody else comes with one
    "granted-rows: anyone",
    # each of the two alone keeps a join from who has no grant
    "joins-need-a-grant: dropped",
    "granted-join: no when",
    # content is forbidden before another form of it is asked, and there is no other purpose
    "data-officer-sees-pseudonyms: no when",
    "data-officer-sees-day-and-community: no when",
    # for another purpose there is no row, and there is no other field of which there is a pseudonym
    "county-mediation-sees-pseudonyms: no when",
    # what else could be masked in the rows there are is clear, or sensitive and without a grant
    "county-mediation-sees-persons-masked: no when",
    "grid-worker-sees-callers-masked: no when",
}
"""Changes that change no decision."""


def mutants() -> Iterator[tuple[str, list[Policy]]]:
    """Yield the name of each change and all policies with it."""
    policies = built_in()
    for at, policy in enumerate(policies):
        before, after, name = policies[:at], policies[at + 1 :], policy["annotations"]["id"]
        yield f"{name}: dropped", [*before, *after]
        for change, mutant in changed(policy):
            yield f"{name}: {change}", [*before, mutant, *after]


def changed(policy: Policy) -> Iterator[tuple[str, Policy]]:
    # a field is asked about only after its row, so who may have it is decided there
    if policy["effect"] == "permit" and policy["action"]["entity"]["id"] in ROWS:
        yield "anyone", policy | {"principal": {"op": "All"}}
    for condition in policy["conditions"]:
        kind = condition["kind"]
        rest = [each for each in policy["conditions"] if each is not condition]
        yield f"no {kind}", policy | {"conditions": rest}
        turned = condition | {"kind": "unless" if kind == "when" else "when"}
        yield f"{kind} negated", policy | {"conditions": [*rest, turned]}


MUTANTS = dict(mutants())


def passes(policies: list[Policy], name: str = "") -> bool:
    """Tell whether every case passes; those that a rule of this name decides are tried first."""
    asked = Policies(CATALOGUE, REGIONS, rules=rules_of(policies))
    first = sorted(CASES, key=lambda each: all(case.rule != name for case in each[1].cases))
    if any(try_cases(asked, [each]).failures for each in first):
        return False
    return not try_cases(asked, CASES).untried


def test_policies_written_anew_without_a_change_pass() -> None:
    assert passes(built_in())


@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_policy_fails_a_case(name: str) -> None:
    """T7: each policy dropped, opened to anyone, without a condition, with it negated."""
    rule = name.partition(":")[0]
    assert passes(MUTANTS[name], rule) is (name in SAME_DECISIONS)


def test_what_changes_no_decision_is_still_a_change_there_is() -> None:
    assert set(MUTANTS) >= SAME_DECISIONS
