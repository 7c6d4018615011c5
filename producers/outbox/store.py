"""The department's database as the relay sees it: rows that wait, rows refused."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Self

import psycopg
from psycopg import sql

from maplebridge.errors import InputError, OutboxHeld, StoreUnavailable
from maplebridge.producers.outbox.plan import TIMESTAMP, RelayPlan
from maplebridge.producers.outbox.rows import OutboxRow
from maplebridge.producers.postgresql_errors import not_connected
from maplebridge.sql import load_queries

_SQL = load_queries("maplebridge.producers.outbox", "store.sql")
_LOCK_CLASS = 1_297_240_658
_STATEMENT_LIMIT_MS = 60_000
SILENT_S = 60.0
_TODO = "Check the department's database, --dsn and PGPASSWORD."
_KNOWS_IDLE = 140_000
# both sides notice within half a minute that the other's machine is gone
_KEEPALIVES: dict[str, Any] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
}
_OPTIONS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        **{f"tcp_{name}": value for name, value in _KEEPALIVES.items()},
        "statement_timeout": _STATEMENT_LIMIT_MS,
        "idle_in_transaction_session_timeout": _STATEMENT_LIMIT_MS,
        "timezone": "UTC",
    }.items()
)


@dataclass(frozen=True)
class Rejected:
    """A row that cannot be published as it is; position: where it stood in the queue."""

    id: uuid.UUID
    position: int
    path: str
    reason: str


def _connect(dsn: str) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            dsn,
            autocommit=True,
            connect_timeout=5,
            application_name="maplebridge relay",
            options=_OPTIONS,
            **_KEEPALIVES,
        )
    except psycopg.OperationalError as exc:
        raise not_connected(exc, dsn, todo=_TODO) from None


def install_sql(plan: RelayPlan) -> str:
    """Return what the owner of the outbox runs once, for psql."""
    text = files("maplebridge.producers.outbox").joinpath("install.sql").read_text("utf-8")
    composed = sql.SQL(text).format(**_names(plan))
    return composed.as_string(None)


class OutboxStore:
    """One connection to the department's database; closed after any error."""

    def __init__(
        self,
        dsn: str,
        plan: RelayPlan,
        *,
        payload_max_bytes: int,
        silent_s: float = SILENT_S,
    ) -> None:
        """dsn: a libpq connection string; a password comes from PGPASSWORD or PGPASSFILE.

        silent_s: when PostgreSQL (14 or later) lets go of a connection that asks nothing.
        Raises StoreUnavailable, AccessDenied if the login is refused, OutboxHeld, InputError if
        the string is none.
        """
        names = _names(plan)
        self._queries = {name: sql.SQL(text).format(**names) for name, text in _SQL.items()}
        self._payload_max_bytes = payload_max_bytes
        with self._translated():
            self._db = _connect(dsn)
        self.address = f"{self._db.info.host}:{self._db.info.port}"
        try:
            if self._db.info.server_version >= _KNOWS_IDLE:
                self._one("end_when_idle", milliseconds=str(int(silent_s * 1000)))
            if not self._one("lock")[0]:
                pid, asked_at = self._one("holder") or (0, None)
                raise OutboxHeld(self.address, pid, asked_at)
        except BaseException:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def read(self, limit: int) -> list[OutboxRow]:
        """Return the first rows that wait, in the order in which they were committed."""
        values = {"limit": limit, "payload_max_bytes": self._payload_max_bytes}
        with self._translated():
            return [OutboxRow(*row) for row in self._db.execute(self._queries["read"], values)]

    def conclude(
        self, rows: Sequence[OutboxRow], rejected: Sequence[Rejected], *, delete: bool
    ) -> None:
        """Take rows off the queue, and note the refused ones, in one transaction.

        delete: remove the rows that were not refused from the outbox too.
        """
        refused = {each.id for each in rejected}
        with self._translated(), self._db.transaction():
            for each in rejected:
                self._db.execute(
                    self._queries["reject"],
                    {
                        "id": each.id,
                        "position": each.position,
                        "path": each.path,
                        "reason": each.reason,
                    },
                )
            self._db.execute(self._queries["done"], {"positions": [row.position for row in rows]})
            if delete:
                ids = [row.id for row in rows if row.id not in refused]
                self._db.execute(self._queries["remove"], {"ids": ids})

    def retry(self) -> int:
        """Put the refused rows at the end of the queue again, in their order; return how many."""
        with self._translated():
            return self._db.execute(self._queries["retry"]).rowcount

    def backlog(self) -> tuple[int, float]:
        """Return how many rows wait, and for how many seconds the first of them."""
        count, seconds = self._one("backlog")
        return int(count), float(seconds)

    def _one(self, name: str, **values: str) -> tuple[Any, ...]:
        with self._translated():
            row = self._db.execute(self._queries[name], values or None).fetchone()
        return tuple(row or ())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn) as exc:
            raise InputError(
                "the outbox, a column of it or the relay's own tables are not there"
                f" (SQLSTATE {exc.sqlstate}).",
                todo="Check `table` and `columns`; run what `maplebridge relay --sql` prints.",
            ) from None
        except psycopg.errors.InsufficientPrivilege as exc:
            raise InputError(
                f"the relay's role may not do this (SQLSTATE {exc.sqlstate}).",
                todo="Run the grants that `maplebridge relay --sql` prints.",
            ) from None
        except psycopg.OperationalError as exc:
            raise StoreUnavailable(
                self.address,
                f"SQLSTATE {exc.sqlstate}" if exc.sqlstate else type(exc).__name__,
                todo=_TODO,
            ) from None
        except psycopg.ProgrammingError as exc:
            raise InputError(
                f"the department's database refuses this (SQLSTATE {exc.sqlstate or 'none'}).",
                todo="Check --dsn and the relay file.",
            ) from None


def _names(plan: RelayPlan) -> Mapping[str, sql.Composable]:
    """Return what the braces in the .sql files stand for."""

    def beside(suffix: str) -> sql.Identifier:
        return sql.Identifier(plan.schema, plan.table + suffix)

    def text(name: sql.Identifier) -> sql.Literal:
        return sql.Literal(name.as_string(None))

    queue, sequence = beside("_relay_queue"), beside("_relay_position")
    rights = "SELECT, DELETE" if plan.after == "delete" else "SELECT"
    timestamp = plan.columns.get(TIMESTAMP)
    return {
        **{name: sql.Identifier(column) for name, column in plan.columns.items()},
        "timestamp": sql.SQL("o.") + sql.Identifier(timestamp) if timestamp else sql.NULL,
        "schema": sql.Identifier(plan.schema),
        "table": sql.Identifier(plan.schema, plan.table),
        "role": sql.Identifier(plan.role),
        "rights": sql.SQL(rights),
        "queue": queue,
        "queue_name": text(queue),
        "sequence": sequence,
        "sequence_name": text(sequence),
        "rejects": beside("_relay_reject"),
        "function": beside("_relay_enqueue"),
        "trigger": sql.Identifier(plan.table + "_relay_enqueue"),
        "lock_class": sql.Literal(_LOCK_CLASS),
    }
