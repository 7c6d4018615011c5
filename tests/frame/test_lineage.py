"""What is declared of warning rules is what their code looks at, and what it makes of it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from maplebridge.processors.rule_files import load_rules
from maplebridge.processors.rules import Cause, Place, Rule
from maplebridge.projections.standing import RETRACTION, amendment_of
from maplebridge.schemas import Contract, Event, load_catalogue, load_code_lists
from maplebridge.schemas.formats import FORMATS
from maplebridge.schemas.read_models import WARNING, load_read_models

DECLARED = load_read_models()
RULES = load_rules()
each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
CONTRACTS = {each.event_type: each for each in load_catalogue()}


class Watched(dict[str, Any]):
    """A record that remembers which of its fields were looked at."""

    def __init__(self, fields: dict[str, Any], seen: set[str], prefix: str = "") -> None:
        super().__init__(fields)
        self._seen, self._prefix = seen, prefix

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if not isinstance(value, Watched):
            self._seen.add(self._prefix + name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            return default
        return self[name]


def made(contract: Contract, seen: set[str], transition: str = "", **changes: Any) -> Watched:
    """An event whose fields hold anything; `changes` are those of its top fields."""
    meta: dict[str, Any] = {
        path.removeprefix("meta."): "1" for path in contract.by_path if "meta." in path
    }
    meta |= {"occurred_at": 1, "backfill": False, "transition": transition}
    top = {path: 1 for path in contract.by_path if "." not in path}
    return Watched({**top, **changes, "meta": Watched(meta, seen, "meta.")}, seen)


def test_every_rule_is_declared_as_it_is_told_and_no_other() -> None:
    declared = {
        name: (each.doc, set(each.causes))
        for name, each in DECLARED.reactions.items()
        if each.makes == WARNING
    }
    assert declared == {
        name: (rule.doc, {rule.event_type, RETRACTION}) for name, rule in RULES.items()
    }


@each_rule
def test_rules_look_at_the_fields_that_are_declared(rule: Rule) -> None:
    seen: set[str] = set()
    codes = {name: min(each) for name, each in rule.where.items()}
    event = made(CONTRACTS[rule.event_type], seen, min(rule.transitions), **codes)
    amendment_of(CONTRACTS[rule.event_type], event)
    assert rule.counted(event) is not None
    assert seen == set(DECLARED.looked_at(CONTRACTS[rule.event_type])[rule.name])


@each_rule
def test_what_takes_an_event_back_is_looked_at_as_declared(rule: Rule) -> None:
    seen: set[str] = set()
    amendment_of(CONTRACTS[RETRACTION], made(CONTRACTS[RETRACTION], seen))
    assert seen == set(DECLARED.looked_at(CONTRACTS[RETRACTION])[rule.name])


Warning_ = dict[str, Any]


def warnings(rule: Rule, events: list[Event]) -> list[Warning_]:
    """Return what the rule says of the events, by the paths of reaction.warning."""
    found: dict[Place, list[Cause]] = defaultdict(list)
    for event in events:
        counted = rule.counted(event)
        if counted is not None:
            found[counted[0]].append(counted[1])
    return [
        {
            "warning_id": rule.warning_id(place, window),
            "meta.community": place[0],
            "category": place[1],
            "severity": rule.severity(window.events),
            "window_from": window.window_from,
            "window_to": window.window_to,
            "meta.occurred_at": window.window_to,
            "events": window.events,
        }
        for place in sorted(found)
        for window in rule.windows(found[place])
    ]


def close_together(rule: Rule, chance: random.Random) -> list[Event]:
    """A few events, close together and mostly of one place."""
    step = rule.window_us * 2 // 15
    found = []
    for _ in range(chance.randrange(rule.threshold, rule.threshold + 8)):
        codes = {name: min(each) for name, each in rule.where.items()}
        event: Event = {
            "meta": {
                "event_id": f"E{chance.randrange(100):02}", "department": "made-up",
                "community": chance.choice(("C1", "C1", "C1", "C2")), "backfill": False,
                "transition": min(rule.transitions), "occurred_at": chance.randrange(24) * step,
            },
            **codes,
        }  # fmt: skip
        if "." not in rule.number:
            event[rule.number] = f"A{chance.randrange(100):02}"
        found.append(event)
    return found


def moved(rule: Rule) -> Iterator[tuple[str, str]]:
    """Yield (field of the warning, path that was changed), where one warning stays one."""
    chance = random.Random(20_261_128)
    for _ in range(4_000):
        before = close_together(rule, chance)
        path = chance.choice(DECLARED.reactions[rule.name].causes[rule.event_type].rows)
        after = deepcopy(before)
        one = chance.randrange(len(before))
        changed = chance.choice((after, after[one : one + 1]))
        other = close_together(rule, chance)[0]
        other["meta"]["backfill"] = True
        other["meta"]["transition"] = "closed"
        codes = sorted(rule.where[rule.split_by])
        other[rule.split_by] = chance.choice((codes[-1], "another"))
        name = path.removeprefix("meta.")
        for event in changed:
            if name == path:
                event[name] = other[name]
            elif name in other["meta"]:
                event["meta"][name] = other["meta"][name]
        old, new = warnings(rule, before), warnings(rule, after)
        if len(old) == len(new) == 1:
            yield from ((field, path) for field in old[0] if old[0][field] != new[0][field])


@each_rule
def test_what_a_rule_makes_moves_with_what_is_declared_and_with_nothing_else(rule: Rule) -> None:
    fold = DECLARED.reactions[rule.name].causes[rule.event_type]
    found = set(moved(rule))
    declared = {(field, path) for field, made_of in fold.columns.items() for path in made_of.all}
    if len(rule.where[rule.split_by]) == 1:
        # it has one value in all that the rule counts, and so cannot be seen to move anything
        declared = {(field, path) for field, path in declared if path != rule.split_by}
    assert declared <= found
    # what decides which events count moves counts and times as well: it is declared of all fields
    assert {path for _, path in found - declared} <= set(fold.rows)
    # which event it is, and the number it is known by, name the warning and no more
    for path in (rule.number, "meta.event_id"):
        assert {field for field, by in found if by == path} == {"warning_id"}


@each_rule
def test_the_contract_of_what_a_rule_makes_has_the_fields_that_are_declared(rule: Rule) -> None:
    reaction = DECLARED.reactions[rule.name]
    content = {path for path in CONTRACTS[reaction.makes].by_path if not path.startswith("meta.")}
    columns = reaction.causes[rule.event_type].columns
    assert content == {each for each in columns if "." not in each}


@each_rule
def test_a_warning_can_carry_every_code_its_rule_may_put_there(rule: Rule) -> None:
    contract = CONTRACTS[rule.event_type]
    listed = load_code_lists().get(contract.by_path[rule.split_by].code_list or "")
    form = FORMATS[CONTRACTS["reaction.warning"].by_path["category"].format or ""]
    assert all(form.pattern.fullmatch(code) for code in listed.codes)


def test_no_table_holds_what_an_erasure_would_have_to_find() -> None:
    """T14: nothing sealed, and of persons random references: a backup brings nothing back."""
    for contract in CONTRACTS.values():
        names = {"mb:tally": contract.tally, "mb:handler": contract.handler}
        for name, table in DECLARED.tables.items():
            for path in table.fold(contract).paths:
                spec = contract.by_path.get(names.get(path, path) or "")
                if spec is not None:
                    assert spec.grade <= 2, (name, contract.event_type, path)
                    assert not spec.seal, (name, contract.event_type, path)
