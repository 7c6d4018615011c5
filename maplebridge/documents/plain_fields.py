"""The fields as a caller gives them: plain values, without what Maple Bridge fills in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from maplebridge.schemas import Contract, FieldSpec

OURS = frozenset({"meta", "proof"})


@dataclass(frozen=True)
class PlainField:
    """One field that a caller gives; required: it has no default.

    kind: Avro's name of the plain type, `array` for a list. items: the fields of a list's
    records, none if it is a list of plain values. refused: a code that Maple Bridge alone
    writes.
    """

    name: str
    kind: str
    required: bool
    nullable: bool
    doc: str
    spec: FieldSpec | None = None
    items: tuple[PlainField, ...] = ()
    refused: str | None = None

    @property
    def is_time(self) -> bool:
        return self.spec is not None and self.spec.is_time

    @property
    def form(self) -> str:
        """The form of a plain text, as in `schemas/formats.py`; sealed ones have none."""
        return self.spec.format if self.spec else ""

    @property
    def code_list(self) -> str | None:
        return self.spec.code_list if self.spec else None


def plain_fields(contract: Contract) -> tuple[PlainField, ...]:
    """Return what `Department.publish` takes as `fields`, in the contract's order."""
    twins = {spec.raises.twin for spec in contract.fields if spec.raises}
    return tuple(_fields(contract, contract.schema["fields"], "", twins))


def envelope_field(contract: Contract, name: str) -> FieldSpec:
    return contract.field(f"meta.{name}")


def _fields(
    contract: Contract, rows: list[Mapping[str, Any]], prefix: str, twins: set[str]
) -> Iterator[PlainField]:
    for row in rows:
        path = prefix + row["name"]
        if path in OURS or path in twins:
            continue
        spec = contract.by_path.get(path) or contract.by_path.get(f"{path}[]")
        kind = row["type"]
        if isinstance(kind, Mapping) and kind.get("type") == "array":
            inner = kind["items"]["fields"] if isinstance(kind["items"], Mapping) else []
            items = tuple(_fields(contract, inner, f"{path}[].", twins))
            yield PlainField(
                row["name"], "array", "default" not in row, False, row["doc"], spec, items
            )
        elif spec is not None:
            yield _plain(row, spec)


def _plain(row: Mapping[str, Any], spec: FieldSpec) -> PlainField:
    sealed_null = spec.seal is not None and spec.seal.nullable
    return PlainField(
        name=row["name"],
        kind=plain_type(spec.seal.type if spec.seal else spec.type),
        required="default" not in row and not sealed_null,
        nullable=spec.nullable or sealed_null,
        doc=spec.doc,
        spec=spec,
        refused=spec.raises.shown if spec.raises else None,
    )


def plain_type(kind: Any) -> str:
    """Return Avro's name of a type, without null and without its logical type."""
    if isinstance(kind, list):
        kind = next(each for each in kind if each != "null")
    name = kind["type"] if isinstance(kind, Mapping) else kind
    return str(name)
