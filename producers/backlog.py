"""What the sender has yet to send: events in memory while they are few, else read from disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple
from weakref import WeakValueDictionary

from maplebridge.producers.delivery import Carrier, Delivery
from maplebridge.producers.spool import Spool, Spooled

_MAX_EVENTS = 20_000
_MAX_BYTES = 32_000_000
_READ_EVENTS = 2_000


class Fresh(NamedTuple):
    """An event in memory that waits to be sent; needs: the newest master made before it."""

    event: Spooled
    delivery: Delivery
    needs: int


class Backlog:
    """Events in the order of their numbers. Filled by any thread, emptied by one.

    changed: its lock, taken after the store's where both are; notified of new events.
    oldest_at: when the oldest event in memory came (time.monotonic).
    """

    def __init__(self, spool: Spool, changed: threading.Condition) -> None:
        self._spool = spool
        self.changed = changed
        self.oldest_at = 0.0
        self._fresh: deque[Fresh] = deque()
        self._bytes = 0
        self._on_disk = spool.count > 0
        self._position = 0
        self._looked_for: WeakValueDictionary[int, Delivery] = WeakValueDictionary()

    def __bool__(self) -> bool:
        return bool(self._fresh) or self._on_disk

    @property
    def in_memory(self) -> int:
        return len(self._fresh)

    def put(self, events: Iterable[Fresh]) -> None:
        """Take events that are committed; under the store's mutex and `changed`."""
        if not self._fresh:
            self.oldest_at = time.monotonic()
        for each in events:
            if self._on_disk:
                self._looked_for[each.event.seq] = each.delivery
            else:
                self._fresh.append(each)
                self._bytes += len(each.event.body)
                self._on_disk = len(self._fresh) >= _MAX_EVENTS or self._bytes >= _MAX_BYTES

    def first(self, count: int, *, carrier: Carrier, newest_master: int) -> list[Fresh]:
        """Return up to so many events, read from disk if none is in memory."""
        if not self._fresh and self._on_disk:
            self._read(carrier, newest_master)
        with self.changed:
            return list(islice(self._fresh, count))

    def drop(self, count: int) -> None:
        """Leave the first events to Kafka; `go_back` finds them again on disk."""
        with self.changed:
            for _ in range(count):
                gone = self._fresh.popleft().event
                self._bytes -= len(gone.body)
                self._position = gone.seq
            self.oldest_at = time.monotonic()

    def go_back(self, lost: Mapping[int, Delivery]) -> None:
        """Begin again at the first event in `lost`, which Kafka has not acknowledged."""
        if not lost:
            return
        with self._spool.held(), self.changed:
            self._position = min(lost) - 1
            self._looked_for.update(lost)
            self._looked_for.update({each.event.seq: each.delivery for each in self._fresh})
            self._fresh.clear()
            self._bytes = 0
            self._on_disk = True

    def _read(self, carrier: Carrier, newest_master: int) -> None:
        with self._spool.held(), self.changed:
            events = self._spool.read(self._position, _READ_EVENTS)
            for event in events:
                delivery = self._looked_for.pop(event.seq, None)
                if delivery is None:
                    delivery = Delivery(event.event_id, "", carrier)
                    delivery.seq, delivery.size = event.seq, len(event.body)
                self._fresh.append(Fresh(event, delivery, newest_master))
                self._bytes += len(event.body)
            # nothing is added while the store is held: fewer is all
            self._on_disk = len(events) == _READ_EVENTS
