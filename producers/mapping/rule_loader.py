"""Reading the rules of a mapping: one per field, each checked against what it fills."""

from __future__ import annotations

import string
from collections.abc import Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from maplebridge.producers.mapping.cells import NumberParser, Parse, TruthParser, text_of
from maplebridge.producers.mapping.changes import read_changes
from maplebridge.producers.mapping.dates import FORMS, ISO, DateParser, whole_date
from maplebridge.producers.mapping.document import Node, did_you_mean
from maplebridge.producers.mapping.lookup import read_lookup
from maplebridge.producers.mapping.rules import (
    Const,
    FirstOf,
    IsEmpty,
    Join,
    Reading,
    Rule,
    Template,
)
from maplebridge.producers.mapping.targets import TypedTarget

_READING = ("change", "parse", "codes", "lookup", "default", "otherwise", "required")
_WAYS: Mapping[str, tuple[str, ...]] = {
    "column": ("column", *_READING),
    "columns": ("columns", *_READING),
    "const": ("const",),
    "template": ("template", *_READING),
    "join": ("join", "separator", *_READING),
}
DERIVATIONS = ("due_at", "count", "first_nonempty", "is_empty")
_NATURAL = {"string": "text", "boolean": "bool", "int": "int", "double": "float"}
_FORM = 'Add parse: {date: "%Y-%m-%d %H:%M:%S"}, or {date: iso}.'


class RuleLoader:
    """Makes rules, and notes each column they name with the first place that names it.

    typed: the source may hold real dates, so ISO 8601 is read beside the forms named.
    folder: where tables to look up lie.
    """

    def __init__(self, zone: ZoneInfo, folder: Path, *, typed: bool) -> None:
        self.columns: dict[str, Node] = {}
        self._zone = zone
        self._folder = folder
        self._typed = typed
        self._dates: dict[tuple[str, ...], DateParser] = {}

    def inner(self) -> RuleLoader:
        """Return one for the columns inside an item of a list."""
        return RuleLoader(self._zone, self._folder, typed=self._typed)

    def column(self, node: Node) -> str:
        name = node.text().strip()
        self.columns.setdefault(name, node)
        return name

    def names(self, node: Node) -> tuple[str, ...]:
        found = tuple(self.column(each) for each in node.items())
        if not found:
            raise node.fault("name at least one column.")
        return found

    def rule(self, node: Node, typed: TypedTarget) -> Rule:
        """Raises MappingInvalid if the rule is unknown, or cannot fill its target."""
        if not isinstance(node.data, dict):
            return Const(typed.constant(node))
        if "derive" in node.data:
            return self._derived(node, typed)
        ways = [way for way in _WAYS if way in node.data]
        if len(ways) != 1:
            known = (*_WAYS, "derive", *_READING)
            unknown = next((key for key in node.data if key not in known), "")
            raise node.fault(
                f"give exactly one of {', '.join(_WAYS)}, derive.",
                did_you_mean(unknown, known) if unknown else "",
            )
        entries = node.entries(_WAYS[ways[0]])
        if ways[0] == "const":
            return Const(typed.constant(entries["const"]))
        gather: FirstOf | Template | Join
        if ways[0] == "template":
            gather = Template(self._template(entries["template"]))
        elif ways[0] == "join":
            separator = entries["separator"].text() if "separator" in entries else " "
            gather = Join(self.names(entries["join"]), separator)
        elif ways[0] == "columns":
            gather = FirstOf(self.names(entries["columns"]))
        else:
            gather = FirstOf((self.column(entries["column"]),))
        return self._reading(node, entries, gather, typed)

    def _reading(
        self,
        node: Node,
        entries: Mapping[str, Node],
        gather: FirstOf | Template | Join,
        typed: TypedTarget,
    ) -> Reading:
        table = None
        if "codes" in entries:
            rows = entries["codes"].entries()
            table = {cell.strip(): typed.constant(each) for cell, each in rows.items()}
        if "lookup" in entries:
            if table is not None:
                raise entries["lookup"].fault("give codes or lookup, not both.")
            table = read_lookup(entries["lookup"], self._folder, typed)
        if table is not None and "parse" in entries:
            raise entries["parse"].fault("a column with codes is not parsed.")
        if table is None and "otherwise" in entries:
            raise entries["otherwise"].fault(
                "'otherwise' belongs to codes.", "For empty cells use 'default'."
            )
        joined = isinstance(gather, Template | Join)
        if table is None and joined and typed.allowed is not None:
            raise node.fault(f"{typed.target.path} takes no free text.", "Add codes.")
        return Reading(
            target=typed.target,
            gather=gather,
            parse=text_of if table is not None else self._parse(node, entries, typed),
            change=read_changes(entries["change"]) if "change" in entries else None,
            codes=table,
            default=(typed.constant(entries["default"]),) if "default" in entries else (),
            otherwise=(typed.constant(entries["otherwise"]),) if "otherwise" in entries else (),
            required=entries["required"].truth() if "required" in entries else False,
        )

    def _parse(self, node: Node, entries: Mapping[str, Node], typed: TypedTarget) -> Parse:
        written = entries.get("parse")
        if typed.kind == "time":
            return self._date(node, written, typed)
        natural = _NATURAL[typed.kind]
        options: Mapping[str, Node] = {}
        if written is not None and isinstance(written.data, dict):
            given = written.entries(("date", "text", "int", "float", "bool"))
            if "date" in given:
                raise written.fault(f"{typed.target.path} is not a time.")
            if list(given) != [natural]:
                raise written.fault(f"{typed.target.path} takes {natural}.")
            options = given[natural].entries(
                {"int": ("thousands",), "float": ("thousands", "decimal"),
                 "bool": ("yes", "no")}.get(natural, ())
            )  # fmt: skip
        elif written is not None and written.choice((*_NATURAL.values(), "date")) != natural:
            raise written.fault(f"{typed.target.path} takes {natural}, not {written.text()}.")
        if natural == "text":
            return text_of
        if natural == "bool":
            return _truth(options)
        thousands, decimal = _mark(options, "thousands", ""), _mark(options, "decimal", ".")
        if natural == "float" and thousands == decimal:
            raise options["thousands"].fault("the marks of thousands and decimals must differ.")
        return NumberParser(whole=natural == "int", thousands=thousands, decimal=decimal)

    def _date(self, node: Node, written: Node | None, typed: TypedTarget) -> Parse:
        if written is None:
            raise node.fault(f"{typed.target.path} is a time.", _FORM)
        if isinstance(written.data, dict):
            date = written.entries(("date",)).get("date")
            if date is None:
                raise written.fault("'date' is missing.", _FORM)
            forms = tuple(_form(each) for each in date.items())
            if not forms:
                raise date.fault("name at least one form.", _FORM)
        elif written.text() == "date":
            forms = (ISO,)
        else:
            raise written.fault(f"{typed.target.path} is a time.", _FORM)
        if self._typed and ISO not in forms:
            forms = (*forms, ISO)
        return self._dates.setdefault(forms, DateParser(forms, self._zone))

    def _template(self, node: Node) -> tuple[tuple[str, str], ...]:
        try:
            parts = [
                (before, (name or "").strip())
                for before, name, spec, conversion in string.Formatter().parse(node.text())
                if not _with_format(spec, conversion)
            ]
        except ValueError:
            raise node.fault('columns stand in braces, as in "{STREET} {NUMBER}".') from None
        if not any(column for _, column in parts):
            raise node.fault("no column stands in the template.", "Use const for a fixed text.")
        for _, column in parts:
            if column:
                self.columns.setdefault(column, node)
        return tuple(parts)

    def _derived(self, node: Node, typed: TypedTarget) -> Rule:
        entries = node.entries(("derive", "columns", *_READING))
        name = entries["derive"].choice(DERIVATIONS)
        if name not in ("first_nonempty", "is_empty"):
            raise node.fault(f"{name} cannot fill {typed.target.path}.")
        if "columns" not in entries:
            raise node.fault("'columns' is missing.")
        columns = self.names(entries["columns"])
        if name == "first_nonempty":
            return self._reading(node, entries, FirstOf(columns), typed)
        node.entries(("derive", "columns"))
        if typed.kind != "boolean":
            raise node.fault(f"is_empty gives yes or no; {typed.target.path} takes neither.")
        return IsEmpty(columns)


