"""The audit database: its statements, its migration, and rows as they lie there."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

import psycopg

from maplebridge.access_policy.audit.leaf import Cover, Searched
from maplebridge.access_policy.merkle import Frontier, leaf_hash, root_of, split_hashes
from maplebridge.errors import AuditCorrupt, AuditOverdue, AuditUnavailable
from maplebridge.schema_of_database import apply_schema
from maplebridge.settings import Settings
from maplebridge.sql import is_disk_full
from maplebridge.tls import explained

DATABASE = "maplebridge_audit"
OVERDUE = "MB001"
"""The SQLSTATE of an append that is refused because anchoring is overdue."""
_FETCH = 1000


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """A leaf as the log holds it. `cover` is None if it has none, or it was erased.

    searched: what the database finds it by; None where it is read from elsewhere.
    """

    index: int
    leaf_hash: bytes
    body: str
    cover: Cover | None = None
    searched: Searched | None = None


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A signed note over `size` leaves.

    frontier: the hashes of `Frontier.to_bytes` at that size. tail: the hashes of
    the leaves since the previous checkpoint, joined.
    """

    size: int
    note: str
    frontier: bytes = field(repr=False)
    tail: bytes = field(repr=False)


def migrate(connection: psycopg.Connection[Any]) -> None:
    """Create or update the audit schema; run by the administrator in `maplebridge_audit`.

    The roles mb_audit, mb_key_broker, mb_deliver and mb_query must exist.
    """
    apply_schema(connection, "audit", statement("schema"))


def require(connection: psycopg.Connection[Any], *, quorum: int, overdue_s: float) -> None:
    """Set when a leaf counts as anchored, and how long one may wait for it; administrator only.

    quorum: cosignatures that a checkpoint needs. overdue_s: 0 for ever, else the seconds after
    which `append` is refused.
    """
    connection.execute(statement("require"), {"quorum": quorum, "overdue_s": overdue_s})


@cache
def statement(name: str) -> LiteralString:
    """Return the text of sql/<name>.sql."""
    return files("maplebridge.access_policy.audit").joinpath(f"sql/{name}.sql").read_text("utf-8")


