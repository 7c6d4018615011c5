"""Reading a mapping file: everything that can be wrong with it is found before any row is read."""

from __future__ import annotations

import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from maplebridge.errors import ContractRefused
from maplebridge.producers.mapping.cells import (
    DateParser,
    Parse,
    parse_bool,
    parse_float,
    parse_int,
    parse_text,
)
from maplebridge.producers.mapping.document import Node, did_you_mean, read_document
from maplebridge.producers.mapping.row_mapping import RowMapping
from maplebridge.producers.mapping.rules import (
    Const,
    Derived,
    FromColumns,
    Rule,
    Template,
    due_at,
    duration,
    is_empty,
)
from maplebridge.producers.mapping.source import read_source
from maplebridge.producers.mapping.targets import (
    ENVELOPE_RULES,
    TypedTarget,
    envelope_target,
    field_targets,
)
from maplebridge.schemas import Catalogue, CodeLists, Contract, Regions

_CONSTANTS = ("purpose", "legal_basis")
_TOP = ("version", "event_type", "source", "key", *_CONSTANTS, "retention", "backfill", "fields")
_WAYS = ("column", "const", "template", "derive")
_READING = ("parse", "codes", "default", "otherwise", "required")
_DERIVATIONS = ("due_at", "first_nonempty", "is_empty")
_PARSERS: Mapping[str, Parse] = {
    "text": parse_text,
    "int": parse_int,
    "float": parse_float,
    "bool": parse_bool,
}
_PARSER_OF = {"string": "text", "boolean": "bool", "int": "int", "double": "float"}
_SAMPLE = datetime(2001, 2, 3, 14, 5, 6, tzinfo=UTC)


def load_mapping(
    path: Path, *, catalogue: Catalogue, codes: CodeLists, regions: Regions
) -> RowMapping:
    """Read a mapping file, language version 1 (docs/mapping.md).

    Raises MappingInvalid with file, line and the nearest right name.
    """
    root = read_document(path)
    top = root.entries((*_TOP, *ENVELOPE_RULES))
    for name in ("event_type", "source", "key", *_CONSTANTS, "fields"):
        if name not in top:
            raise root.fault(f"{name!r} is missing.")
    if "version" in top and top["version"].text() != "1":
        raise top["version"].fault("this Maple Bridge reads version 1.")
    contract = _contract(top["event_type"], catalogue)
    source = read_source(top["source"])
    loader = _RuleLoader(contract, codes, regions, ZoneInfo(source.zone))
    return RowMapping(
        path=path,
        contract=contract,
        source=source,
        key=_key(top["key"]),
        purpose=_code(top["purpose"], "purpose", codes),
        legal_basis=_code(top["legal_basis"], "legal_basis", codes),
        retention=top["retention"].text() if "retention" in top else None,
        backfill=top["backfill"].truth() if "backfill" in top else False,
        envelope=loader.envelope(root, top),
        fields=loader.fields(top["fields"]),
        lines=_column_lines(top),
    )


