"""What an import would do: each row's events, without a server and without a sealed value."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from maplebridge.producers.import_result import ImportProgress, ImportResult
from maplebridge.producers.import_run import ImportRun
from maplebridge.producers.mapping import RowMapping
from maplebridge.producers.row_history import RowEvent
from maplebridge.producers.sources import SourceRow, open_rows
from maplebridge.producers.trial import TrialDepartment
from maplebridge.schemas import Catalogue, CodeLists, Contract, FieldSpec, Regions


@dataclass(frozen=True)
class PlannedEvent:
    """One event that a row would become; values as they may be shown, by field path."""

    row: int
    values: Mapping[str, str]


@dataclass(frozen=True)
class RejectedRow:
    row: int
    column: str
    reason: str


@dataclass(frozen=True)
class DryRun:
    """The events of the first rows, the first rejected rows, and the sum over all rows.

    In `result`, published is what would be published. Without the department's own store an
    import of a source that was imported before would publish less.
    """

    events: tuple[PlannedEvent, ...]
    rejected: tuple[RejectedRow, ...]
    result: ImportResult


def dry_run(
    path: Path | None,
    mapping: RowMapping,
    *,
    codes: CodeLists,
    regions: Regions,
    limit: int,
    correct: bool = False,
    before: Path | None = None,
    on_progress: Callable[[ImportProgress], None] | None = None,
) -> DryRun:
    """Map and check every row; keep the events and the rejects of the first `limit`.

    correct: as of an import. before: the department's own store, for what was imported
    before. Raises what an import would of a mapping or a source, and InputError if a
    publisher is at work on that store.
    """
    planned: list[PlannedEvent] = []
    listed = _ListedRejects(limit)
    show = _Shown(mapping.contract)
    first: set[int] = set()

    def on_row(row: SourceRow, events: Sequence[RowEvent]) -> None:
        if len(first) < limit:
            first.add(row.number)
            planned.extend(PlannedEvent(row.number, show.event(each)) for each in events)

    with (
        tempfile.TemporaryDirectory(prefix="maplebridge-dry-run-") as folder,
        TrialDepartment(
            mapping.department,
            catalogue=Catalogue((mapping.contract,)),
            codes=codes,
            regions=regions,
            folder=Path(folder),
            before=before,
        ) as department,
    ):
        rows = open_rows(mapping, path, mark="", environment=os.environ)
        try:
            result = ImportRun(
                rows,
                mapping,
                department,
                listed,
                correct=correct,
                on_row=on_row,
                on_progress=on_progress,
            ).run()
        finally:
            rows.close()
    return DryRun(tuple(planned), tuple(listed.first), result)


class _ListedRejects:
    """Keeps why the first rows were rejected, and none of their cells."""

    def __init__(self, limit: int) -> None:
        self.rows = 0
        self.first: list[RejectedRow] = []
        self._limit = limit

    def add(
        self, *, row: int, column: str, reason: str, cells: Sequence[Any], original: Any
    ) -> None:
        self.rows += 1
        if len(self.first) < self._limit:
            self.first.append(RejectedRow(row, column, reason))

    def finish(self) -> None:
        return None

    def abandon(self) -> None:
        pass


class _Shown:
    """Shows an event: what travels sealed is named by its grade, never by its value."""

    def __init__(self, contract: Contract) -> None:
        self._specs = contract.by_path

    def event(self, row: RowEvent) -> dict[str, str]:
        event = row.event
        shown = {
            "transition": event.transition,
            "occurred_at": _text(event.occurred_at),
            "community": event.community,
            "case_ref": _text(event.case_ref),
        }
        if row.corrects is not None:
            shown["corrects"] = row.corrects
        for name, value in event.fields.items():
            if isinstance(value, list):
                for index, item in enumerate(value):
                    for inner, each in item.items():
                        spec = self._specs.get(f"{name}[].{inner}")
                        shown[f"{name}[{index}].{inner}"] = _shown(spec, each)
            else:
                shown[name] = _shown(self._specs.get(name), value)
        return shown


def _shown(spec: FieldSpec | None, value: Any) -> str:
    if spec is None:
        return "hidden"
    if spec.seal is not None:
        return "" if value is None and not spec.seal.nullable else f"sealed (L{spec.grade})"
    if spec.raises is not None and value is not None:
        if spec.raises.when != spec.path:
            # another field, or a scan of the text, decides it
            return f"may be sealed (L{spec.raises.grade})"
        if not spec.raises.values or value in spec.raises.values:
            return spec.raises.shown or f"may be sealed (L{spec.raises.grade})"
    return _text(value)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    return str(value)
