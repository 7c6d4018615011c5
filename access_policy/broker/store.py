"""The key broker's database: its statements, its migration and its connections."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, LiteralString

import psycopg

from maplebridge.errors import StoreUnavailable
from maplebridge.schema_of_database import apply_schema
from maplebridge.settings import Settings
from maplebridge.sql import is_disk_full
from maplebridge.tls import explained

DATABASE = "maplebridge_keys"

Connection = psycopg.Connection[Any]


def migrate(connection: Connection) -> None:
    """Create or update the schema `keys`; run by the administrator in `maplebridge_keys`.

    The role mb_key_broker must exist.
    """
    apply_schema(connection, "keys", statement("schema"))


@contextmanager
def administer(settings: Settings) -> Iterator[Connection]:
    """Open the database as the administrator; raises StoreUnavailable."""
    with (
        translated(settings),
        psycopg.connect(
            settings.postgres_dsn(DATABASE),
            password=settings.secret.get_secret_value(),
            autocommit=True,
        ) as connection,
    ):
        yield connection


@cache
def statement(name: str) -> LiteralString:
    """Return the text of sql/<name>.sql."""
    return files("maplebridge.access_policy.broker").joinpath(f"sql/{name}.sql").read_text("utf-8")


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn a failure of the driver into StoreUnavailable."""
    try:
        yield
    except psycopg.Error as exc:
        detail = type(exc).__name__ if exc.sqlstate is None else f"SQLSTATE {exc.sqlstate}"
        address = f"{settings.postgres_host}:{settings.postgres_port}/{DATABASE}"
        error = StoreUnavailable(address, detail, full=is_disk_full(exc))
        raise explained(error, tls_ca=settings.tls_ca) from exc


class Connections:
    """A few connections shared by the service's threads; a broken one is not used again.

    Nothing is opened before the first `use`, which raises StoreUnavailable.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        database: str = DATABASE,
        size: int = 4,
        timeout_s: float = 5.0,
    ) -> None:
        self._settings = settings
        self._database = database
        self._timeout_s = timeout_s
        self._free: queue.LifoQueue[Connection | None] = queue.LifoQueue()
        for _ in range(size):
            self._free.put(None)

    @contextmanager
    def use(self) -> Iterator[Connection]:
        """Lend a connection for one transaction, committed at the end."""
        with self.lend() as connection, connection.transaction():
            yield connection

    @contextmanager
    def lend(self) -> Iterator[Connection]:
        """Lend a connection in autocommit."""
        with translated(self._settings):
            connection = self._take()
            try:
                yield connection
            finally:
                self._free.put(None if connection.closed or connection.broken else connection)

    def close(self) -> None:
        while not self._free.empty():
            connection = self._free.get_nowait()
            if connection is not None:
                connection.close()

    def _take(self) -> Connection:
        try:
            free = self._free.get(timeout=self._timeout_s)
        except queue.Empty:
            raise psycopg.OperationalError("every connection is in use") from None
        try:
            if free is not None and self._answers(free):
                return free
            return self._connect()
        except BaseException:
            self._free.put(None)
            raise

    @staticmethod
    def _answers(connection: Connection) -> bool:
        """Return False for a connection that the server has dropped since its last use."""
        try:
            connection.execute("SELECT 1")
        except psycopg.OperationalError:
            connection.close()
            return False
        return True

    def _connect(self) -> Connection:
        limit_ms = round(self._timeout_s * 1000)
        return psycopg.connect(
            self._settings.postgres_dsn(self._database),
            password=self._settings.secret.get_secret_value(),
            options=f"-c statement_timeout={limit_ms} -c synchronous_commit=on",
            application_name=f"maplebridge-{self._settings.principal}",
            autocommit=True,
        )
