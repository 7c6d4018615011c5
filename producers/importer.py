"""Importing a table: every row ends as published, published before, or rejected with a reason."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maplebridge.errors import (
    AccessDenied,
    EventInvalid,
    EventTooLarge,
    InputError,
    IntegrityError,
    MapleBridgeError,
)
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.department import Department
from maplebridge.producers.ids import imported_id
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.mapping import MappedRow, RowMapping, load_mapping
from maplebridge.producers.rejects import RejectFile
from maplebridge.producers.table import Table, TableRow

_WINDOW_ROWS = 5_000
_COMMIT_ROWS = 1_000
_PROGRESS_ROWS = 500
_RESULT_S = 30.0
_LAST_FLUSH_S = 3.0


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is; bytes are those of the file."""

    rows: int
    published: int
    rejected: int
    already_published: int
    read_bytes: int
    size_bytes: int


@dataclass(frozen=True)
class ImportResult:
    """What became of the rows: rows == published + already_published + rejected.

    reject_path: None if nothing was rejected.
    """

    rows: int
    published: int
    rejected: int
    already_published: int
    reject_path: Path | None


@dataclass(frozen=True, slots=True)
class _Sent:
    row: TableRow
    digest: bytes
    delivery: Delivery


def import_file(
    path: Path,
    mapping: Path | RowMapping,
    department: Department,
    *,
    reject_path: Path | None = None,
    on_progress: Callable[[ImportProgress], None] | None = None,
) -> ImportResult:
    """Publish the rows of a CSV file as events of `department`, which must be open.

    reject_path: `<path>.rejects.csv` if not given. Run it again after any failure:
    rows that Kafka acknowledged are not published twice.

    Raises MappingInvalid before any row is read; AccessDenied if the events are
    another department's; KafkaUnavailable and other Unavailable in mid-run, saying how
    many rows were published until then; IntegrityError if the sum does not come out.
    """
    rules = mapping
    if not isinstance(rules, RowMapping):
        rules = load_mapping(
            rules,
            catalogue=department.catalogue,
            codes=department.codes,
            regions=department.regions,
        )
    department.contract(rules.contract.event_type)
    rejects_at = reject_path or path.with_name(f"{path.name}.rejects.csv")
    if rejects_at.resolve() in (path.resolve(), rules.path.resolve()):
        raise InputError("the reject file would overwrite its source.", todo="Give another path.")
    with Table(path, rules.source) as table:
        rules.check_header(table.header)
        state = department.imports
        return _Import(table, rules, department, state, rejects_at, on_progress).run()


