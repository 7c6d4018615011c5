"""The projections in PostgreSQL: a batch of events and its offsets in one transaction."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from maplebridge.access_policy.acl import ANSWERS_TOPIC
from maplebridge.errors import MapleBridgeError, SchemaDiffers, StoreUnavailable
from maplebridge.projections.answers import Answers
from maplebridge.projections.folds import fold_all
from maplebridge.projections.letters import DeadLetter, set_aside
from maplebridge.projections.migrate import newest
from maplebridge.projections.notices import Notices, moved
from maplebridge.projections.settling import Settling
from maplebridge.projections.standing import Identity, amendment_of, identity_of
from maplebridge.projections.tables import Tables
from maplebridge.schemas import Catalogue, Contract, Event
from maplebridge.schemas.case_rules import load_case_rules
from maplebridge.schemas.recognised import Recognised
from maplebridge.settings import Settings
from maplebridge.sql import is_disk_full, load_queries
from maplebridge.tls import explained

SQL = load_queries("maplebridge.projections", "store.sql")
DATABASE = "maplebridge"
CLAIM_TRIES = 3
log = logging.getLogger(__name__)
REBUILT = (
    "events",
    "amendments",
    "case_parts",
    "community_hour_tallies",
    "warnings",
    "warning_pushes",
    "warning_responses",
    "dead_letters",
)
"""The tables that are made of the record, and of nothing else."""
HASHED = {
    "events": 3,
    "amendments": 5,
    "case_parts": 2,
    "community_hour_tallies": 6,
    "warnings": 1,
    "warning_pushes": 2,
    "warning_responses": 2,
}
"""Table -> how many of the first columns of its statement are its key."""

Place = tuple[str, int]
"""topic, partition"""


class Fenced(MapleBridgeError):
    """Another worker owns these partitions now; nothing of the batch was written."""

    def __init__(self, places: Sequence[Place]) -> None:
        listed = ", ".join(f"{topic}[{partition}]" for topic, partition in places)
        super().__init__(f"another worker has taken over {listed}.")
        self.places = tuple(places)


@dataclass(frozen=True, slots=True)
class Span:
    """The offsets one batch covers of one partition: [start, end), under one epoch."""

    topic: str
    partition: int
    epoch: int
    start: int
    end: int

    @property
    def place(self) -> Place:
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class Accepted:
    """One event that passed every check; `key` and `value` are as they came off Kafka.

    timestamp_ms: the record's LogAppendTime, milliseconds since 1970.
    """

    topic: str
    partition: int
    contract: Contract
    event: Event
    key: bytes
    value: bytes
    timestamp_ms: int

    @property
    def place(self) -> Place:
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch: new events, repeated ones, refused ones."""

    combined: int
    repeated: int
    dead_lettered: int


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn the driver's 'no connection', or an ended transaction, into StoreUnavailable."""
    try:
        yield
    except (
        psycopg.OperationalError,
        psycopg.InterfaceError,
        psycopg.errors.TransactionTimeout,
        psycopg.errors.IdleInTransactionSessionTimeout,
    ) as exc:
        address = f"{settings.postgres_host}:{settings.postgres_port}"
        full = is_disk_full(exc)
        error = StoreUnavailable(address, type(exc).__name__, full=full)
        raise explained(error, tls_ca=settings.tls_ca) from exc


def connect(settings: Settings, *, schema: str = "projections") -> psycopg.Connection[Any]:
    """Return a connection of the settings' principal; raises StoreUnavailable."""
    with translated(settings):
        return psycopg.connect(
            settings.postgres_dsn(DATABASE),
            password=settings.secret.get_secret_value(),
            options=f"-c search_path={schema},pg_temp -c jit=off -c timezone=UTC",
            autocommit=True,
        )


