"""What a mapping may fill: the fields of a contract and parts of its envelope."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from maplebridge.producers.mapping.document import Node, did_you_mean
from maplebridge.producers.mapping.rules import Target
from maplebridge.schemas import CodeLists, Contract, FieldSpec, Regions

Kind = Literal["string", "boolean", "int", "double", "time"]

ENVELOPE_RULES = ("community", "occurred_at", "recorded_at", "case_ref", "grid", "transition")
_REQUIRED = ("community", "occurred_at", "transition")
_WHY = {
    "community": "the row cannot be placed in a community",
    "occurred_at": "it is not known when it happened",
    "transition": "it is not known what happened",
}
_KINDS: dict[str, Kind] = {
    "string": "string",
    "boolean": "boolean",
    "int": "int",
    "long": "int",
    "double": "double",
}


@dataclass(frozen=True)
class TypedTarget:
    """A target, the kind of its values, and which values there are if they are listed."""

    target: Target
    kind: Kind
    allowed: Collection[str] | None
    has_default: bool = False

    def constant(self, node: Node) -> Any:
        """Return a value written in the mapping; raises MappingInvalid if it does not fit."""
        if node.kind == "null":
            if self.target.nullable:
                return None
            raise node.fault("a value is needed here, not null.")
        if self.kind == "boolean":
            return node.truth()
        text = node.text()
        if self.kind == "string":
            return self._listed(node, text)
        try:
            if self.kind == "int":
                return int(text)
            if self.kind == "double":
                return float(text)
        except ValueError:
            raise node.fault(f"{self.target.path} takes a number.") from None
        raise node.fault("a time cannot be written into a mapping.", "Take it from a column.")

    def _listed(self, node: Node, text: str) -> str:
        if self.allowed is None or text in self.allowed:
            return text
        listed = self.allowed if len(self.allowed) <= _LISTED_MAX else ()
        advice = did_you_mean(text, listed) if listed else "Use the code of a community."
        raise node.fault(f"unknown code {text!r} for {self.target.path}.", advice)


_LISTED_MAX = 100


def envelope_target(
    name: str, contract: Contract, regions: Regions, *, nullable: bool = False
) -> TypedTarget:
    """Return a part of the envelope; nullable: also where an event needs it."""
    kind: Kind = "time" if name.endswith("_at") else "string"
    allowed: Collection[str] | None = None
    if name == "community":
        allowed = regions.communities
    elif name == "transition":
        allowed = tuple(contract.transitions)
    why = _WHY.get(name, f"{name} needs a value")
    return TypedTarget(Target(name, nullable or name not in _REQUIRED, why), kind, allowed)


def field_targets(contract: Contract, codes: CodeLists) -> dict[str, TypedTarget]:
    """Return the single fields that a mapping may fill; the bus's own are not among them."""
    twins = {spec.raises.twin for spec in contract.fields if spec.raises}
    defaults = _with_default(contract.schema["fields"])
    return {
        spec.path: _field_target(spec, codes, spec.path in defaults)
        for spec in contract.fields
        if "." not in spec.path and "[]" not in spec.path and spec.path not in twins
    }


def list_targets(contract: Contract, codes: CodeLists) -> dict[str, dict[str, TypedTarget]]:
    """Return the lists that a mapping may fill, each with the fields of its items."""
    found: dict[str, dict[str, TypedTarget]] = {}
    for each in contract.schema["fields"]:
        kind = each["type"]
        if isinstance(kind, dict) and kind.get("type") == "array":
            prefix = f"{each['name']}[]."
            defaults = _with_default(kind["items"]["fields"])
            found[each["name"]] = {
                spec.path.removeprefix(prefix): _field_target(
                    spec, codes, spec.path.removeprefix(prefix) in defaults
                )
                for spec in contract.fields
                if spec.path.startswith(prefix)
            }
    return found


def lists_with_default(contract: Contract) -> set[str]:
    return _with_default(contract.schema["fields"])


def _with_default(fields: list[dict[str, Any]]) -> set[str]:
    return {each["name"] for each in fields if "default" in each}


def _field_target(spec: FieldSpec, codes: CodeLists, has_default: bool) -> TypedTarget:
    plain = spec.seal.type if spec.seal else spec.type
    branches = plain if isinstance(plain, list) else [plain]
    kind = next(each for each in branches if each != "null")
    nullable = spec.nullable or "null" in branches
    allowed: Collection[str] | None = None
    if spec.code_list:
        shown = spec.raises.shown if spec.raises else None
        allowed = [code for code in codes.get(spec.code_list).codes if code != shown]
    target = Target(spec.path, nullable, f"{spec.path} needs a value")
    is_time = isinstance(kind, dict) and kind.get("logicalType") == "timestamp-micros"
    name = kind["type"] if isinstance(kind, dict) else kind
    return TypedTarget(
        target, "time" if is_time else _KINDS[name], allowed, has_default or nullable
    )
