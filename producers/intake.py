"""Taking events: all that belongs to them is committed together, before a caller goes on.

The new masters, the spooled events, the steps of their cases, what they amend and the
digests of imported rows are one transaction. Callers that come at the same time share one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.errors import SpoolFull
from maplebridge.producers.amendments import Amendment, Amendments
from maplebridge.producers.backlog import Fresh
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.lifecycle import Change, Lifecycles
from maplebridge.producers.preparation import Prepared
from maplebridge.producers.sender import Sender
from maplebridge.producers.spool import Spool, Spooled
from maplebridge.settings import Settings

_BESIDES_BYTES = 2_000


class Entry(NamedTuple):
    """One event to be taken, with what is kept beside it."""

    prepared: Prepared
    delivery: Delivery
    change: Change | None
    digest: bytes | None
    amendment: Amendment | None


@dataclass(slots=True)
class _Group:
    entries: Sequence[Entry]
    settled: bool = False
    error: BaseException | None = None


class Intake:
    """Takes prepared events into the store. Safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        store: DepartmentStore,
        *,
        keys: DepartmentKeys,
        spool: Spool,
        lifecycles: Lifecycles,
        imports: ImportState,
        amendments: Amendments,
        sender: Sender,
    ) -> None:
        self._max_events = settings.spool_max_events
        self._max_bytes = settings.spool_max_bytes
        self._wait_s = settings.spool_wait_s
        self._store = store
        self._keys = keys
        self._spool = spool
        self._lifecycles = lifecycles
        self._imports = imports
        self._amendments = amendments
        self._sender = sender
        self._groups: deque[_Group] = deque()

    def wait_for_room(self, besides: int = 0) -> None:
        """Return when the spool has room for one more event besides so many.

        Raises SpoolFull if it has none for `spool_wait_s`.
        """
        if self._has_room(besides) or self._sender.wait(
            lambda: self._has_room(besides), self._wait_s
        ):
            return
        raise SpoolFull(
            f"the spool of department {self._store.department} is full: {self._spool.count:,}"
            f" events, {self._spool.size:,} bytes. The event was not taken.",
            todo="Bring back what they wait for (`maplebridge spool status`), or raise"
            " MAPLEBRIDGE_SPOOL_MAX_EVENTS or MAPLEBRIDGE_SPOOL_MAX_BYTES.",
        )

    def check(self) -> None:
        """Write something small, where there is room for an event. Raises as `take` does."""
        self.wait_for_room()
        self._spool.remember("checked", str(time.time_ns()))

    def take(self, entries: Sequence[Entry]) -> None:
        """Commit events, all or none, and hand them to the sender.

        Raises DepartmentStoreUnavailable if the disk is full or cannot be written.
        """
        group = _Group(entries)
        self._groups.append(group)
        with self._store.mutex:
            # another thread may have committed it along with its own
            if not group.settled:
                self._commit()
        if group.error is not None:
            raise group.error

    def forget(self, entries: Sequence[Entry]) -> None:
        """Undo what preparing entries has put in memory; they were not taken."""
        with self._store.mutex:
            self._lifecycles.forget([each.change for each in entries if each.change is not None])
            self._imports.forget(each.delivery.event_id for each in entries)
            self._amendments.forget(each.amendment for each in entries if each.amendment)

    def _has_room(self, besides: int) -> bool:
        spool = self._spool
        return spool.count + besides < self._max_events and spool.size < self._max_bytes

    def _commit(self) -> None:
        groups: list[_Group] = []
        while self._groups:
            groups.append(self._groups.popleft())
        entries = [each for group in groups for each in group.entries]
        error: BaseException | None = None
        try:
            size = sum(len(each.prepared.body) + _BESIDES_BYTES for each in entries)
            self._store.check_room(size)
            rows = self._write(entries)
        except BaseException as exc:  # every thread that shares the commit is told
            error = exc
            self.forget(entries)
        else:
            needs = self._keys.last_pending
            self._sender.put(
                [Fresh(row, each.delivery, needs) for row, each in zip(rows, entries, strict=True)]
            )
        for group in groups:
            group.settled, group.error = True, error

    def _write(self, entries: Sequence[Entry]) -> list[Spooled]:
        spool = self._spool
        rows = []
        for prepared, delivery, *_ in entries:
            delivery.seq, delivery.size = spool.next_seq(), len(prepared.body)
            rows.append(
                Spooled(
                    delivery.seq,
                    prepared.stream,
                    prepared.event_id,
                    prepared.key,
                    prepared.occurred_at,
                    prepared.body,
                )
            )
        with self._store.transaction():
            self._keys.write_new()
            spool.add(rows)
            changes = [each.change for each in entries if each.change is not None]
            if changes:
                self._lifecycles.write(changes)
            digests = [
                (each.delivery.event_id, each.digest) for each in entries if each.digest is not None
            ]
            if digests:
                self._imports.add(digests)
            amendments = [each.amendment for each in entries if each.amendment is not None]
            if amendments:
                self._amendments.write(amendments)
        return rows
