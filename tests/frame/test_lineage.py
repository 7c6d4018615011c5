"""What is declared of warning rules is what their code looks at, and what it makes of it."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest

from maplebridge.processors.rules import EVENT_TYPE, RULE, Order, Place, order_of, windows
from maplebridge.projections.standing import amendment_of
from maplebridge.schemas import Contract, Event, load_catalogue, load_code_lists
from maplebridge.schemas.read_models import load_read_models

DECLARED = load_read_models()
URGENT = load_code_lists().get("hotline_category")
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


def made(contract: Contract, seen: set[str], **changes: Any) -> Watched:
    """An event whose fields hold anything; `changes` are those of its top fields."""
    meta: dict[str, Any] = {
        path.removeprefix("meta."): "1" for path in contract.by_path if "meta." in path
    }
    meta |= {"occurred_at": 1, "backfill": False, "transition": "received"}
    top = {path: 1 for path in contract.by_path if "." not in path}
    return Watched({**top, **changes, "meta": Watched(meta, seen, "meta.")}, seen)


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=list(CONTRACTS))
def test_rules_look_at_the_fields_that_are_declared(contract: Contract) -> None:
    declared = {path for paths in DECLARED.looked_at(contract).values() for path in paths}
    if declared:
        seen: set[str] = set()
        event = made(contract, seen, category="gas")
        amendment_of(contract, event)
        if contract.event_type == EVENT_TYPE:
            assert order_of(event, URGENT) is not None
        assert seen == declared


Warning_ = dict[str, Any]


def warnings(events: list[Event]) -> list[Warning_]:
    """Return what the rule says of the orders, by the paths of reaction.warning."""
    found: dict[Place, list[Order]] = defaultdict(list)
    for event in events:
        counted = order_of(event, URGENT)
        if counted is not None:
            found[counted[0]].append(counted[1])
    return [
        {
            "warning_id": window.warning_id(place),
            "meta.community": place[0],
            "category": place[1],
            "severity": window.severity,
            "window_from": window.window_from,
            "window_to": window.window_to,
            "meta.occurred_at": window.window_to,
            "orders": window.orders,
        }
        for place in sorted(found)
        for window in windows(found[place])
    ]


def orders(chance: random.Random) -> list[Event]:
    """A few orders, close together and mostly of one place."""
    return [
        {
            "meta": {
                "event_id": f"E{chance.randrange(100):02}", "department": "hotline",
                "community": chance.choice(("C1", "C1", "C1", "C2")), "backfill": False,
                "transition": "received", "occurred_at": chance.randrange(24) * 240_000_000,
            },
            "category": "gas", "order_no": f"A{chance.randrange(100):02}",
        }
        for _ in range(chance.randrange(3, 11))
    ]  # fmt: skip


def moved() -> Iterator[tuple[str, str]]:
    """Yield (field of the warning, path that was changed), where one warning stays one."""
    chance = random.Random(20_261_128)
    for _ in range(4_000):
        before = orders(chance)
        path = chance.choice(DECLARED.reactions[RULE].causes[EVENT_TYPE].rows)
        after = deepcopy(before)
        one = chance.randrange(len(before))
        changed = chance.choice((after, after[one : one + 1]))
        other = orders(chance)[0]
        other["meta"]["backfill"] = True
        other["meta"]["transition"] = "closed"
        other["category"] = chance.choice(("fire", "parking"))
        name = path.removeprefix("meta.")
        for event in changed:
            if name == path:
                event[name] = other[name]
            elif name in other["meta"]:
                event["meta"][name] = other["meta"][name]
        old, new = warnings(before), warnings(after)
        if len(old) == len(new) == 1:
            yield from ((field, path) for field in old[0] if old[0][field] != new[0][field])


def test_what_a_rule_makes_moves_with_what_is_declared_and_with_nothing_else() -> None:
    fold = DECLARED.reactions[RULE].causes[EVENT_TYPE]
    found = set(moved())
    declared = {(field, path) for field, made_of in fold.columns.items() for path in made_of.all}
    assert declared <= found
    # what decides which orders count moves counts and times as well: it is declared of all fields
    assert {path for _, path in found - declared} <= set(fold.rows)
    # which event it is, and the number it is known by, name the warning and no more
    for path in ("order_no", "meta.event_id"):
        assert {field for field, by in found if by == path} == {"warning_id"}


def test_the_contract_of_what_a_rule_makes_has_the_fields_that_are_declared() -> None:
    reaction = DECLARED.reactions[RULE]
    content = {path for path in CONTRACTS[reaction.makes].by_path if not path.startswith("meta.")}
    assert content == {each for each in reaction.causes[EVENT_TYPE].columns if "." not in each}