class _RuleLoader:
    """Makes the rules of one mapping."""

    def __init__(
        self, contract: Contract, codes: CodeLists, regions: Regions, zone: ZoneInfo
    ) -> None:
        self._contract = contract
        self._codes = codes
        self._regions = regions
        self._zone = zone

    def envelope(self, root: Node, top: Mapping[str, Node]) -> dict[str, Rule]:
        found: dict[str, Rule] = {}
        for name in ENVELOPE_RULES:
            typed = envelope_target(name, self._contract, self._regions)
            if name in top:
                found[name] = self._rule(top[name], typed)
            elif not typed.target.nullable:
                raise root.fault(f"{name!r} is missing.", f"Say where {name} comes from.")
        return found

    def fields(self, node: Node) -> dict[str, Rule]:
        targets = field_targets(self._contract, self._codes)
        entries = node.entries()
        for name, child in entries.items():
            if name not in targets:
                raise child.fault(
                    f"{self._contract.event_type} has no field {name!r} that a mapping can fill.",
                    did_you_mean(name, targets),
                )
        for name, typed in targets.items():
            if name not in entries and not typed.has_default:
                raise node.fault(f"the field {name!r} is missing; every event needs it.")
        return {name: self._rule(child, targets[name]) for name, child in entries.items()}

    def _rule(self, node: Node, typed: TypedTarget) -> Rule:
        if not isinstance(node.data, dict):
            return Const(typed.constant(node))
        ways = [way for way in _WAYS if way in node.data]
        if len(ways) != 1:
            unknown = next((key for key in node.data if key not in (*_WAYS, *_READING)), "")
            raise node.fault(
                f"give exactly one of {', '.join(_WAYS)}.",
                did_you_mean(unknown, (*_WAYS, *_READING)) if unknown else "",
            )
        if ways[0] == "column":
            entries = node.entries(("column", *_READING))
            return self._from_columns(entries, (entries["column"].text(),), typed)
        if ways[0] == "const":
            return Const(typed.constant(node.entries(("const",))["const"]))
        if ways[0] == "template":
            return self._template(node, typed)
        return self._derived(node, typed)

    def _from_columns(
        self, entries: Mapping[str, Node], columns: tuple[str, ...], typed: TypedTarget
    ) -> FromColumns:
        table = None
        if "codes" in entries:
            rows = entries["codes"].entries()
            table = {cell.strip(): typed.constant(each) for cell, each in rows.items()}
            if "parse" in entries:
                raise entries["parse"].fault("a column with codes is not parsed.")
        elif "otherwise" in entries:
            raise entries["otherwise"].fault(
                "'otherwise' belongs to codes.", "For empty cells use 'default'."
            )
        return FromColumns(
            target=typed.target,
            columns=columns,
            parse=parse_text if table is not None else self._parse(entries, typed),
            codes=table,
            default=(typed.constant(entries["default"]),) if "default" in entries else (),
            otherwise=(typed.constant(entries["otherwise"]),) if "otherwise" in entries else (),
            required=entries["required"].truth() if "required" in entries else False,
        )

    def _parse(self, entries: Mapping[str, Node], typed: TypedTarget) -> Parse:
        node = entries.get("parse")
        if typed.kind == "time":
            if node is None or not isinstance(node.data, dict):
                raise (node or entries.get("column") or next(iter(entries.values()))).fault(
                    f"{typed.target.path} is a time.", 'Add parse: {date: "%Y-%m-%d %H:%M:%S"}.'
                )
            date = node.entries(("date",)).get("date")
            if date is None:
                raise node.fault("'date' is missing.")
            return DateParser(tuple(_format(each) for each in date.items()), self._zone)
        natural = _PARSER_OF[typed.kind]
        if node is None:
            return _PARSERS[natural]
        if isinstance(node.data, dict):
            raise node.fault(f"{typed.target.path} is not a time.")
        if node.choice(_PARSERS) != natural:
            raise node.fault(f"{typed.target.path} takes {natural}, not {node.text()}.")
        return _PARSERS[natural]

    def _template(self, node: Node, typed: TypedTarget) -> Template:
        entries = node.entries(("template", "required"))
        if typed.kind != "string" or typed.allowed is not None:
            raise node.fault(f"{typed.target.path} takes no free text.", "Use column and codes.")
        written = entries["template"]
        try:
            parts = [
                (before, name or "")
                for before, name, spec, conversion in string.Formatter().parse(written.text())
                if not _with_format(spec, conversion)
            ]
        except ValueError:
            raise written.fault('columns stand in braces, as in "{STREET} {NUMBER}".') from None
        if not any(column for _, column in parts):
            raise written.fault("no column stands in the template.", "Use const for a fixed text.")
        required = entries["required"].truth() if "required" in entries else False
        return Template(typed.target, tuple(parts), required)

    def _derived(self, node: Node, typed: TypedTarget) -> Rule:
        entries = node.entries(("derive", "columns", *_READING))
        name = entries["derive"].choice(_DERIVATIONS)
        if name == "due_at":
            return self._due_at(node.entries(("derive",))["derive"], typed)
        if "columns" not in entries:
            raise node.fault("'columns' is missing.")
        columns = tuple(each.text() for each in entries["columns"].items())
        if not columns:
            raise entries["columns"].fault("name at least one column.")
        if name == "first_nonempty":
            return self._from_columns(entries, columns, typed)
        node.entries(("derive", "columns"))
        if typed.kind != "boolean":
            raise node.fault(f"is_empty gives yes or no; {typed.target.path} takes neither.")
        return Derived(columns, is_empty(columns))

    def _due_at(self, node: Node, typed: TypedTarget) -> Rule:
        spec = self._contract.by_path.get("urgency")
        if typed.kind != "time" or spec is None or spec.code_list is None:
            raise node.fault("due_at is the time limit of an urgency; it fills due_at alone.")
        limits: dict[str, timedelta] = {}
        for code, text in self._codes.get(spec.code_list).codes.items():
            limits[code] = duration(text)
        return Derived((), due_at(limits))


def _with_format(spec: str | None, conversion: str | None) -> bool:
    if spec or conversion:
        raise ValueError("no format")
    return False


def _contract(node: Node, catalogue: Catalogue) -> Contract:
    try:
        return catalogue.get(node.text())
    except ContractRefused:
        known = [contract.event_type for contract in catalogue.published]
        raise node.fault(
            f"unknown event type {node.text()!r}.", did_you_mean(node.text(), known)
        ) from None


def _key(node: Node) -> tuple[str, ...]:
    columns = tuple(each.text() for each in node.items())
    if not columns:
        raise node.fault("name the columns that tell one row from another.")
    return columns


def _code(node: Node, name: str, codes: CodeLists) -> str:
    return node.choice(codes.get(name).codes)


def _format(node: Node) -> str:
    form = node.text()
    try:
        again = datetime.strptime(_SAMPLE.strftime(form), form)
    except ValueError:
        raise node.fault(
            f"{form!r} is not a date form.", "Such as %Y-%m-%d %H:%M:%S or %m/%d/%Y %I:%M:%S %p."
        ) from None
    if (again.year, again.month, again.day) != (2001, 2, 3):
        raise node.fault(f"{form!r} holds no whole date.", "It needs year, month and day.")
    return form


def _column_lines(top: Mapping[str, Node]) -> dict[str, Node]:
    """Return, for each column named anywhere, the first place that names it."""
    found: dict[str, Node] = {}

    def visit(node: Node, name: str) -> None:
        if isinstance(node.data, dict):
            if name != "codes":
                for key, child in node.data.items():
                    visit(child, key)
        elif name in ("column", "columns", "key"):
            for each in node.items():
                found.setdefault(each.text(), each)
        elif name == "template":
            for _, column, _, _ in string.Formatter().parse(node.text()):
                if column:
                    found.setdefault(column, node)

    for name, node in top.items():
        visit(node, name)
    return found
