"""The rules of cases name what contracts and code lists have, and judge every code."""

from __future__ import annotations

from datetime import timedelta

import pytest

from maplebridge.errors import ContractRefused
from maplebridge.schemas import CodeList, CodeLists, load_catalogue, load_code_lists
from maplebridge.schemas.case_rules import CaseRule, LevelByCode, load_case_rules
from maplebridge.schemas.read_models import kind_of

RULES = load_case_rules()
CONTRACTS = {
    each.event_type: each for each in load_catalogue() if kind_of(each) in ("cases", "responses")
}


def test_rules_are_of_event_types_that_make_up_cases() -> None:
    assert set(RULES.event_types) <= set(CONTRACTS)


@pytest.mark.parametrize("event_type", RULES.event_types)
def test_a_rule_names_transitions_fields_codes_and_levels_that_there_are(event_type: str) -> None:
    contract, rule = CONTRACTS[event_type], RULES.of(event_type)
    assert rule.closes | rule.reopens | rule.returns <= set(contract.transitions)
    assert not rule.closes & rule.reopens
    assert not any(contract.transitions[each].first for each in rule.closes | rule.reopens)
    if isinstance(rule.level, LevelByCode):
        assert set(rule.level.codes.values()) <= set(RULES.levels)
        for name in rule.level.fields:
            code_list = contract.by_path[name].code_list
            assert code_list is not None
            assert set(rule.level.codes) == set(load_code_lists().get(code_list).codes)
    elif rule.level is not None:
        assert rule.level in RULES.levels


def test_the_level_is_that_of_the_first_field_that_says_one() -> None:
    rule = RULES.of("mediation.case")
    told = {"centre_level": "village_outpost", "escalated_to": None}
    assert rule.level_of(told) == "community"
    assert rule.level_of(told | {"escalated_to": "county_terminal"}) == "county"
    assert rule.level_of(told | {"centre_level": "nowhere"}) is None


def test_a_type_without_a_rule_tells_nothing() -> None:
    assert RULES.of("civil.assistance") == CaseRule()


def test_the_limits_are_those_of_the_hotline() -> None:
    assert RULES.limits(load_code_lists()) == {
        "emergency": timedelta(hours=2),
        "utility": timedelta(days=1),
        "general": timedelta(days=7),
        "complex": timedelta(days=15),
    }


def test_a_limit_that_is_no_duration_is_refused_by_the_name_of_its_list() -> None:
    lists = CodeLists({"urgency": CodeList("urgency", "here", {"soon": "quite soon"})})
    with pytest.raises(ContractRefused, match="urgency"):
        RULES.limits(lists)
