"""One import over one source: every row published, published before, or rejected."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import NamedTuple

from maplebridge.errors import (
    AccessDenied,
    EventInvalid,
    EventTooLarge,
    IntegrityError,
    MapleBridgeError,
    Unavailable,
)
from maplebridge.producers.collection import rarely_collected
from maplebridge.producers.ids import imported_id
from maplebridge.producers.import_result import ImportProgress, ImportResult
from maplebridge.producers.import_target import Arrival, EventBatch, ImportTarget
from maplebridge.producers.mapping import BoundMapping, MappedEvent, RowMapping
from maplebridge.producers.rejects import Rejects
from maplebridge.producers.row_history import RowEvent, RowHistory
from maplebridge.producers.sources import RowSource, SourceRow

_WINDOW_EVENTS = 5_000
_CHUNK_ROWS = 500
PATIENCE_S = 5.0
_LAST_FLUSH_S = 3.0

# one event is taken or not as it is
_ALONE = nullcontext()

OnRow = Callable[[SourceRow, Sequence[RowEvent]], None]


class _Ticket:
    """One row on its way: how many of its events Kafka has yet to acknowledge."""

    __slots__ = ("failed", "left", "row")

    def __init__(self, row: SourceRow, left: int) -> None:
        self.row = row
        self.left = left
        self.failed = False


class _Plan(NamedTuple):
    """What a row becomes: its events, or why it cannot be mapped."""

    row: SourceRow
    events: list[RowEvent]
    fault: EventInvalid | None


class _Sent(NamedTuple):
    ticket: _Ticket
    arrival: Arrival
    corrects: bool


class ImportRun:
    """One run over one source."""

    def __init__(
        self,
        rows: RowSource,
        mapping: RowMapping,
        target: ImportTarget,
        rejects: Rejects,
        *,
        backfill: bool = False,
        correct: bool = False,
        patience_s: float = PATIENCE_S,
        on_row: OnRow | None = None,
        on_progress: Callable[[ImportProgress], None] | None = None,
    ) -> None:
        """patience_s: how long to wait for Kafka, after which the spool is enough.

        Raises MappingInvalid if the source lacks a column.
        """
        self._source = rows
        self._mapping = mapping
        self._bound: BoundMapping = mapping.bind(rows.header)
        self._target = target
        self._state = target.imports
        self._history = RowHistory(
            self._state, target.amendments, key=mapping.key[0], correct=correct
        )
        self._rejects = rejects
        self._backfill = backfill or mapping.backfill
        self._patience_s = patience_s
        self._unsent: Unavailable | None = None
        self._on_row = on_row
        self._on_progress = on_progress
        self._rows = 0
        self._published = 0
        self._events = 0
        self._corrections = 0
        self._already = 0
        self._on_their_way: deque[_Sent] = deque()

    def run(self) -> ImportResult:
        try:
            with rarely_collected():
                self._publish_all()
            return self._result()
        except BaseException as exc:
            self._stopped(exc)
            raise

    def _publish_all(self) -> None:
        rows = iter(self._source)
        while chunk := list(islice(rows, _CHUNK_ROWS)):
            self._take(chunk)
            self._settle(_WINDOW_EVENTS)
            self._tell()
        self._settle(0)
        self._flush()

    def _take(self, chunk: list[SourceRow]) -> None:
        plans = [self._plan(row) for row in chunk]
        self._history.recall([each for plan in plans for each in plan.events])
        with self._target.batch() as batch:
            for plan in plans:
                self._rows += 1
                self._carry_out(plan, batch)

    def _plan(self, row: SourceRow) -> _Plan:
        """Map a row, and identify its events by what they say."""
        if row.fault:
            return _Plan(row, [], None)
        try:
            events = self._bound.events(row.cells)
        except EventInvalid as exc:
            return _Plan(row, [], exc)
        return _Plan(row, [self._identified(event) for event in events], None)

    def _identified(self, event: MappedEvent) -> RowEvent:
        row_id = imported_id(
            department=self._target.name,
            event_type=self._mapping.contract.event_type,
            row_key=event.row_key,
            occurred_at=event.occurred_at,
        )
        return RowEvent(row_id, row_id, self._state.digest(event.said), event)

    def _carry_out(self, plan: _Plan, batch: EventBatch) -> None:
        """Publish what is new of a row, or reject the row."""
        row = plan.row
        number = 0
        try:
            if row.fault:
                self._reject(row, "", f"the row was not read: {row.fault}.")
                return
            if plan.fault is not None:
                raise plan.fault
            news = self._history.news(plan.events)
            if self._on_row is not None:
                changed = {each.row_id: each for each in news}
                self._on_row(row, [changed.get(each.row_id, each) for each in plan.events])
            arrivals = []
            with batch.together() if len(news) > 1 else _ALONE:
                for each in news:
                    number = each.event.number
                    arrivals.append(self._publish(each, batch))
            self._history.accept(plan.events)
            self._went(row, news, arrivals)
        except EventInvalid as exc:
            column = self._mapping.column_of(exc.path, number=number)
            reason = exc.reason if column == exc.path else f"{column}: {exc.reason}"
            self._reject(row, column, f"{reason.rstrip('.')}. {exc.todo}".strip())
        except EventTooLarge as exc:
            self._reject(row, "", str(exc))

    def _went(self, row: SourceRow, news: Sequence[RowEvent], arrivals: list[Arrival]) -> None:
        if not news:
            self._already += 1
            return
        ticket = _Ticket(row, len(news))
        for each, arrival in zip(news, arrivals, strict=True):
            self._on_their_way.append(_Sent(ticket, arrival, each.corrects is not None))

    def _publish(self, each: RowEvent, batch: EventBatch) -> Arrival:
        mapping, event = self._mapping, each.event
        return batch.publish(
            mapping.contract.event_type,
            event.fields,
            community=event.community,
            transition=event.transition,
            occurred_at=event.occurred_at,
            recorded_at=event.recorded_at,
            case_ref=event.case_ref,
            grid=event.grid,
            purpose=mapping.purpose,
            legal_basis=mapping.legal_basis,
            retention=mapping.retention,
            backfill=self._backfill,
            event_id=each.event_id,
            corrects=each.corrects,
            import_digest=each.digest,
        )

    def _settle(self, window: int) -> None:
        """Take in what Kafka has acknowledged; wait until at most `window` events are left.

        While Kafka is away what lies in the spool is taken as well, and not waited for.
        """
        waiting = self._on_their_way
        while waiting and (len(waiting) > window or waiting[0].arrival.done):
            sent = waiting[0]
            try:
                sent.arrival.result(self._patience_s)
            except EventTooLarge as exc:
                if not sent.ticket.failed:
                    sent.ticket.failed = True
                    self._reject(sent.ticket.row, "", str(exc))
            except Unavailable as exc:
                if self._patience_s:
                    self._unsent, self._patience_s = exc, 0.0
                self._arrived(sent)
            else:
                self._arrived(sent)
            waiting.popleft()

    def _flush(self) -> None:
        """Let out what lay in the spool before, too, unless Kafka is away."""
        if not self._patience_s:
            return
        try:
            self._target.flush(self._patience_s)
        except Unavailable as exc:
            self._unsent = exc
        except EventTooLarge:
            pass  # it was put aside, and its row was rejected

    def _arrived(self, sent: _Sent) -> None:
        ticket = sent.ticket
        ticket.left -= 1
        self._events += 1
        self._corrections += sent.corrects
        if ticket.left == 0 and not ticket.failed:
            self._published += 1

    def _reject(self, row: SourceRow, column: str, reason: str) -> None:
        self._rejects.add(
            row=row.number, column=column, reason=reason, cells=row.cells, original=row.original
        )

    def _stopped(self, error: BaseException) -> None:
        """Say in `error` how far the import came; what was taken is in the spool and kept."""
        self._rejects.abandon()
        try:
            self._target.flush(_LAST_FLUSH_S)
        except MapleBridgeError as second:
            _note(error, second)
        for sent in self._on_their_way:
            if sent.arrival.done and sent.arrival.error is None:
                self._arrived(sent)
        if isinstance(error, MapleBridgeError):
            done = (
                "1 row was published before that and is kept"
                if self._published == 1
                else f"{self._published:,} rows were published before that and are kept"
            )
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
                    share=self._source.share,
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
        waiting = self._target.waiting
        return ImportResult(
            rows=self._rows,
            published=self._published,
            rejected=self._rejects.rows,
            already_published=self._already,
            events=self._events,
            corrections=self._corrections,
            reject_path=self._rejects.finish(),
            waiting=waiting,
            unsent=self._unsent if waiting else None,
            unseen=self._source.unseen if self._rows else (),
        )


def _note(error: BaseException, second: MapleBridgeError) -> None:
    if second is not error:
        error.add_note(f"Then: {second}")