class _Import:
    """One run over one table."""

    def __init__(
        self,
        table: Table,
        mapping: RowMapping,
        department: Department,
        state: ImportState,
        reject_path: Path,
        on_progress: Callable[[ImportProgress], None] | None,
    ) -> None:
        self._table = table
        self._mapping = mapping
        self._department = department
        self._state = state
        self._on_progress = on_progress
        self._rejects = RejectFile(
            reject_path,
            header=table.header,
            encoding=table.encoding,
            delimiter=mapping.source.delimiter,
        )
        self._rows = 0
        self._published = 0
        self._already = 0
        self._on_their_way: deque[_Sent] = deque()
        self._digests: dict[str, bytes] = {}
        self._acknowledged: list[tuple[str, bytes]] = []

    def run(self) -> ImportResult:
        try:
            for row in self._table:
                self._rows += 1
                self._take(row)
                self._settle(_WINDOW_ROWS)
                if self._rows % _PROGRESS_ROWS == 0:
                    self._tell()
            self._settle(0)
            self._keep()
            return self._result()
        except BaseException as exc:
            self._stopped(exc)
            raise

    def _take(self, row: TableRow) -> None:
        if row.fault:
            self._reject(row, "", f"the row was not read: {row.fault}.")
            return
        try:
            mapped = self._mapping.map(dict(zip(self._table.header, row.cells, strict=True)))
            self._publish(row, mapped)
        except EventInvalid as exc:
            column = self._mapping.column_of(exc.path)
            reason = exc.reason if column == exc.path else f"{column}: {exc.reason}"
            self._reject(row, column, f"{reason.rstrip('.')}. {exc.todo}".strip())
        except EventTooLarge as exc:
            self._reject(row, "", str(exc))

    def _publish(self, row: TableRow, mapped: MappedRow) -> None:
        mapping, department = self._mapping, self._department
        event_id = imported_id(
            department=department.name,
            event_type=mapping.contract.event_type,
            row_key=mapped.key,
            occurred_at=mapped.occurred_at,
        )
        digest = self._state.digest(_said(mapped))
        before = self._digests.get(event_id) or self._state.find(event_id)
        if before == digest:
            self._already += 1
            return
        if before is not None:
            raise EventInvalid(
                "a row with the same key and time was published with other values.",
                path=mapping.key[0],
                todo="If it is another event, add a column to `key` that tells them apart.",
            )
        delivery = department.publish(
            mapping.contract.event_type,
            mapped.fields,
            community=mapped.community,
            transition=mapped.transition,
            occurred_at=mapped.occurred_at,
            recorded_at=mapped.recorded_at,
            case_ref=mapped.case_ref,
            grid=mapped.grid,
            purpose=mapping.purpose,
            legal_basis=mapping.legal_basis,
            retention=mapping.retention,
            backfill=mapping.backfill,
            event_id=event_id,
        )
        self._digests[event_id] = digest
        self._on_their_way.append(_Sent(row, digest, delivery))

    def _settle(self, window: int) -> None:
        """Take in what Kafka has acknowledged; wait until at most `window` rows are left."""
        waiting = self._on_their_way
        while waiting and (waiting[0].delivery.done or len(waiting) > window):
            sent = waiting[0]
            try:
                sent.delivery.result(_RESULT_S)
            except EventTooLarge as exc:
                self._reject(sent.row, "", str(exc))
            else:
                self._published += 1
                self._acknowledged.append((sent.delivery.event_id, sent.digest))
            waiting.popleft()
            if len(self._acknowledged) >= _COMMIT_ROWS:
                self._keep()

    def _keep(self) -> None:
        self._state.add(self._acknowledged)
        for event_id, _ in self._acknowledged:
            self._digests.pop(event_id, None)
        self._acknowledged.clear()

    def _reject(self, row: TableRow, column: str, reason: str) -> None:
        self._rejects.add(
            row=row.number, column=column, reason=reason, cells=row.cells, line=row.line
        )

    def _stopped(self, error: BaseException) -> None:
        """Keep what was acknowledged, and say in `error` how far the import came."""
        self._rejects.abandon()
        try:
            self._department.flush(_LAST_FLUSH_S)
        except MapleBridgeError as second:
            _note(error, second)
        for sent in self._on_their_way:
            if sent.delivery.done and sent.delivery.error is None:
                self._published += 1
                self._acknowledged.append((sent.delivery.event_id, sent.digest))
        try:
            self._keep()
        except MapleBridgeError as second:
            _note(error, second)
        if isinstance(error, MapleBridgeError):
            done = f"{self._published:,} rows were published before that and are kept"
            again = "" if isinstance(error, AccessDenied) else "; run the import again to go on"
            error.todo = f"{error.todo} {done}{again}.".strip()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(
                ImportProgress(
                    rows=self._rows,
                    published=self._published,
                    rejected=self._rejects.rows,
                    already_published=self._already,
                    read_bytes=self._table.read_bytes,
                    size_bytes=self._table.size_bytes,
                )
            )

    def _result(self) -> ImportResult:
        self._tell()
        if self._rows != self._published + self._already + self._rejects.rows:
            self._rejects.abandon()
            raise IntegrityError(
                f"{self._rows:,} rows were read, but {self._published:,} published,"
                f" {self._already:,} published before and {self._rejects.rows:,} rejected.",
                todo="Run the import again, and report this.",
            )
        return ImportResult(
            rows=self._rows,
            published=self._published,
            rejected=self._rejects.rows,
            already_published=self._already,
            reject_path=self._rejects.finish(),
        )


def _note(error: BaseException, second: MapleBridgeError) -> None:
    if second is not error:
        error.add_note(f"Then: {second}")


def _said(mapped: MappedRow) -> str:
    """Return all that a row says, as one text."""
    said = (
        mapped.fields,
        mapped.community,
        mapped.transition,
        mapped.recorded_at,
        mapped.case_ref,
        mapped.grid,
    )
    return json.dumps(said, default=str, ensure_ascii=False, sort_keys=True)