def _truth(options: Mapping[str, Node]) -> TruthParser:
    if not options:
        return TruthParser()
    words = {
        name: frozenset(each.text().lower() for each in options[name].items())
        for name in ("yes", "no")
        if name in options
    }
    if len(words) < 2:
        raise next(iter(options.values())).fault("give both yes and no.")
    if words["yes"] & words["no"]:
        raise options["no"].fault("a word says both yes and no.")
    return TruthParser(words["yes"], words["no"])


def _mark(options: Mapping[str, Node], name: str, instead: str) -> str:
    if name not in options:
        return instead
    mark = options[name].text()
    if len(mark) != 1 or mark.isalnum() or mark in "+-":
        raise options[name].fault("one mark is needed, such as , or . or a blank.")
    return mark


def _with_format(spec: str | None, conversion: str | None) -> bool:
    if spec or conversion:
        raise ValueError("no format")
    return False


def _form(node: Node) -> str:
    form = node.text()
    if form not in FORMS and "%" not in form:
        raise node.fault(f"{form!r} is not a date form.", _EXAMPLES)
    try:
        whole = whole_date(form)
    except ValueError:
        raise node.fault(f"{form!r} is not a date form.", _EXAMPLES) from None
    if not whole:
        raise node.fault(f"{form!r} holds no whole date.", "It needs year, month and day.")
    return form


_EXAMPLES = "Such as %Y-%m-%d %H:%M:%S or %m/%d/%Y %I:%M:%S %p, or iso, epoch, epoch_ms."
