"""The spool: events that were accepted and that Kafka has not acknowledged, on disk in order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.schemas import Contract
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.producers", "spool.sql")


class Spooled(NamedTuple):
    """One waiting event, as a row of the spool; body: see spool.sql."""

    seq: int
    stream: int
    event_id: str
    key: str
    occurred_at: int
    body: bytes


@dataclass(slots=True)
class Stream:
    """Events of one contract on one topic; schema_id is None until the registry was asked."""

    number: int
    topic: str
    event_type: str
    ce_type: str
    schema: dict[str, Any]
    schema_id: int | None


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that Kafka or the registry refused for good; refused_at in microseconds."""

    seq: int
    event_id: str
    event_type: str
    refused_at: int
    reason: str


class Spool:
    """The tables of the spool in a department's store.

    count, size: events that wait, and the bytes of their bodies.
    """

    def __init__(self, store: DepartmentStore) -> None:
        self._store = store
        store.make_tables(SQL["schema"])
        self.count, self.size, self._last = 0, 0, 0
        self._recount()
        self._streams: dict[int, Stream] = {}

    def held(self) -> AbstractContextManager[bool]:
        """Return the lock under which nothing is added to the spool."""
        return self._store.mutex

    def stream(self, contract: Contract, topic: str) -> int:
        """Return the number of a contract's stream, made when missing."""
        with self._store.transaction() as db:
            row = db.execute(SQL["find_stream"], (topic, contract.fingerprint)).fetchone()
            if row is None:
                schema = json.dumps(contract.schema, ensure_ascii=False)
                told = (topic, contract.event_type, contract.ce_type, contract.fingerprint, schema)
                row = db.execute(SQL["add_stream"], told).fetchone()
        return int(row[0])

    def stream_of(self, number: int) -> Stream:
        found = self._streams.get(number)
        if found is None:
            with self._store.reading() as db:
                row = db.execute(SQL["stream"], (number,)).fetchone()
            topic, event_type, ce_type, schema, schema_id = row
            found = Stream(number, topic, event_type, ce_type, json.loads(schema), schema_id)
            self._streams[number] = found
        return found

    def set_schema_id(self, stream: Stream, schema_id: int) -> None:
        with self._store.transaction() as db:
            db.execute(SQL["set_schema_id"], (schema_id, stream.number))
        stream.schema_id = schema_id

    def next_seq(self) -> int:
        """Return a number for a new event; to be asked for within a transaction."""
        self._last += 1
        return self._last

    def add(self, events: Sequence[Spooled]) -> None:
        """Write events, within a transaction."""
        with self._store.transaction() as db:
            db.executemany(SQL["add"], events)
            self._store.after_commit(
                lambda: self._counted(len(events), sum(len(each.body) for each in events))
            )

    def read(self, after: int, limit: int) -> list[Spooled]:
        """Return the events behind `after`, in order."""
        with self._store.reading() as db:
            rows = db.execute(SQL["read"], (after, limit))
            return [Spooled(*row) for row in rows]

    def remove(self, seqs: Iterable[int], size: int) -> None:
        """Remove events that Kafka has acknowledged; size: the bytes of their bodies together."""
        self._store.make_room()
        ranges = _ranges(sorted(seqs))
        with self._store.transaction() as db:
            db.executemany(SQL["remove"], ranges)
            count = sum(last - first + 1 for first, last in ranges)
            self._store.after_commit(lambda: self._counted(-count, -size))

    def refuse(self, seq: int, size: int, reason: str) -> None:
        """Take an event out of the way that no waiting can mend."""
        with self._store.transaction() as db:
            db.execute(SQL["refuse"], (time.time_ns() // 1000, reason, seq))
            db.execute(SQL["remove"], (seq, seq))
            self._store.after_commit(lambda: self._counted(-1, -size))

    def refused(self, *, limit: int = 1_000) -> list[Refused]:
        """Return the events that were refused, oldest first."""
        with self._store.reading() as db:
            return [Refused(*row) for row in db.execute(SQL["refused"], (limit,))]

    def refused_count(self) -> int:
        with self._store.reading() as db:
            return int(db.execute(SQL["count_refused"]).fetchone()[0])

    def refused_with_id(self, event_id: str) -> list[int]:
        """Return the numbers under which an event lies among the refused."""
        with self._store.reading() as db:
            return [seq for (seq,) in db.execute(SQL["refused_with_id"], (event_id,))]

    def find(self, event_ids: Sequence[str]) -> list[int]:
        """Return the numbers of those events that wait; reads the whole spool."""
        with self._store.reading() as db:
            return [seq for (seq,) in db.execute(SQL["find"], (json.dumps(event_ids),))]

    def holds(self, seqs: Sequence[int]) -> bool:
        """Tell whether any of these events still waits."""
        with self._store.reading() as db:
            return bool(db.execute(SQL["holds"], (json.dumps(seqs),)).fetchone()[0])

    def fates(self, event_ids: Sequence[str]) -> dict[str, str | None]:
        """Return None for an event that waits, and why for one that was refused.

        Of events that were taken, all others were acknowledged. Reads the whole spool.
        """
        with self._store.reading() as db:
            return dict(db.execute(SQL["fates"], {"ids": json.dumps(event_ids)}))

    def waiting(self) -> dict[str, int]:
        """Return how many events wait, by event type."""
        with self._store.reading() as db:
            return {event_type: count for event_type, count, _ in db.execute(SQL["waiting"])}

    def retry(self, seqs: Iterable[int]) -> list[str]:
        """Put refused events behind all that wait, to be sent again; return their ids."""
        seqs = list(seqs)
        with self._store.transaction() as db:
            for seq in seqs:
                db.execute(SQL["retry"], (self.next_seq(), seq))
            self._store.after_commit(self._recount)
            return self.discard(seqs)

    def discard(self, seqs: Iterable[int]) -> list[str]:
        """Drop refused events; return their ids."""
        with self._store.transaction() as db:
            return [event_id for seq in seqs for (event_id,) in db.execute(SQL["discard"], (seq,))]

    def recall(self, name: str) -> str | None:
        """Return what was remembered under a name."""
        with self._store.reading() as db:
            row = db.execute(SQL["recall"], (name,)).fetchone()
        return None if row is None else str(row[0])

    def remember(self, name: str, value: str) -> None:
        with self._store.transaction() as db:
            db.execute(SQL["remember"], (name, value))

    def _counted(self, count: int, size: int) -> None:
        self.count += count
        self.size += size

    def _recount(self) -> None:
        with self._store.reading() as db:
            self.count, self.size, last = db.execute(SQL["totals"]).fetchone()
            (refused,) = db.execute(SQL["last_refused"]).fetchone()
        self._last = max(self._last, last, refused)


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return runs of successive numbers as (first, last)."""
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found
