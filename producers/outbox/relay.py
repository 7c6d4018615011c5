"""The relay's work: read what waits, publish it in that order, take it off the queue.

A row leaves the queue only after its events are on the disk of the department's spool,
which brings them to Kafka in that order; a relay that is killed before that publishes
the row again under the same id, and the bus counts it once. There is no position to
lose: what waits is in the queue.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from maplebridge.errors import EventInvalid, EventTooLarge, InputError, OutboxHeld, Unavailable
from maplebridge.producers.batch import Batch
from maplebridge.producers.department import Department
from maplebridge.producers.event_json import shown_path
from maplebridge.producers.outbox.plan import RelayPlan
from maplebridge.producers.outbox.rows import OutboxRow, read_row
from maplebridge.producers.outbox.store import OutboxStore, Rejected

log = logging.getLogger(__name__)

BATCH_ROWS = 200
POLL_S = 0.5
RETRY_S = 2.0
HELD_S = 90.0
_LOOK_S = 1.0
# what was on its way when a connection was lost may still be heard
_LAST_WORDS = 2


@dataclass
class RelayProgress:
    """What this run did, and what waits: rows, and seconds since the first was committed."""

    relayed: int = 0
    rejected: int = 0
    waiting: int = 0
    lag_s: float = 0.0


class OutboxRelay:
    """Relays one outbox for one department, which must be open."""

    def __init__(
        self,
        plan: RelayPlan,
        department: Department,
        connect: Callable[[], OutboxStore],
        *,
        on_progress: Callable[[RelayProgress], None] = lambda _: None,
        stop: threading.Event | None = None,
        held_s: float = HELD_S,
    ) -> None:
        """stop: ends what waits or goes on, once it is set. held_s: how long to wait for a
        silent connection that holds the outbox; longer than PostgreSQL takes to let go of one
        that was lost.
        """
        self._plan = plan
        self._department = department
        self._connect = connect
        self._on_progress = on_progress
        self._stop = stop or threading.Event()
        self._held_s = held_s
        self._max_bytes = department.settings.event_max_bytes
        self.progress = RelayProgress()

    def retry(self) -> int:
        """Put the refused rows at the end of the queue again; return how many.

        Raises Unavailable, InputError if another relay is at work.
        """
        with self._open() as store:
            return store.retry()

    def run_once(self) -> RelayProgress:
        """Relay everything that waits now, and return.

        Raises Unavailable, AccessDenied, InputError if another relay is at work; what was
        relayed until then is off the queue.
        """
        with self._open() as store:
            self._tell(store)
            while self._step(store):
                self._tell(store)
        return self.progress

    def run(self) -> RelayProgress:
        """Relay until it is stopped; wait for servers that do not answer.

        Raises AccessDenied, InputError: what waiting does not mend, such as another relay
        at work.
        """
        while not self._stop.is_set():
            try:
                with self._open() as store:
                    self._tell(store)
                    while not self._stop.is_set():
                        if self._step(store):
                            self._tell(store)
                        else:
                            self._stop.wait(POLL_S)
            except Unavailable as error:
                log.warning("the relay waits: %s", error.message)
                self._stop.wait(RETRY_S)
        return self.progress

    def _open(self) -> OutboxStore:
        """Connect, and wait while a silent connection holds the outbox.

        A relay that lives asks every half second. One whose connection was lost asks
        nothing more, and holds the outbox until PostgreSQL lets go of that connection.
        Raises InputError if the other lives, or is silent for too long; OutboxHeld if
        this one is stopped meanwhile.
        """
        deadline = time.monotonic() + self._held_s
        asked: set[tuple[int, datetime | None]] = set()
        while True:
            try:
                store = self._connect()
            except OutboxHeld as held:
                if not asked:
                    log.warning("the relay waits for a lost connection: %s", held.message)
                asked.add((held.pid, held.asked_at))
                if len(asked) > _LAST_WORDS:
                    raise InputError(
                        "another relay is at work on this outbox.",
                        todo="Run one relay for one outbox.",
                    ) from None
                if time.monotonic() > deadline:
                    raise InputError(f"for too long {held.message}", todo=held.todo) from None
                if self._stop.wait(_LOOK_S):
                    raise
            else:
                if asked:
                    log.warning("the relay goes on: the outbox is free")
                return store

    def _step(self, store: OutboxStore) -> bool:
        """Relay the first rows that wait; return whether there were any."""
        rows = store.read(BATCH_ROWS)
        rejected: list[Rejected] = []
        with self._department.batch() as batch:
            for row in rows:
                try:
                    self._publish(batch, row)
                except (EventInvalid, EventTooLarge) as error:
                    rejected.append(_rejected(row, error))
        # all of them are on the disk of the department's spool now
        if rows:
            store.conclude(rows, rejected, delete=self._plan.after == "delete")
            self.progress.relayed += len(rows) - len(rejected)
            self.progress.rejected += len(rejected)
        return bool(rows)

    def _publish(self, batch: Batch, row: OutboxRow) -> None:
        events = read_row(row, self._plan, payload_max_bytes=self._max_bytes)
        with batch.together():
            for each in events:
                batch.publish(each.event_type, each.fields, **each.envelope)

    def _tell(self, store: OutboxStore) -> None:
        self.progress.waiting, self.progress.lag_s = store.backlog()
        self._on_progress(self.progress)


def _rejected(row: OutboxRow, error: EventInvalid | EventTooLarge) -> Rejected:
    if isinstance(error, EventInvalid):
        path = shown_path(error.path) or "payload"
        return Rejected(row.id, row.position, path, f"{error.reason} {error.todo}".strip())
    return Rejected(row.id, row.position, "payload", str(error))
