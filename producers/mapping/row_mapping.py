"""A mapping ready for use: from the rows of a source to the events of a contract."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from maplebridge.errors import EventInvalid, MappingInvalid
from maplebridge.producers.mapping.cells import Row, text_of
from maplebridge.producers.mapping.compiled import compile_event
from maplebridge.producers.mapping.document import Node, did_you_mean
from maplebridge.producers.mapping.event import MappedEvent
from maplebridge.producers.mapping.paths import follow, parse_path
from maplebridge.producers.mapping.rules import Derived, Positions, Rule
from maplebridge.producers.mapping.source import Source
from maplebridge.schemas import Contract
from maplebridge.schemas.contracts import without_indexes


@dataclass(frozen=True)
class EventRules:
    """The rules of one event; transition: empty if it comes from a column."""

    transition: str
    envelope: Mapping[str, Rule]
    fields: Mapping[str, Rule | Derived]

    def column_of(self, path: str) -> str:
        """Return the column that fills a path of the event, or the path if none does."""
        rule: Rule | Derived | None
        if path.startswith("meta."):
            rule = self.envelope.get(path.removeprefix("meta."))
        else:
            rule = self.fields.get(path.partition("[")[0])
        return rule.columns[0] if rule is not None and rule.columns else path


@dataclass(frozen=True)
class RowMapping:
    """One mapping file, read and checked.

    department: who publishes. split: the rows are split into their life-cycle events.
    lines: the columns it names, each with the first place that names it.
    """

    path: Path
    contract: Contract
    department: str
    source: Source
    key: tuple[str, ...]
    purpose: str
    legal_basis: str
    retention: str | None
    backfill: bool
    rules: tuple[EventRules, ...]
    split: bool
    lines: Mapping[str, Node]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the mapping names."""
        return tuple(self.lines)

    def bind(self, header: Sequence[str]) -> BoundMapping:
        """Return the mapping for rows with the columns of `header`.

        Raises MappingInvalid if a column that the mapping names is not there, or is twice.
        """
        for column, node in self.lines.items():
            if column not in header:
                raise node.fault(
                    f"the source has no column {column!r}.", did_you_mean(column, header)
                )
            if list(header).count(column) > 1:
                raise MappingInvalid(
                    f"the source has the column {column!r} twice.", todo="Rename one of them."
                )
        return BoundMapping(self, {name: number for number, name in enumerate(header)})

    @cached_property
    def of_document(self) -> Callable[[Any], list[MappedEvent]]:
        """What makes events of a JSON document, whose members the columns name by paths.

        Raises MappingInvalid if a column is no path.
        """
        paths = []
        for column, node in self.lines.items():
            try:
                paths.append(parse_path(column))
            except ValueError as exc:
                raise node.fault(f"{column!r} is {exc}.") from None
        bound = self.bind(self.columns)
        return lambda document: bound.events([follow(document, path) for path in paths])

    def column_of(self, path: str, *, number: int = 0) -> str:
        """Return the column that fills a path of the event `number`, or the path itself."""
        return self.rules[number].column_of(without_indexes(path))


class BoundMapping:
    """A mapping for rows whose columns stand in known places; pure, used for every row."""

    def __init__(self, mapping: RowMapping, at: Positions) -> None:
        self._keys = [(column, at[column]) for column in mapping.key]
        self._events = [
            compile_event(number, rules.envelope, rules.fields, at, split=mapping.split)
            for number, rules in enumerate(mapping.rules)
        ]
        self._dated = mapping.rules[0].envelope["occurred_at"].columns

    def events(self, row: Row) -> list[MappedEvent]:
        """Return what `row` says; a row without a split says one event.

        Raises EventInvalid whose path is the column at fault and whose reason is a
        sentence for a clerk, without any value of the row.
        """
        key = self._key(row)
        found = [event for each in self._events if (event := each(row, key)) is not None]
        if not found:
            raise EventInvalid(
                "all of its dates are empty: it is not known when it happened", path=self._dated[0]
            )
        return found

    def _key(self, row: Row) -> tuple[str, ...]:
        found = []
        for column, place in self._keys:
            cell = row[place]
            if cell == "":
                raise EventInvalid(
                    f"{column} is empty: the row cannot be told from others", path=column
                )
            if type(cell) is not str:
                cell = _key_text(column, cell)
            found.append(cell)
        return tuple(found)


def _key_text(column: str, cell: Any) -> str:
    try:
        return text_of(cell)
    except ValueError as exc:
        raise EventInvalid(f"{column} {exc}", path=column) from None
