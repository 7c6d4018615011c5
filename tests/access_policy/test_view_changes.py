"""What consumers gain or lose with a new version, as the policies themselves say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.view_changes import (
    NO_FIELD,
    Side,
    ViewChange,
    community_classes,
    view_changes,
)
from maplebridge.schemas import Contract, load_catalogue, load_regions
from tests.schemas.mutations import field_at, parsed, remove, reworked

CATALOGUE = load_catalogue()
POLICIES = Policies(CATALOGUE, load_regions())
READERS_OF_ORDERS = {
    "town-mediation",
    "city-dashboard",
    "hotline-clerk",
    "grid-worker",
    "emergency-duty",
}
ORDER, MEDIATION = CATALOGUE.get("hotline.order"), CATALOGUE.get("mediation.case")


def between(old: Contract | None, new: Contract | None) -> list[ViewChange]:
    return view_changes(Side(POLICIES, old), Side(POLICIES, new))


def changed(contract: Contract, spoil: Callable[[dict[str, Any]], object]) -> list[ViewChange]:
    schema = reworked(contract)
    spoil(schema)
    return between(contract, parsed(schema))


def told(changes: list[ViewChange]) -> set[tuple[str, str, str]]:
    return {(each.app, each.effect, each.path) for each in changes}


def test_the_same_fields_change_nothing() -> None:
    assert changed(ORDER, lambda schema: None) == []


def test_communities_are_told_apart_by_the_regions_of_consumers() -> None:
    classes = community_classes(POLICIES)
    assert len(classes) == 2
    town = load_regions().within("330681001000")
    assert sum(each in town for each in classes) == 1


def test_a_raised_grade_says_who_loses_the_field_and_by_which_rule() -> None:
    def raised(schema: dict[str, Any]) -> None:
        field_at(schema, "unit")[1]["confluent:tags"] = ["L2"]

    (change,) = changed(ORDER, raised)
    assert (change.app, change.effect, change.path) == ("city-dashboard", "loses", "unit")
    assert (change.old, change.old_rule) == ("clear", "dashboard-reads-what-is-not-sensitive")
    assert (change.new, change.new_rule) == ("absent", "default-deny")
    assert len(change.communities) == 2


def test_a_lowered_grade_says_who_newly_sees_it() -> None:
    def lowered(schema: dict[str, Any]) -> None:
        field_at(schema, "order_no")[1]["confluent:tags"] = ["L1"]

    (change,) = changed(ORDER, lowered)
    assert (change.app, change.effect) == ("city-dashboard", "sees")
    assert change.old_rule == "default-deny"
    assert change.new_rule == "dashboard-reads-what-is-not-sensitive"


def test_sensitive_personal_data_made_personal_is_seen_by_the_town() -> None:
    def lowered(schema: dict[str, Any]) -> None:
        field_at(schema, "agreement_text")[1]["confluent:tags"] = ["L3", "SPI"]

    changes = changed(MEDIATION, lowered)
    assert told(changes) == {("town-mediation", "sees", "agreement_text")}
    assert [each.new_rule for each in changes] == ["mediation-reads-its-cases"]
    # the record that raised its grade stays closed, and so do other towns
    assert [(each.records, len(each.communities)) for each in changes] == [("unrestricted", 1)]


def test_a_field_that_goes_is_lost_by_those_who_saw_it() -> None:
    changes = changed(ORDER, lambda schema: remove(schema, "channel"))
    assert told(changes) == {(app, "loses", "channel") for app in READERS_OF_ORDERS}
    assert {each.new_rule for each in changes} == {NO_FIELD}


@pytest.mark.parametrize(("old", "new", "effect"), [(None, ORDER, "sees"), (ORDER, None, "loses")])
def test_a_contract_that_comes_or_goes_is_told_whole(
    old: Contract | None, new: Contract | None, effect: str
) -> None:
    changes = between(old, new)
    assert {each.effect for each in changes} == {effect}
    assert {each.app for each in changes} == {*READERS_OF_ORDERS, "data-officer"}
