"""Which records were refused, why, and what was done about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import psycopg
from psycopg.rows import class_row

from maplebridge.errors import InputError
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "letters.sql")
OPEN, RETRIED, DISCARDED = "open", "retried", "discarded"


@dataclass(frozen=True, slots=True)
class LetterPlace:
    """Where a refused record lies; in text `<topic>/<partition>/<offset>`."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> LetterPlace:
        """Raises InputError if `text` is no such place."""
        topic, _, rest = text.partition("/")
        partition, _, offset = rest.partition("/")
        if not (topic and partition.isdecimal() and offset.isdecimal()):
            raise InputError(
                "a dead letter is named TOPIC/PARTITION/OFFSET.",
                todo="`maplebridge deadletter list` shows them.",
            )
        return cls(topic, int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that no projection can take, with the reason and the failing path.

    timestamp_ms: the record's LogAppendTime, milliseconds since 1970.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    path: str
    schema_id: int | None
    key: bytes | None
    value: bytes | None
    headers: Mapping[str, str]
    timestamp_ms: int


@dataclass(frozen=True, slots=True)
class Letter:
    """A refused record; `path` is the first failing field, `state` open, retried or discarded.

    appended_at: when the broker took it, None for one set aside before that was kept.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    path: str
    schema_id: int | None
    appended_at: datetime | None
    state: str
    acted_by: str | None
    acted_at: datetime | None
    note: str | None

    @property
    def place(self) -> LetterPlace:
        return LetterPlace(self.topic, self.partition, self.offset)


def set_aside(connection: psycopg.Connection[Any], letter: DeadLetter) -> None:
    """Record a refused record in its batch's transaction."""
    columns = {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "path": letter.path,
        "schema_id": letter.schema_id,
        "timestamp_ms": letter.timestamp_ms,
    }
    connection.execute(SQL["set_aside"], columns)


def letters(
    connection: psycopg.Connection[Any],
    *,
    topic: str | None = None,
    reason_like: str | None = None,
    state: str | None = None,
    limit: int | None = None,
) -> list[Letter]:
    """Return refused records; reason_like: a part of the reason, in any case."""
    wanted = {"topic": topic, "reason_like": reason_like, "state": state, "limit": limit}
    return _found(connection, {**wanted, "partition": None, "offset": None})


def letter_at(connection: psycopg.Connection[Any], place: LetterPlace) -> Letter:
    """Raises InputError if no record there was refused."""
    wanted = {**asdict(place), "reason_like": None, "state": None, "limit": 1}
    found = _found(connection, wanted)
    if not found:
        raise InputError(
            f"there is no dead letter {place}.", todo="`maplebridge deadletter list` shows them."
        )
    return found[0]


def act(
    connection: psycopg.Connection[Any],
    place: LetterPlace,
    state: Literal["retried", "discarded"],
    *,
    by: str,
    note: str,
) -> None:
    """Record what was done; the first holds. No rebuild touches it."""
    connection.execute(SQL["act"], {**asdict(place), "state": state, "by": by, "note": note})


def _found(connection: psycopg.Connection[Any], wanted: dict[str, Any]) -> list[Letter]:
    with connection.cursor(row_factory=class_row(Letter)) as cursor:
        return cursor.execute(SQL["letters"], wanted).fetchall()
