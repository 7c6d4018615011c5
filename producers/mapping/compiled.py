"""The rules of an event as straight-line code: one function, written for a source's columns.

Most cells are texts that need no look: they are taken as they are, translated by a
dictionary, or are a day and a time of day that were seen before. For any other cell the
function asks the rule itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from maplebridge.producers.mapping.cells import Row, text_of
from maplebridge.producers.mapping.dates import DateParser
from maplebridge.producers.mapping.event import MappedEvent
from maplebridge.producers.mapping.rules import Const, Derived, Positions, Reading, Rule
from maplebridge.producers.times import EPOCH, MICROSECOND

Make = Callable[[Row, tuple[str, ...]], MappedEvent | None]
"""From a row and its key to one event, None where the row has no date for it."""

_OPTIONAL = ("recorded_at", "case_ref", "grid")
_KNOWN = 4_096
_KNOWN_MAX_CHARS = 200


def compile_event(
    number: int,
    envelope: Mapping[str, Rule],
    fields: Mapping[str, Rule | Derived],
    at: Positions,
    *,
    split: bool,
) -> Make:
    """Return the function of a mapping's event `number`.

    split: a row has several events, so the transition is part of the key.
    """
    code = _Code(at)
    code.read("occurred_at", envelope["occurred_at"])
    code.lines += ["if occurred_at is None:", "    return None"]
    code.read("transition", envelope["transition"])
    values = {name: f"field_{place}" for place, name in enumerate(fields)}
    for name, rule in fields.items():
        code.read(values[name], rule)
    entries = ", ".join(f"{name!r}: {value}" for name, value in values.items())
    code.lines.append(f"fields = {{{entries}}}")
    for name, rule in fields.items():
        if isinstance(rule, Derived):
            function = code.name(rule.function)
            code.lines.append(
                f"{values[name]} = fields[{name!r}] = {function}(fields, occurred_at)"
            )
    code.read("community", envelope["community"])
    for name in _OPTIONAL:
        code.read(name, envelope.get(name, Const(None)))
    said = [code.told(name, name, rule) for name, rule in envelope.items()]
    said += [code.told(name, values[name], rule) for name, rule in fields.items()]
    code.lines.append(f"said = f'{' '.join(said)}'")
    if split:
        code.lines.append("key = (*key, transition)")
    code.lines.append(
        f"return new(event, (key, {number}, fields, community, transition, occurred_at,"
        f" {', '.join(_OPTIONAL)}, said))"
    )
    return code.function()


class _Code:
    """The lines of one function, and what their names stand for."""

    def __init__(self, at: Positions) -> None:
        self.lines: list[str] = []
        self._at = at
        self._names: dict[str, Any] = {
            "event": MappedEvent,
            "new": tuple.__new__,
            "epoch": EPOCH,
            "microsecond": MICROSECOND,
            "told": _told,
        }

    def name(self, what: object) -> str:
        name = f"name_{len(self._names)}"
        self._names[name] = what
        return name

    def read(self, value: str, rule: Rule | Derived) -> None:
        """Add the lines that give `value` what a rule says of `row`."""
        if isinstance(rule, Derived):
            self.lines.append(f"{value} = None")
            return
        if isinstance(rule, Const):
            self.lines.append(f"{value} = {self.name(rule.fixed)}")
            return
        ask = f"{self.name(rule.bind(self._at))}(row)"
        if not isinstance(rule, Reading) or not rule.is_of_one:
            self.lines.append(f"{value} = {ask}")
            return
        cell = f"row[{self._at[rule.columns[0]]}]"
        if rule.codes is not None:
            known = self.name(_Known(rule))
            self.lines.append(f"{value} = {known}[cell] if type(cell := {cell}) is str else {ask}")
        elif rule.change is None and rule.parse is text_of:
            self.lines.append(f"{value} = cell if type(cell := {cell}) is str and cell else {ask}")
        elif rule.change is None and isinstance(rule.parse, DateParser) and rule.parse.separator:
            parser = rule.parse
            self.lines += [
                "try:",
                f"    day, _, time = {cell}.partition({parser.separator!r})",
                f"    {value} = {self.name(parser.days)}[day] + {self.name(parser.times)}[time]",
                "except (AttributeError, KeyError):",
                f"    {value} = {ask}",
            ]
        else:
            self.lines.append(f"{value} = {ask}")

    def told(self, name: str, value: str, rule: Rule | Derived) -> str:
        """Return the part of a format string that tells of a value under its name."""
        if isinstance(rule, Const):
            # what a mapping fixes is not written out for every row
            return f"{name}={{{self.name(repr(rule.fixed))}}}"
        if isinstance(rule, Reading) and isinstance(rule.parse, DateParser):
            return f"{name}={{{value} and ({value} - epoch) // microsecond}}"
        if isinstance(rule, Derived):
            return f"{name}={{told({value})}}"
        return f"{name}={{{value}!r}}"

    def function(self) -> Make:
        # names come from pinned contracts, and each is written as a literal
        exec("\n    ".join(["def make(row, key):", *self.lines]), self._names)  # noqa: S102
        make: Make = self._names["make"]
        return make


def _told(value: object) -> object:
    return (value - EPOCH) // MICROSECOND if isinstance(value, datetime) else value


class _Known(dict[str, Any]):
    """What the texts of a column with codes mean; each is looked up once."""

    def __init__(self, rule: Reading) -> None:
        super().__init__()
        (column,) = rule.columns
        self._read = rule.bind({column: 0})

    def __missing__(self, text: str) -> Any:
        value = self._read((text,))
        if len(text) <= _KNOWN_MAX_CHARS:
            if len(self) >= _KNOWN:
                self.clear()
            self[text] = value
        return value
