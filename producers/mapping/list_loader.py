"""Reading the rule of a list field: repeated columns, or one cell that holds the items."""

from __future__ import annotations

from collections.abc import Mapping

from maplebridge.producers.mapping.document import Node, did_you_mean
from maplebridge.producers.mapping.lists import Each, Slots
from maplebridge.producers.mapping.paths import parse_path
from maplebridge.producers.mapping.rule_loader import RuleLoader
from maplebridge.producers.mapping.rules import Rule
from maplebridge.producers.mapping.targets import TypedTarget

PART = "part"
"""The one column of an item that is cut out of a text."""


def list_rule(
    node: Node, name: str, targets: Mapping[str, TypedTarget], rules: RuleLoader
) -> Slots | Each:
    """Read `[{role: ..., name: ...}, ...]`, or `{each: COLUMN, item: {...}}`.

    Raises MappingInvalid if it is neither, or an item lacks a field that it needs.
    """
    if isinstance(node.data, list):
        return Slots(tuple(_item(each, name, targets, rules) for each in node.data))
    if not isinstance(node.data, dict):
        raise node.fault("a list of items is needed, or {each: COLUMN, item: {...}}.")
    entries = node.entries(("each", "split", "item"))
    for needed in ("each", "item"):
        if needed not in entries:
            raise node.fault(f"{needed!r} is missing.")
    column = rules.column(entries["each"])
    split = entries["split"].text() if "split" in entries else ""
    inner = rules.inner()
    item = _item(entries["item"], name, targets, inner)
    paths = {}
    for each, where in inner.columns.items():
        if split and each != PART:
            raise where.fault(f"a part of a text has one column, {PART!r}.")
        try:
            paths[each] = parse_path(each)
        except ValueError as exc:
            raise where.fault(f"{each!r} is {exc}.") from None
    return Each(column, split, item, paths)


def _item(
    node: Node, name: str, targets: Mapping[str, TypedTarget], rules: RuleLoader
) -> dict[str, Rule]:
    entries = node.entries()
    for field, child in entries.items():
        if field not in targets:
            raise child.fault(
                f"an item of {name} has no field {field!r}.", did_you_mean(field, targets)
            )
    for field, typed in targets.items():
        if field not in entries and not typed.has_default:
            raise node.fault(f"the field {field!r} is missing; every item needs it.")
    return {
        field: rules.rule(entries[field], typed)
        for field, typed in targets.items()
        if field in entries
    }
