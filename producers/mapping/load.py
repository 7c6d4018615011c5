"""Reading a mapping file: everything that can be wrong with it is found before any row is read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from maplebridge.errors import ContractRefused
from maplebridge.producers.mapping.document import (
    UNDECIDED,
    Node,
    did_you_mean,
    read_document,
    undecided,
)
from maplebridge.producers.mapping.durations import duration
from maplebridge.producers.mapping.list_loader import list_rule
from maplebridge.producers.mapping.paths import parse_path
from maplebridge.producers.mapping.row_mapping import EventRules, RowMapping
from maplebridge.producers.mapping.rule_loader import RuleLoader
from maplebridge.producers.mapping.rules import Const, Derived, Rule, count_of, due_at
from maplebridge.producers.mapping.source import (
    DelimitedSource,
    JsonLinesSource,
    Open311Source,
    Source,
    read_source,
)
from maplebridge.producers.mapping.targets import (
    ENVELOPE_RULES,
    envelope_target,
    field_targets,
    list_targets,
    lists_with_default,
)
from maplebridge.schemas import Catalogue, CodeLists, Contract, Regions

_CONSTANTS = ("purpose", "legal_basis")
_TOP = (
    "version", "event_type", "department", "source", "key", *_CONSTANTS, "retention",
    "backfill", "fields", "events",
)  # fmt: skip
_OF_EVENT = ("occurred_at", "recorded_at")


def load_mapping(
    path: Path, *, catalogue: Catalogue, codes: CodeLists, regions: Regions
) -> RowMapping:
    """Read a mapping file, language version 1 (docs/mapping.md).

    Raises MappingInvalid with file, line and the nearest right name.
    """
    root = read_document(path)
    open_ = undecided(root)
    if open_:
        lines = ", ".join(str(each.line) for each in open_)
        raise open_[0].fault("still to be decided.", f"{UNDECIDED} stands in line {lines}.")
    top = root.entries((*_TOP, *ENVELOPE_RULES))
    for name in ("event_type", "source", "key", *_CONSTANTS, "fields"):
        if name not in top:
            raise root.fault(f"{name!r} is missing.")
    if "version" in top and top["version"].text() != "1":
        raise top["version"].fault("this Maple Bridge reads version 1.")
    contract = _contract(top["event_type"], catalogue)
    source = read_source(top["source"])
    rules = RuleLoader(
        ZoneInfo(source.zone), path.parent, typed=not isinstance(source, DelimitedSource)
    )
    loader = _Loader(contract, codes, regions, rules)
    events = loader.events(root, top)
    key = rules.names(top["key"])
    _check_paths(source, rules.columns)
    return RowMapping(
        path=path,
        contract=contract,
        department=_department(root, top.get("department"), contract),
        source=source,
        key=key,
        purpose=_code(top["purpose"], "purpose", codes),
        legal_basis=_code(top["legal_basis"], "legal_basis", codes),
        retention=top["retention"].text() if "retention" in top else None,
        backfill=top["backfill"].truth() if "backfill" in top else False,
        rules=events,
        split="events" in top,
        lines=rules.columns,
    )


class _Loader:
    """Makes the rules of the events of one mapping."""

    def __init__(
        self, contract: Contract, codes: CodeLists, regions: Regions, rules: RuleLoader
    ) -> None:
        self._contract = contract
        self._codes = codes
        self._regions = regions
        self._rules = rules
        self._targets = field_targets(contract, codes)
        self._lists = list_targets(contract, codes)

    def events(self, root: Node, top: Mapping[str, Node]) -> tuple[EventRules, ...]:
        if "events" not in top:
            envelope = self._envelope(root, top, ENVELOPE_RULES)
            fields = self._fields(top["fields"])
            self._check_whole(top["fields"], fields)
            return (self._event(envelope, fields),)
        for name in ("transition", "occurred_at"):
            if name in top:
                raise top[name].fault("each of the events has its own.", "Move it into events.")
        shared = self._envelope(root, top, [each for each in ENVELOPE_RULES if each in top])
        if "community" not in top:
            raise root.fault("'community' is missing.", "Say where community comes from.")
        common = self._fields(top["fields"])
        found = [self._one(each, shared, common) for each in top["events"].items()]
        transitions = [each.transition for each in found]
        for node, transition in zip(top["events"].items(), transitions, strict=True):
            if transitions.count(transition) > 1:
                raise node.fault(f"the transition {transition!r} stands here twice.")
        if not found:
            raise top["events"].fault("name at least one event.")
        return tuple(found)

    def _one(
        self, node: Node, shared: Mapping[str, Rule], common: Mapping[str, Rule | Derived]
    ) -> EventRules:
        entries = node.entries(("transition", *_OF_EVENT, "fields"))
        for name in ("transition", "occurred_at"):
            if name not in entries:
                raise node.fault(f"{name!r} is missing.")
        if isinstance(entries["transition"].data, dict):
            raise entries["transition"].fault("one of the contract's transitions is needed here.")
        own = self._envelope(node, entries, ("transition",))
        for name in _OF_EVENT:
            if name in entries:
                typed = envelope_target(name, self._contract, self._regions, nullable=True)
                own[name] = self._rules.rule(entries[name], typed)
        fields = dict(common)
        if "fields" in entries:
            fields.update(self._fields(entries["fields"]))
        self._check_whole(node, fields)
        return self._event({**shared, **own}, fields)

    def _event(
        self, envelope: Mapping[str, Rule], fields: Mapping[str, Rule | Derived]
    ) -> EventRules:
        # in the contract's order, so that the same row always says the same
        names = [*self._targets, *self._lists]
        transition = envelope["transition"]
        return EventRules(
            transition=str(transition.fixed) if isinstance(transition, Const) else "",
            envelope=envelope,
            fields={name: fields[name] for name in names if name in fields},
        )

    def _envelope(
        self, root: Node, top: Mapping[str, Node], names: tuple[str, ...] | list[str]
    ) -> dict[str, Rule]:
        found: dict[str, Rule] = {}
        for name in names:
            typed = envelope_target(name, self._contract, self._regions)
            if name in top:
                found[name] = self._rules.rule(top[name], typed)
            elif not typed.target.nullable:
                raise root.fault(f"{name!r} is missing.", f"Say where {name} comes from.")
        return found

    def _fields(self, node: Node) -> dict[str, Rule | Derived]:
        entries = node.entries()
        known = [*self._targets, *self._lists]
        for name, child in entries.items():
            if name not in known:
                raise child.fault(
                    f"{self._contract.event_type} has no field {name!r} that a mapping can fill.",
                    did_you_mean(name, known),
                )
        return {name: self._field(name, child) for name, child in entries.items()}

    def _field(self, name: str, node: Node) -> Rule | Derived:
        if name in self._lists:
            return list_rule(node, name, self._lists[name], self._rules)
        derive = node.data.get("derive") if isinstance(node.data, dict) else None
        if derive is not None and derive.data == "due_at":
            return self._due_at(name, node)
        if derive is not None and derive.data == "count":
            return self._count(name, node)
        return self._rules.rule(node, self._targets[name])

    def _due_at(self, name: str, node: Node) -> Derived:
        node.entries(("derive",))
        spec = self._contract.by_path.get("urgency")
        if self._targets[name].kind != "time" or spec is None or spec.code_list is None:
            raise node.fault("due_at is the time limit of an urgency; it fills due_at alone.")
        limits: dict[str, timedelta] = {}
        for code, text in self._codes.get(spec.code_list).codes.items():
            limits[code] = duration(text)
        return due_at(limits)

    def _count(self, name: str, node: Node) -> Derived:
        entries = node.entries(("derive", "of"))
        if self._targets[name].kind != "int":
            raise node.fault(f"count gives a whole number; {name} takes none.")
        if "of" not in entries:
            raise node.fault("'of' is missing.", f"Lists: {', '.join(self._lists)}.")
        return count_of(entries["of"].choice(self._lists))

    def _check_whole(self, node: Node, fields: Mapping[str, Rule | Derived]) -> None:
        with_default = lists_with_default(self._contract)
        missing = [
            name
            for name, typed in self._targets.items()
            if name not in fields and not typed.has_default
        ]
        missing += [name for name in self._lists if name not in fields and name not in with_default]
        if missing:
            raise node.fault(f"the field {missing[0]!r} is missing; every event needs it.")


def _check_paths(source: Source, columns: Mapping[str, Node]) -> None:
    if isinstance(source, JsonLinesSource | Open311Source):
        for column, node in columns.items():
            try:
                parse_path(column)
            except ValueError as exc:
                raise node.fault(f"{column!r} is {exc}.") from None


def _contract(node: Node, catalogue: Catalogue) -> Contract:
    known = [contract.event_type for contract in catalogue.published]
    try:
        found = catalogue.get(node.text())
    except ContractRefused:
        found = None
    if found is None or found.event_type not in known:
        raise node.fault(
            f"unknown event type {node.text()!r}.", did_you_mean(node.text(), known)
        ) from None
    return found


def _department(root: Node, node: Node | None, contract: Contract) -> str:
    if node is not None:
        return node.choice(contract.publishers)
    if contract.department not in contract.publishers:
        raise root.fault(
            "'department' is missing.", f"Publishers: {', '.join(contract.publishers)}."
        )
    return contract.department


def _code(node: Node, name: str, codes: CodeLists) -> str:
    return node.choice(codes.get(name).codes)
