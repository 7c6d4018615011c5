"""Events that were refused for good: put aside whole, sent again, or forgotten.

With an event go its step in its case, what it amends and the digest of its imported row,
in one transaction: what is put aside was not sent, and its row may be imported again.
"""

from __future__ import annotations

from collections.abc import Iterable

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.errors import AccessDenied, MapleBridgeError
from maplebridge.producers.amendments import Amendments
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.lifecycle import Lifecycles
from maplebridge.producers.spool import Spool


class Refusals:
    """Settles what is refused, in all tables that hold something of it."""

    def __init__(
        self,
        store: DepartmentStore,
        spool: Spool,
        lifecycles: Lifecycles,
        imports: ImportState,
        amendments: Amendments,
    ) -> None:
        self._store = store
        self._spool = spool
        self._lifecycles = lifecycles
        self._imports = imports
        self._amendments = amendments
        self._first: MapleBridgeError | None = None
        self._alarms: dict[str, AccessDenied] = {}

    def put_aside(self, delivery: Delivery, error: MapleBridgeError) -> None:
        """Take an event out of the way that no waiting can mend."""
        with self._store.transaction():
            self._spool.refuse(delivery.seq, delivery.size, str(error))
            self._lifecycles.put_aside(delivery.event_id)
            self._imports.put_aside(delivery.event_id)
            self._amendments.put_aside(delivery.event_id)
        self._first = self._first or error
        if isinstance(error, AccessDenied):
            self._alarms.setdefault(delivery.topic, error)

    def take_first(self) -> MapleBridgeError | None:
        """Return what the first event since the last call was refused for."""
        first, self._first = self._first, None
        self._alarms.clear()
        return first

    def take_alarm(self, topic: str) -> AccessDenied | None:
        """Return why `topic` may not be written, as others learned before; once."""
        return self._alarms.pop(topic, None)

    def retry(self, seqs: Iterable[int]) -> None:
        """Put refused events behind all that wait, to be sent again."""
        with self._store.transaction():
            for event_id in self._spool.retry(seqs):
                self._lifecycles.bring_back(event_id)
                self._imports.bring_back(event_id)
                self._amendments.bring_back(event_id)

    def discard(self, seqs: Iterable[int]) -> None:
        """Forget refused events for good."""
        with self._store.transaction():
            for event_id in self._spool.discard(seqs):
                self._lifecycles.discard(event_id)
                self._imports.discard(event_id)
                self._amendments.discard(event_id)