class ProjectionStore:
    """Writes batches for one consumer over one connection.

    answers, notices: encode what departments are answered and what an amended event's place
    is told; None for a rebuild, which must not send anything again, nor what goes onward.
    transaction_limit_s: a paused worker's transaction must end before its partitions
    move, or it would block its successor.
    """

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        catalogue: Catalogue,
        *,
        consumer: str = "combine",
        answers: Answers | None = None,
        notices: Notices | None = None,
        transaction_limit_s: float = 60.0,
    ) -> None:
        self.connection = connection
        self.consumer = consumer
        self._answers = answers
        self._notices = notices
        self._built_for = newest()
        self._rules = load_case_rules()
        self._settling = Settling(connection, catalogue, self._rules)
        self._limit_s = transaction_limit_s
        limit_ms = int(transaction_limit_s * 1000)
        connection.execute(f"SET transaction_timeout = {limit_ms}")
        connection.execute(f"SET idle_in_transaction_session_timeout = {limit_ms}")
        connection.execute(f"SET lock_timeout = {limit_ms // 2}")
        self._tables = Tables(connection, self._rules)

    def claim(self, topic: str, partition: int) -> tuple[int, int]:
        """Take over a partition: return (next offset, epoch); older epochs are fenced off.

        The worker before may still hold the row, paused in a transaction. PostgreSQL ends it
        by its own limit, but not while it waits for rows of a COPY; that is done here.
        """
        wanted = {"consumer": self.consumer, "topic": topic, "partition": partition}
        for left in reversed(range(CLAIM_TRIES)):
            try:
                row = self.connection.execute(SQL["claim"], wanted).fetchone()
            except psycopg.errors.LockNotAvailable:
                if not left:
                    raise
                log.warning("%s[%d] is still held by another worker", topic, partition)
                self.connection.execute(SQL["end_overdue"], {"limit_s": self._limit_s})
            else:
                if row is not None:
                    return int(row[0]), int(row[1])
        raise MapleBridgeError(f"no offset came back for {topic}[{partition}].")

    def write(
        self,
        spans: Sequence[Span],
        accepted: Sequence[Accepted],
        dead: Sequence[DeadLetter],
    ) -> Written:
        """Write a batch and advance its offsets, or raise and write nothing.

        Of two events of one identity the first counts, however they fall into batches. Raises
        Fenced, or SchemaDiffers if the tables are not those of this build: in an upgrade the
        older workers stop so, and the newer go on where they stood.
        """
        unique: dict[Identity, Accepted] = {}
        for each in accepted:
            unique.setdefault(identity_of(each.contract, each.event), each)
        amending = {
            identity: amendment
            for identity, each in unique.items()
            if (amendment := amendment_of(each.contract, each.event)) is not None
        }
        with self.connection.transaction():
            self._settling.hold(amends=bool(amending))
            self._advance(spans)
            self._check_schema()
            new = self._tables.accept(
                (identity, each.contract, each.event, each.timestamp_ms)
                for identity, each in unique.items()
            )
            fresh = {identity: each for identity, each in unique.items() if identity in new}
            amendments = [amending[each] for each in fresh if each in amending]
            void = self._settling.void_on_arrival(fresh.keys(), amendments)
            counting = (each for identity, each in fresh.items() if identity not in void)
            change = fold_all(((each.contract, each.event) for each in counting), self._rules)
            settled = self._settling.settle(change, self._tables.add_parts(change), amendments)
            self._tables.replace_parts(settled.parts)
            self._tables.add_tallies(change)
            self._tables.add_warnings(change)
            for letter in dead:
                set_aside(self.connection, letter)
            if self._answers is not None:
                self._send(fresh.values(), dead, settled.answers, self._answers)
            if self._notices is not None and (amendments or void):
                self._tell(void | {each for each in fresh if each in amending}, self._notices)
        return Written(len(fresh), len(accepted) - len(fresh), len(dead))

    def _advance(self, spans: Sequence[Span]) -> None:
        rows = self.connection.execute(
            SQL["advance"],
            {
                "consumer": self.consumer,
                "topics": [span.topic for span in spans],
                "partitions": [span.partition for span in spans],
                "epochs": [span.epoch for span in spans],
                "expected": [span.start for span in spans],
                "next": [span.end for span in spans],
            },
        ).fetchall()
        lost = {span.place for span in spans} - set(rows)
        if lost:
            raise Fenced(sorted(lost))

    def _check_schema(self) -> None:
        """Compare builds; the offsets held since `_advance` keep a migration out till commit."""
        row = self.connection.execute(SQL["newest_migration"]).fetchone()
        if row is None or row[0] != self._built_for:
            raise SchemaDiffers(self._built_for, str(row and row[0]))

    def _send(
        self,
        fresh: Iterable[Accepted],
        dead: Iterable[DeadLetter],
        recognised: Iterable[Recognised],
        answers: Answers,
    ) -> None:
        with self._outbox() as copy:
            for each in fresh:
                if each.contract.department != "react":
                    copy.write_row((each.contract.core_topic, each.key, each.value, None))
            for letter in dead:
                headers = Jsonb(dict(letter.headers))
                copy.write_row((f"mb.dlq.{letter.topic}", letter.key, letter.value, headers))
            for answer in recognised:
                value = answers.encode(answer)
                copy.write_row((ANSWERS_TOPIC, answer.event_id.encode(), value, None))

    @contextmanager
    def _outbox(self) -> Iterator[psycopg.Copy]:
        with self.connection.cursor().copy(SQL["copy_outbox"]) as copy:
            copy.set_types(("text", "bytea", "bytea", "jsonb"))
            yield copy

    def _tell(self, fresh: Iterable[Identity], notices: Notices) -> None:
        found = moved(self.connection, fresh)
        if found:
            with self._outbox() as copy:
                for notice in found:
                    copy.write_row((*notices.row(notice), None))


def offsets_of(connection: psycopg.Connection[Any], consumer: str) -> dict[Place, int]:
    """Return the next offset of every partition that `consumer` has begun."""
    rows = connection.execute(SQL["progress"], {"consumer": consumer}).fetchall()
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


def lock_offsets(connection: psycopg.Connection[Any], consumer: str) -> None:
    """Hold every worker of `consumer` before its next write, until the transaction ends."""
    connection.execute(SQL["lock_offsets"], {"consumer": consumer})


def state_hash(connection: psycopg.Connection[Any]) -> str:
    """Return the hex SHA-256 of the projections' named columns in key order.

    What a reaction said on the way to a warning, and took back, depends on the order in
    which orders arrived; the warnings that hold in the end do not, so they alone count.
    """
    digest = hashlib.sha256()
    with connection.cursor() as cursor:
        for table in HASHED:
            digest.update(table.encode())
            with cursor.copy(SQL[f"hash_{table}"]) as copy:
                for chunk in copy:
                    digest.update(chunk)
    return digest.hexdigest()
