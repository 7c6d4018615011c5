"""How one field of an event comes from one row of a table: pure, made once, used for every row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from maplebridge.errors import EventInvalid
from maplebridge.producers.mapping.cells import Parse

Row = Mapping[str, str]
"""The cells of a row by column, stripped."""

_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?)?")


@dataclass(frozen=True)
class Target:
    """What a rule fills: a field or a part of the envelope.

    why: said to the clerk when there is nothing to fill it with.
    """

    path: str
    nullable: bool
    why: str


class Rule(Protocol):
    """Gives the value of one target; raises EventInvalid whose path is the column."""

    @property
    def columns(self) -> tuple[str, ...]: ...

    def value(self, row: Row, so_far: Mapping[str, Any]) -> Any: ...


@dataclass(frozen=True)
class Const:
    fixed: Any
    columns: tuple[str, ...] = ()

    def value(self, row: Row, so_far: Mapping[str, Any]) -> Any:
        return self.fixed


@dataclass(frozen=True)
class FromColumns:
    """The first of `columns` that is not empty, parsed, then translated.

    default: for a row in which all are empty. otherwise: for a cell that `codes`
    does not translate. Both are (value,), or () if there is none.
    """

    target: Target
    columns: tuple[str, ...]
    parse: Parse
    codes: Mapping[str, Any] | None
    default: tuple[Any, ...]
    otherwise: tuple[Any, ...]
    required: bool

    def value(self, row: Row, so_far: Mapping[str, Any]) -> Any:
        for column in self.columns:
            if row[column]:
                return self._read(row[column], column)
        if self.default:
            return self.default[0]
        if self.target.nullable and not self.required:
            return None
        raise empty(self.columns, self.target)

    def _read(self, cell: str, column: str) -> Any:
        if self.codes is not None:
            if cell in self.codes:
                return self.codes[cell]
            if self.otherwise:
                return self.otherwise[0]
            raise EventInvalid(
                f"{column} has a value that the mapping does not translate to {self.target.path}",
                path=column,
                todo=f"Correct the cell, or add the value to the codes of {self.target.path}.",
            )
        try:
            return self.parse(cell)
        except ValueError as exc:
            raise EventInvalid(f"{column} {exc}", path=column) from None


@dataclass(frozen=True)
class Template:
    """Texts and columns joined; empty if every column is empty."""

    target: Target
    parts: tuple[tuple[str, str], ...]
    """(text before, column); the last column may be empty: no column."""
    required: bool

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for _, column in self.parts if column)

    def value(self, row: Row, so_far: Mapping[str, Any]) -> Any:
        if not any(row[column] for column in self.columns):
            if self.target.nullable and not self.required:
                return None
            raise empty(self.columns, self.target)
        return "".join(before + (row[column] if column else "") for before, column in self.parts)


@dataclass(frozen=True)
class Derived:
    """Computed from other values by one of a closed set of functions."""

    columns: tuple[str, ...]
    function: Callable[[Row, Mapping[str, Any]], Any]

    def value(self, row: Row, so_far: Mapping[str, Any]) -> Any:
        return self.function(row, so_far)


def empty(columns: tuple[str, ...], target: Target) -> EventInvalid:
    named = " and ".join(columns)
    verb = "is" if len(columns) == 1 else "are"
    return EventInvalid(f"{named} {verb} empty: {target.why}", path=columns[0])


def duration(text: str) -> timedelta:
    """Return the length of an ISO 8601 duration of days, hours and minutes, such as PT2H.

    Raises ValueError if `text` is none.
    """
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        raise ValueError("not a duration of days, hours and minutes")
    days, hours, minutes = (int(each or 0) for each in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes)


def due_at(limits: Mapping[str, timedelta]) -> Callable[[Row, Mapping[str, Any]], datetime | None]:
    """The time limit of the event's urgency after it happened."""

    def function(row: Row, so_far: Mapping[str, Any]) -> datetime | None:
        limit = limits.get(so_far["urgency"])
        moment: datetime = so_far["occurred_at"]
        return None if limit is None else moment + limit

    return function


def is_empty(columns: tuple[str, ...]) -> Callable[[Row, Mapping[str, Any]], bool]:
    """True if all of the columns are empty."""

    def function(row: Row, so_far: Mapping[str, Any]) -> bool:
        return not any(row[column] for column in columns)

    return function
