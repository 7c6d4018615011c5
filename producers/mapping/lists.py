"""Rules that fill a list of an event, such as the parties of a case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from maplebridge.errors import EventInvalid
from maplebridge.producers.mapping.cells import Row, text_of
from maplebridge.producers.mapping.paths import Path, follow
from maplebridge.producers.mapping.rules import Positions, Read, Rule

ITEMS_MAX = 1_000


@dataclass(frozen=True)
class Slots:
    """Items from columns that repeat; one whose columns are all empty is left out."""

    items: tuple[Mapping[str, Rule], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(
            column for item in self.items for rule in item.values() for column in rule.columns
        )

    def bind(self, at: Positions) -> Read:
        slots = [
            (
                [at[column] for rule in item.values() for column in rule.columns],
                [(name, rule.bind(at)) for name, rule in item.items()],
            )
            for item in self.items
        ]

        def read(row: Row) -> list[dict[str, Any]]:
            return [
                {name: each(row) for name, each in rules}
                for places, rules in slots
                if not places or any(row[place] != "" for place in places)
            ]

        return read


@dataclass(frozen=True)
class Each:
    """Items from one cell: a JSON array of objects, or a text cut at a separator.

    paths: of an item's columns in the order in which its rules are bound; for a text,
    the one column is the part itself.
    """

    column: str
    split: str
    item: Mapping[str, Rule]
    paths: Mapping[str, Path]

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    def bind(self, at: Positions) -> Read:
        place = at[self.column]
        inside = {name: number for number, name in enumerate(self.paths)}
        rules = [(name, rule.bind(inside)) for name, rule in self.item.items()]
        paths = list(self.paths.values())

        def read(row: Row) -> list[dict[str, Any]]:
            found = []
            for each in self._parts(row[place]):
                cells = [each if self.split else follow(each, path) for path in paths]
                if not cells or any(cell != "" for cell in cells):
                    found.append({name: rule(cells) for name, rule in rules})
            return found

        return read

    def _parts(self, cell: Any) -> list[Any]:
        if cell == "":
            return []
        if self.split:
            try:
                parts: list[Any] = [part.strip() for part in text_of(cell).split(self.split)]
            except ValueError as exc:
                raise EventInvalid(f"{self.column} {exc}", path=self.column) from None
        elif isinstance(cell, list) and all(isinstance(part, dict) for part in cell):
            parts = cell
        else:
            raise EventInvalid(f"{self.column} is not a list of objects", path=self.column)
        if len(parts) > ITEMS_MAX:
            raise EventInvalid(f"{self.column} has more than {ITEMS_MAX:,} items", path=self.column)
        return parts
