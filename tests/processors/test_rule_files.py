"""A file of rules is taken as a whole, or refused with the file and the keys that are wrong."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from maplebridge.errors import InputError
from maplebridge.processors.rule_files import load_rules
from maplebridge.processors.rules import Rule

TEXT = files("maplebridge.processors").joinpath("rules.yaml").read_text(encoding="utf-8")
ONE = """
rules:
  noise-at-day:
    doc: Noise
    event_type: hotline.order
    transitions: [received]
    where: {category: [noise, construction]}
    number: order_no
    split_by: category
    window: PT1H30M
    threshold: 4
    severity: {blue: 4, red: 9}
    dwell: PT5M
    quiet_hours: {from: "22:00", to: "06:30", timezone: Asia/Shanghai}
    responsible: {community: c1, town: t1, county: k1, city: s1}
    acknowledge_within: PT20M
"""


def loaded(path: Path, text: str) -> dict[str, Rule]:
    path.write_text(text, encoding="utf-8")
    return dict(load_rules(path))


def test_a_file_gives_its_rules(tmp_path: Path) -> None:
    (rule,) = loaded(tmp_path / "own.yaml", ONE).values()
    assert (rule.name, rule.event_type, rule.number) == (
        "noise-at-day",
        "hotline.order",
        "order_no",
    )
    assert rule.where == {"category": {"noise", "construction"}}
    assert (rule.window_us, rule.dwell_us, rule.threshold) == (5_400_000_000, 300_000_000, 4)
    assert rule.colours == ((9, "red"), (4, "blue"))
    assert rule.quiet is not None
    assert str(rule.quiet.zone) == "Asia/Shanghai"
    assert rule.responsible == {"community": "c1", "town": "t1", "county": "k1", "city": "s1"}
    assert rule.acknowledge_within_us == 1_200_000_000


def test_urgent_stands_for_the_urgent_codes_of_the_list(tmp_path: Path) -> None:
    text = ONE.replace("[noise, construction]", "urgent")
    (rule,) = loaded(tmp_path / "own.yaml", text).values()
    assert rule.where["category"] == {"gas", "fire", "flooding", "power", "water", "lift"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("hotline.order", "hotline.call", "rules.noise-at-day.event_type: no department publishes"),
        ("hotline.order", "reaction.warning", "event_type: no department publishes"),
        ("hotline.order", "event.retraction", "event_type: no department publishes"),
        ("[received]", "[rung]", "transitions: hotline.order has received, "),
        ("[received]", "[]", "rules.noise-at-day.transitions: "),
        ("[noise, construction]", "[nois]", "where.category: its codes are animals, "),
        ("{category: [noise, construction]}", "{channel: urgent}", "has no urgent codes"),
        ("{category: [noise", "{mood: [noise", "where.mood: hotline.order has no field mood"),
        ("{category: [noise", "{content: [noise", "where.content: a field with a code list"),
        ("split_by: category", "split_by: order_no", "split_by: a field with a code list"),
        ("split_by: category", "split_by: caller_name", "split_by: a field with a code list"),
        ("number: order_no", "number: unit", "number: a field that is a text, never null"),
        ("number: order_no", "number: caller_phone", "number: a field that is a text"),
        ("PT1H30M", "90 minutes", "rules.noise-at-day.window: "),
        ("PT1H30M", "PT0M", "rules.noise-at-day.window: "),
        ("threshold: 4", "threshold: 1", "rules.noise-at-day.threshold: "),
        ("threshold: 4", "threshold: '4'", "rules.noise-at-day.threshold: "),
        ("threshold: 4", "threshold: 4\n    level: 2", "rules.noise-at-day.level: "),
        ("blue: 4, red: 9", "blue: 5, red: 9", "severity: the least colour must begin"),
        ("blue: 4, red: 9", "red: 4, blue: 9", "severity: a graver colour needs more"),
        ("blue: 4, red: 9", "pink: 4", "rules.noise-at-day.severity."),
        ("22:00", "24:00", "rules.noise-at-day.quiet_hours.from: "),
        ("Asia/Shanghai", "Asia/Nowhere", "rules.noise-at-day.quiet_hours.timezone: "),
        ("PT20M", "PT0M", "rules.noise-at-day.acknowledge_within: "),
        (", city: s1", "", "rules.noise-at-day.responsible.city: "),
        ("city: s1", "city: '市 应急'", "rules.noise-at-day.responsible.city: "),
        ("noise-at-day:", "Noise At Day:", "rules.Noise At Day."),
        ("    doc: Noise", "    doc: Noise\n    doc: More", "line 5: the key doc stands twice"),
        (ONE, "rules: {}", "rules: "),
        (ONE, "rules: [", "line 1: "),
        (ONE, "", "rules: "),
    ],
)
def test_what_is_wrong_is_told_with_its_key(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(InputError) as refused:
        loaded(tmp_path / "own.yaml", ONE.replace(old, new, 1))
    assert refused.value.message.startswith("own.yaml holds no rules that can be used: ")
    assert told in refused.value.message


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    text = ONE.replace("[received]", "[rung]").replace("number: order_no", "number: none")
    with pytest.raises(InputError, match=r"transitions: .*; rules\.noise-at-day\.number: "):
        loaded(tmp_path / "own.yaml", text)


def test_the_built_in_file_is_taken_from_anywhere(tmp_path: Path) -> None:
    assert loaded(tmp_path / "copy.yaml", TEXT) == load_rules()
