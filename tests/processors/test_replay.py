"""A replay of all causes comes to what the rules say of those that stand."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from maplebridge.processors.replay import compared, warnings
from maplebridge.processors.rule_files import load_rules
from maplebridge.processors.rules import Cause
from maplebridge.projections.standing import Amendment
from tests.processors.made_events import AT, MINUTE, communities, event_id

RULE = load_rules()["urgent-orders"]
PLACE = (communities()[0], "gas")


def made(*minutes: int) -> list[Cause]:
    return [
        Cause(AT + minute * MINUTE, event_id(number), f"n{number}", "hotline")
        for number, minute in enumerate(minutes)
    ]


def said(
    causes: list[Cause], amendments: list[Amendment], threshold: int = 3
) -> dict[tuple[int, int], str]:
    """Return the colour by (minute at which it begins, count)."""
    rule = replace(RULE, threshold=threshold)
    found = warnings({RULE.name: rule}, {RULE.name: {PLACE: causes}}, amendments)
    return {
        ((window.window_from - AT) // MINUTE, window.events): colour
        for window, colour in found.values()
    }


def taken_back(cause: Cause, department: str = "hotline", of: str = "hotline.order") -> Amendment:
    return Amendment(cause.event_id, event_id(900), department, of, "event.retraction")


def test_what_is_taken_back_by_its_own_department_and_type_does_not_count() -> None:
    causes = made(0, 1, 2, 3)
    assert said(causes, []) == {(0, 4): "blue"}
    assert said(causes, [taken_back(causes[0])]) == {(1, 3): "blue"}
    assert said(causes, [taken_back(causes[0], "grid")]) == {(0, 4): "blue"}
    assert said(causes, [taken_back(causes[0], of="sensor.alert")]) == {(0, 4): "blue"}


def test_of_one_number_the_earliest_that_stands_counts() -> None:
    first, *others = made(0, 1, 2)
    again = replace(first, occurred_at=AT + 5 * MINUTE, event_id=event_id(99))
    assert said([again, first, *others], []) == {(0, 3): "blue"}
    assert said([again, first, *others], [taken_back(first)]) == {(1, 3): "blue"}


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_causes_does_not_matter(seed: int) -> None:
    random = Random(seed)
    causes = made(*(random.randrange(0, 90) for _ in range(15)))
    amendments = [taken_back(each) for each in random.sample(causes, 3)]
    expected = said(causes, amendments)
    random.shuffle(causes)
    assert said(causes, amendments) == expected


def test_a_warning_has_two_sides() -> None:
    causes = {RULE.name: {PLACE: made(0, 1, 2, 3, 200, 201, 202)}}
    present = warnings({RULE.name: RULE}, causes, [])
    stricter = replace(RULE, threshold=4, colours=((4, "red"),))
    changed = warnings({RULE.name: stricter}, causes, [])
    assert [each.verdict for each in compared(present, present)] == ["same", "same"]
    assert [each.verdict for each in compared(present, changed)] == ["changed", "gone"]
    assert [each.verdict for each in compared(changed, present)] == ["changed", "new"]
    late = AT + 200 * MINUTE
    assert [each.verdict for each in compared(present, changed, since=late)] == ["gone"]
    assert [each.verdict for each in compared(present, changed, until=late)] == ["changed"]
