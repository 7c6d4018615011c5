"""A mapping ready for use: from the rows of a table to the events of a contract."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from maplebridge.errors import EventInvalid, MappingInvalid
from maplebridge.producers.mapping.document import Node, did_you_mean
from maplebridge.producers.mapping.rules import Derived, Row, Rule
from maplebridge.producers.mapping.source import Source
from maplebridge.schemas import Contract


@dataclass(frozen=True)
class MappedRow:
    """What a row says: the arguments of `Department.publish`, and the key of the row."""

    key: tuple[str, ...]
    fields: dict[str, Any]
    community: str
    transition: str
    occurred_at: datetime
    recorded_at: datetime | None
    case_ref: str | None
    grid: str | None


@dataclass(frozen=True)
class RowMapping:
    """One mapping file, read and checked."""

    path: Path
    contract: Contract
    source: Source
    key: tuple[str, ...]
    purpose: str
    legal_basis: str
    retention: str | None
    backfill: bool
    envelope: Mapping[str, Rule]
    fields: Mapping[str, Rule]
    lines: Mapping[str, Node]

    def check_header(self, header: Sequence[str]) -> None:
        """Raises MappingInvalid if a column that the mapping names is not there, or is twice."""
        for column, node in self.lines.items():
            if column not in header:
                raise node.fault(
                    f"the file has no column {column!r}.", did_you_mean(column, header)
                )
            if header.count(column) > 1:
                raise MappingInvalid(
                    f"the file has the column {column!r} twice.", todo="Rename one of them."
                )

    def map(self, row: Row) -> MappedRow:
        """Return what `row` says.

        Raises EventInvalid whose path is the column at fault and whose reason is a
        sentence for a clerk, without any value of the row.
        """
        envelope = {name: rule.value(row, {}) for name, rule in self.envelope.items()}
        fields: dict[str, Any] = {}
        derived: dict[str, Rule] = {}
        for name, rule in self.fields.items():
            if isinstance(rule, Derived):
                derived[name] = rule
            else:
                fields[name] = rule.value(row, fields)
        for name, rule in derived.items():
            fields[name] = rule.value(row, {**fields, "occurred_at": envelope["occurred_at"]})
        return MappedRow(
            key=self._key(row),
            fields=fields,
            community=envelope["community"],
            transition=envelope["transition"],
            occurred_at=envelope["occurred_at"],
            recorded_at=envelope.get("recorded_at"),
            case_ref=envelope.get("case_ref"),
            grid=envelope.get("grid"),
        )

    def column_of(self, path: str) -> str:
        """Return the column that fills a field path, or the path itself if none does."""
        rule = self.fields.get(path) or self.envelope.get(path.removeprefix("meta."))
        return rule.columns[0] if rule is not None and rule.columns else path

    def _key(self, row: Row) -> tuple[str, ...]:
        for column in self.key:
            if not row[column]:
                raise EventInvalid(
                    f"{column} is empty: the row cannot be told from others", path=column
                )
        return tuple(row[column] for column in self.key)
