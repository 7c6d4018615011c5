"""The relay file: which table is relayed, and what event a row of each `type` is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from maplebridge.errors import AccessDenied, ContractRefused
from maplebridge.producers.mapping import RowMapping, load_mapping
from maplebridge.producers.mapping.document import Node, did_you_mean, read_document
from maplebridge.producers.mapping.paths import Path as PayloadPath
from maplebridge.producers.mapping.paths import parse_path
from maplebridge.schemas import Catalogue, CodeLists, Contract, Regions

COLUMNS = ("id", "aggregatetype", "aggregateid", "type", "payload")
"""The columns of the Debezium outbox event router, by their default names."""
TIMESTAMP = "timestamp"

_TOP = ("version", "department", "table", "role", "columns", "after", "types")
_CONSTANTS = ("transition", "purpose", "legal_basis")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,40}")


@dataclass(frozen=True)
class PlainEvents:
    """Rows whose payload is an event as JSON; constants: for what a payload leaves out."""

    contract: Contract
    constants: Mapping[str, str]


@dataclass(frozen=True)
class MappedEvents:
    """Rows that a mapping makes events of; corrects: where they name the row they correct."""

    mapping: RowMapping
    corrects: PayloadPath | None


@dataclass(frozen=True)
class RelayPlan:
    """One relay file, read and checked.

    columns: the names of the outbox's columns by their default names; `timestamp` only if
    the table has it. after: whether relayed rows stay in the outbox.
    """

    path: Path
    department: str
    schema: str
    table: str
    role: str
    columns: Mapping[str, str]
    after: Literal["keep", "delete"]
    types: Mapping[str, PlainEvents | MappedEvents]


def load_plan(path: Path, *, catalogue: Catalogue, codes: CodeLists, regions: Regions) -> RelayPlan:
    """Read a relay file and the mappings it names (docs/relay.md).

    Raises MappingInvalid with file, line and the nearest right name; AccessDenied if an
    event type is another department's.
    """
    root = read_document(path)
    top = root.entries(_TOP)
    for name in ("department", "types"):
        if name not in top:
            raise root.fault(f"{name!r} is missing.")
    if "version" in top and top["version"].text() != "1":
        raise top["version"].fault("this Maple Bridge reads version 1.")
    department = top["department"].choice(catalogue.departments)
    schema, table = _table(top.get("table"))
    return RelayPlan(
        path=path,
        department=department,
        schema=schema,
        table=table,
        role=_name(top["role"]) if "role" in top else "maplebridge_relay",
        columns=_columns(top.get("columns")),
        after=cast(
            Literal["keep", "delete"],
            top["after"].choice(("keep", "delete")) if "after" in top else "keep",
        ),
        types=_Types(path.parent, department, catalogue, codes, regions).read(top["types"]),
    )


@dataclass(frozen=True)
class _Types:
    folder: Path
    department: str
    catalogue: Catalogue
    codes: CodeLists
    regions: Regions

    def read(self, node: Node) -> dict[str, PlainEvents | MappedEvents]:
        entries = node.entries()
        if not entries:
            raise node.fault("name at least one value of the column `type`.")
        return {name: self._one(child) for name, child in entries.items()}

    def _one(self, node: Node) -> PlainEvents | MappedEvents:
        entries = node.entries(("mapping", "corrects", "event_type", *_CONSTANTS))
        if "mapping" in entries:
            node.entries(("mapping", "corrects"))
            mapping = load_mapping(
                self.folder / entries["mapping"].text(),
                catalogue=self.catalogue,
                codes=self.codes,
                regions=self.regions,
            )
            self._own(mapping.contract)
            return MappedEvents(mapping, _path(entries.get("corrects")))
        if "corrects" in entries:
            raise entries["corrects"].fault(
                "a payload that is an event says itself what it corrects."
            )
        if "event_type" not in entries:
            raise node.fault("give `mapping`, or `event_type` for payloads that are events.")
        contract = self._contract(entries["event_type"])
        return PlainEvents(contract, self._constants(entries, contract))

    def _constants(self, entries: Mapping[str, Node], contract: Contract) -> dict[str, str]:
        known = {
            "transition": tuple(contract.transitions),
            "purpose": tuple(self.codes.get("purpose").codes),
            "legal_basis": tuple(self.codes.get("legal_basis").codes),
        }
        return {name: entries[name].choice(known[name]) for name in _CONSTANTS if name in entries}

    def _contract(self, node: Node) -> Contract:
        try:
            contract = self.catalogue.get(node.text())
        except ContractRefused:
            known = [each.event_type for each in self.catalogue.published_by(self.department)]
            raise node.fault("unknown event type.", did_you_mean(node.text(), known)) from None
        self._own(contract)
        return contract

    def _own(self, contract: Contract) -> None:
        if self.department not in contract.publishers:
            raise AccessDenied(
                f"{contract.event_type} is published by {', '.join(contract.publishers)},"
                f" not by {self.department}.",
                rule="own-department",
                todo="Relay the department's own event types.",
            )


def _path(node: Node | None) -> PayloadPath | None:
    if node is None:
        return None
    try:
        return parse_path(node.text())
    except ValueError as exc:
        raise node.fault(f"{node.text()!r} is {exc}.") from None


def _columns(node: Node | None) -> dict[str, str]:
    renamed = node.entries((*COLUMNS, TIMESTAMP)) if node else {}
    found = {name: name for name in COLUMNS}
    return found | {name: _name(child) for name, child in renamed.items()}


def _table(node: Node | None) -> tuple[str, str]:
    if node is None:
        return "public", "outbox"
    schema, _, table = node.text().rpartition(".")
    for name in (schema or "public", table):
        if not _NAME.fullmatch(name):
            raise node.fault("a table is needed, such as outbox or sales.outbox.")
    return schema or "public", table


def _name(node: Node) -> str:
    if not _NAME.fullmatch(node.text()):
        raise node.fault("a plain name is needed: letters, digits and underscores.")
    return node.text()
