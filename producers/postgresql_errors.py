"""Why a department's own PostgreSQL was not reached, in Maple Bridge's terms."""

from __future__ import annotations

import psycopg

from maplebridge.errors import AccessDenied, StoreUnavailable

_REFUSED = ("authentication failed", "认证失败")
"""libpq gives no SQLSTATE for a connection that was not made; the server's words, where known"""


def not_connected(
    error: psycopg.OperationalError, conninfo: str, *, todo: str
) -> AccessDenied | StoreUnavailable:
    """Return what a failed attempt to connect is: a login that was refused, or no answer.

    conninfo: what was given to connect with; libpq's variables such as PGHOST fill it.
    """
    host, port = _place(error, conninfo)
    tried = error.pgconn
    if tried is not None and (
        tried.needs_password
        or (tried.used_password and any(word in str(error) for word in _REFUSED))
    ):
        lacking = "no password was given" if tried.needs_password else "wrong password or user"
        return AccessDenied(
            f"PostgreSQL at {host}:{port} refuses the login ({lacking}).",
            rule="postgresql-authentication",
            todo=todo,
        )
    return StoreUnavailable(f"{host}:{port}", type(error).__name__, todo=todo)


def _place(error: psycopg.OperationalError, conninfo: str) -> tuple[str, str]:
    """Return the host and port that were tried, and nothing else of the connection string."""
    if error.pgconn is not None:
        return error.pgconn.host.decode(), error.pgconn.port.decode()
    # after a timeout there is no connection to ask
    told = psycopg.conninfo.conninfo_to_dict(conninfo)
    filled = {
        each.keyword.decode(): each.val.decode()
        for each in psycopg.pq.Conninfo.get_defaults()
        if each.val is not None
    }
    host = told.get("host") or told.get("hostaddr") or filled.get("host") or "localhost"
    return str(host), str(told.get("port") or filled.get("port"))
