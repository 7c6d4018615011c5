"""How one value of an event comes from one row: pure, made once, bound to a source's columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any, Protocol

from maplebridge.errors import EventInvalid
from maplebridge.producers.mapping.cells import Cell, Parse, Row, text_of
from maplebridge.producers.mapping.changes import Change

Read = Callable[[Row], Any]
"""Gives a value; raises EventInvalid whose path is the column at fault."""

Positions = Mapping[str, int]
"""Where each column stands in a row."""

_KNOWN = 4_096


@dataclass(frozen=True)
class Target:
    """What a rule fills: a field or a part of the envelope.

    why: said to the clerk when there is nothing to fill it with.
    """

    path: str
    nullable: bool
    why: str


class Rule(Protocol):
    """Fills one target from the columns it names."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def bind(self, at: Positions) -> Read: ...


@dataclass(frozen=True)
class Const:
    fixed: Any
    columns: tuple[str, ...] = ()

    def bind(self, at: Positions) -> Read:
        return lambda row: self.fixed


@dataclass(frozen=True)
class Template:
    """Texts and columns in turn: (text before, column); the last column may be empty."""

    parts: tuple[tuple[str, str], ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for _, column in self.parts if column)

    def bind(self, at: Positions) -> Read:
        places = [(before, at[column] if column else None) for before, column in self.parts]
        inside = [place for _, place in places if place is not None]

        def read(row: Row) -> str:
            if all(row[place] == "" for place in inside):
                return ""
            return "".join(
                before if place is None else before + text_of(row[place])
                for before, place in places
            )

        return read


@dataclass(frozen=True)
class Join:
    """The columns that are not empty, with a separator between them."""

    columns: tuple[str, ...]
    separator: str

    def bind(self, at: Positions) -> Read:
        places = [at[column] for column in self.columns]

        def read(row: Row) -> str:
            return self.separator.join(text_of(row[each]) for each in places if row[each] != "")

        return read


@dataclass(frozen=True)
class FirstOf:
    """The first of the columns that is not empty."""

    columns: tuple[str, ...]

    def bind(self, at: Positions) -> Read:
        places = [at[column] for column in self.columns]
        if len(places) == 1:
            return itemgetter(*places)

        def read(row: Row) -> Cell:
            for each in places:
                if row[each] != "":
                    return row[each]
            return ""

        return read


@dataclass(frozen=True)
class Reading:
    """What becomes of a gathered cell: changed, then translated or parsed.

    default: for an empty cell. otherwise: for one that `codes` does not translate.
    Both are (value,), or () if there is none.
    """

    target: Target
    gather: FirstOf | Template | Join
    parse: Parse
    change: Change | None = None
    codes: Mapping[str, Any] | None = None
    default: tuple[Any, ...] = ()
    otherwise: tuple[Any, ...] = ()
    required: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.gather.columns

    @property
    def is_of_one(self) -> bool:
        """True if it reads one column as it stands."""
        return isinstance(self.gather, FirstOf) and len(self.columns) == 1

    def bind(self, at: Positions) -> Read:
        gather, translate, blank = self.gather.bind(at), self._translate(), self._blank

        def read(row: Row) -> Any:
            try:
                cell = gather(row)
                return blank() if cell == "" else translate(cell)
            except ValueError as exc:
                raise self._bad(exc) from None

        return read

    def _translate(self) -> Callable[[Cell], Any]:
        look_up = self.parse if self.codes is None else self._coded(self.codes)
        if self.change is None:
            return look_up
        change, blank = self.change, self._blank

        @lru_cache(_KNOWN)
        def changed(text: str) -> Any:
            text = change(text)
            return look_up(text) if text else blank()

        return lambda cell: changed(text_of(cell))

    def _coded(self, codes: Mapping[str, Any]) -> Callable[[Cell], Any]:
        def look_up(cell: Cell) -> Any:
            text = cell if type(cell) is str else text_of(cell)
            if text in codes:
                return codes[text]
            if self.otherwise:
                return self.otherwise[0]
            raise EventInvalid(
                f"{self.columns[0]} has a value that the mapping does not translate"
                f" to {self.target.path}",
                path=self.columns[0],
                todo=f"Correct the cell, or add the value to the codes of {self.target.path}.",
            )

        return look_up

    def _blank(self) -> Any:
        if self.default:
            return self.default[0]
        if self.target.nullable and not self.required:
            return None
        raise empty(self.columns, self.target)

    def _bad(self, exc: ValueError) -> EventInvalid:
        return EventInvalid(f"{self.columns[0]} {exc}", path=self.columns[0])


@dataclass(frozen=True)
class IsEmpty:
    """True if all of the columns are empty."""

    columns: tuple[str, ...]

    def bind(self, at: Positions) -> Read:
        places = [at[column] for column in self.columns]
        return lambda row: all(row[each] == "" for each in places)


@dataclass(frozen=True)
class Derived:
    """Computed from the event's other fields and its time, by one of a closed set of functions."""

    function: Callable[[Mapping[str, Any], datetime], Any]
    columns: tuple[str, ...] = field(default=())


def empty(columns: tuple[str, ...], target: Target) -> EventInvalid:
    named = " and ".join(columns)
    verb = "is" if len(columns) == 1 else "are"
    return EventInvalid(f"{named} {verb} empty: {target.why}", path=columns[0])


def due_at(limits: Mapping[str, timedelta]) -> Derived:
    """The time limit of the event's urgency after it happened."""

    def function(fields: Mapping[str, Any], occurred_at: datetime) -> datetime | None:
        limit = limits.get(fields.get("urgency", ""))
        return None if limit is None else occurred_at + limit

    return Derived(function)


def count_of(name: str) -> Derived:
    """The number of items in a list field."""
    return Derived(lambda fields, occurred_at: len(fields.get(name, ())))
