"""Appending to the audit log, and searching it."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import psycopg

from maplebridge.access_policy.audit.leaf import Leaf, commit, decode_leaf
from maplebridge.access_policy.audit.store import DATABASE, connect, statement, to_cover, translated
from maplebridge.access_policy.merkle import split_hashes
from maplebridge.errors import InputError
from maplebridge.settings import Settings


@dataclass(frozen=True, slots=True)
class Found:
    """A leaf that a search found, and where it stands in the log."""

    index: int
    leaf: Leaf


class AuditLog:
    """The audit log, as one principal sees it. Safe to share between threads.

    Nothing is opened before the first call; a lost connection is opened anew.
    """

    def __init__(
        self, settings: Settings, *, database: str = DATABASE, timeout_s: float = 5.0
    ) -> None:
        self._settings = settings
        self._database = database
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None

    def append(self, leaves: Sequence[Leaf]) -> int:
        """Append the leaves in order; they are on disk when this returns.

        Returns the index of the first; the others follow it without a gap. All
        or none are appended. Raises AuditUnavailable if that is not certain, and
        then nothing may be released; InputError if a leaf cannot be written.
        """
        if not leaves:
            raise InputError("no audit leaf to append.", todo="Give at least one.")
        rows = {
            "bodies": [leaf.encode() for leaf in leaves],
            "salts": [leaf.cover.salt if leaf.cover else None for leaf in leaves],
            "commitments": [
                b"".join(leaf.cover.commitments) if leaf.cover else None for leaf in leaves
            ],
        }
        with self._connected() as connection:
            row = connection.execute(statement("append"), rows, prepare=True).fetchone()
        if row is None:  # pragma: no cover - the function returns a row or raises
            raise AssertionError("audit.append returned nothing")
        return int(row[0])

    def search(
        self,
        *,
        who: str | None = None,
        resource: str | None = None,
        field: str | None = None,
        decision: str | None = None,
        since: int | None = None,
        until: int | None = None,
        identifier: str | None = None,
        limit: int = 100,
    ) -> list[Found]:
        """Return the newest matching leaves, newest first, each with its cover.

        who: a principal that acted or was served. resource: an event type or read
        model. field: a path. since, until: microseconds since the epoch, half
        open. identifier: the id of an event, subject or key that a leaf covers,
        as it was given to `cover`. Raises AuditUnavailable.
        """
        wanted = {
            "who": who,
            "resource": resource,
            "field": field,
            "decision": decision,
            "since": since,
            "until": until,
        }
        found: list[Found] = []
        with (
            self._connected() as connection,
            connection.transaction(),
            connection.cursor(name="search") as cursor,
        ):
            cursor.execute(statement("search"), wanted)
            for index, body, salt, commitments in cursor:
                held = to_cover(salt, commitments)
                if identifier is not None and not (held and held.covers(identifier)):
                    continue
                found.append(Found(index, decode_leaf(body, cover=held)))
                if len(found) >= limit:
                    break
        return found

    def covering(self, identifiers: Collection[str]) -> Iterator[tuple[Found, frozenset[str]]]:
        """Yield every leaf that covers some of these ids, oldest first, with those it covers.

        It computes a commitment for each leaf and id. Raises AuditUnavailable.
        """
        with (
            self._connected() as connection,
            connection.transaction(),
            connection.cursor(name="covering") as cursor,
        ):
            cursor.execute(statement("covered"))
            for index, body, salt, commitments in cursor:
                held = frozenset(split_hashes(bytes(commitments)))
                met = frozenset(
                    each for each in identifiers if commit(each, salt=bytes(salt)) in held
                )
                if met:
                    yield Found(index, decode_leaf(body)), met

    def size(self) -> int:
        """Return the number of leaves; raises AuditUnavailable."""
        with self._connected() as connection:
            row = connection.execute(statement("size")).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        with self._lock:
            self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[Any]]:
        with self._lock, translated(self._settings):
            connection = self._alive()
            try:
                yield connection
            except BaseException:
                # whatever state it is in, the next call starts on a fresh one
                self._drop()
                raise

    def _alive(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = connect(
                self._settings, database=self._database, timeout_s=self._timeout_s
            )
        return self._connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