def connect(
    settings: Settings, *, database: str = DATABASE, timeout_s: float = 5.0
) -> psycopg.Connection[Any]:
    """Open a connection as the process's principal; raises AuditUnavailable.

    What it commits is on disk when COMMIT returns, whatever the server's default.
    """
    limit_ms = round(timeout_s * 1000)
    options = (
        f"-c synchronous_commit=on -c statement_timeout={limit_ms} -c lock_timeout={limit_ms}"
        f" -c idle_in_transaction_session_timeout={limit_ms}"
    )
    with translated(settings):
        return psycopg.connect(
            settings.postgres_dsn(database),
            password=settings.secret.get_secret_value(),
            options=options,
            application_name=f"maplebridge-{settings.principal}-audit",
            autocommit=True,
        )


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn a failure of the driver into AuditUnavailable: no audit, no release."""
    try:
        yield
    except psycopg.Error as exc:
        if exc.sqlstate == OVERDUE:
            raise AuditOverdue(waited_s=str(exc.diag.message_primary)) from exc
        detail = type(exc).__name__ if exc.sqlstate is None else f"SQLSTATE {exc.sqlstate}"
        address = f"{settings.postgres_host}:{settings.postgres_port}/{DATABASE}"
        error = AuditUnavailable(address, detail, full=is_disk_full(exc))
        raise explained(error, tls_ca=settings.tls_ca) from exc


def read_leaves(connection: psycopg.Connection[Any]) -> Generator[StoredLeaf, None, None]:
    """Yield every leaf in index order, a thousand at a time."""
    with connection.transaction(), connection.cursor(name="leaves") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(statement("leaves"))
        for index, hashed, body, salt, commitments, *searched in cursor:
            kept = to_cover(salt, commitments)
            yield StoredLeaf(index, bytes(hashed), body, kept, Searched(*searched))


def read_checkpoints(connection: psycopg.Connection[Any]) -> list[StoredCheckpoint]:
    return [_to_checkpoint(row) for row in connection.execute(statement("checkpoints"))]


def last_checkpoint(connection: psycopg.Connection[Any]) -> StoredCheckpoint | None:
    row = connection.execute(statement("last_checkpoint")).fetchone()
    return _to_checkpoint(row) if row else None


def read_hashes(connection: psycopg.Connection[Any], *, start: int, limit: int) -> list[bytes]:
    """Return the hashes of at most `limit` leaves from `start` on.

    Raises AuditCorrupt if one is missing.
    """
    rows = connection.execute(statement("new_hashes"), {"size": start, "limit": limit}).fetchall()
    for at, (index, _) in enumerate(rows, start=start):
        if index != at:
            raise AuditCorrupt(f"leaf {at} of the audit log is missing.", index=at)
    return [bytes(hashed) for _, hashed in rows]


@dataclass(frozen=True, slots=True)
class Unrelayed:
    """What Kafka does not have yet: leaves with their indexes, checkpoints over those.

    cosigned: the newest ones that it has, and that witnesses may have co-signed since.
    """

    leaves: list[tuple[int, str]]
    checkpoints: list[StoredCheckpoint]
    cosigned: list[StoredCheckpoint]
    leaves_end: int
    checkpoint_end: int


def read_unrelayed(
    connection: psycopg.Connection[Any], *, leaves: int, checkpoints: int
) -> Unrelayed:
    """Return at most so many of each, in order; raises AuditCorrupt if a leaf is missing."""
    row = connection.execute(statement("relay_place")).fetchone()
    start, last = row or (0, 0)
    found = connection.execute(
        statement("leaves_from"), {"index": start, "limit": leaves}
    ).fetchall()
    for at, (index, _) in enumerate(found, start=start):
        if index != at:
            raise AuditCorrupt(f"leaf {at} of the audit log is missing.", index=at)
    end = start + len(found)
    wanted = {"after": last, "until": end, "limit": checkpoints}
    fresh = list(map(_to_checkpoint, connection.execute(statement("checkpoints_until"), wanted)))
    cosigned = connection.execute(statement("cosigned"), {"until": last})
    return Unrelayed(
        leaves=found,
        checkpoints=fresh,
        cosigned=list(map(_to_checkpoint, cosigned)),
        leaves_end=end,
        checkpoint_end=fresh[-1].size if fresh else last,
    )


def read_frontier(connection: psycopg.Connection[Any], size: int) -> Frontier:
    """Return the frontier of the first `size` leaves; it is as good as what lies there.

    Raises AuditCorrupt if it does not lie there whole.
    """
    row = connection.execute(statement("checkpoint_at"), {"size": size}).fetchone()
    frontier = Frontier()
    if row is not None:
        stored = _to_checkpoint(row)
        try:
            frontier = Frontier.from_bytes(stored.size, stored.frontier)
        except ValueError:
            raise AuditCorrupt(f"the frontier at {stored.size} was altered.") from None
    limit = size - frontier.size
    frontier = frontier.extended(read_hashes(connection, start=frontier.size, limit=limit))
    if frontier.size != size:
        raise AuditCorrupt(f"leaf {frontier.size} of the audit log is missing.")
    return frontier


def to_cover(salt: bytes | None, commitments: bytes | None) -> Cover | None:
    """Return the cover that lies beside a leaf, its root computed anew."""
    if salt is None or commitments is None:
        return None
    items = split_hashes(bytes(commitments))
    return Cover(bytes(salt), items, root_of(leaf_hash(item) for item in items))


def _to_checkpoint(row: tuple[Any, ...]) -> StoredCheckpoint:
    size, note, frontier, tail = row
    return StoredCheckpoint(size, note, bytes(frontier), bytes(tail))
