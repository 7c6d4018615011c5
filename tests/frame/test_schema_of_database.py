"""Databases whose schema is one file of SQL, applied when there is a reason."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from maplebridge.schema_of_database import apply_schema
from maplebridge.settings import Profile

MADE: LiteralString = """
CREATE SCHEMA IF NOT EXISTS made;
CREATE TABLE IF NOT EXISTS made.runs (at timestamptz DEFAULT clock_timestamp());
INSERT INTO made.runs DEFAULT VALUES;
"""
CHANGED: LiteralString = f"{MADE}-- changed"


@contextmanager
def connected(profile: Profile, database: str) -> Iterator[psycopg.Connection[Any]]:
    admin = profile.settings("admin")
    password = admin.secret.get_secret_value()
    with psycopg.connect(
        admin.postgres_dsn(database), password=password, autocommit=True
    ) as connection:
        yield connection


@pytest.fixture
def databases(provisioned: Profile) -> Iterator[tuple[str, str]]:
    """Names for two databases, which are dropped in the end."""
    first, second = (f"t_{secrets.token_hex(4)}" for _ in range(2))
    yield first, second
    with connected(provisioned, "postgres") as server:
        for name in (first, second):
            drop = SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name))
            server.execute(drop)


def runs(profile: Profile, database: str, text: LiteralString) -> int:
    """Apply the schema, and return how often its statements ran there."""
    with connected(profile, database) as connection:
        apply_schema(connection, "made", text)
        ((count,),) = connection.execute("SELECT count(*) FROM made.runs").fetchall()
        return int(count)


def test_a_schema_is_made_once_and_again_when_it_changed_or_was_copied(
    provisioned: Profile, databases: tuple[str, str]
) -> None:
    """A copy has the schema, and not what the database itself permits."""
    first, second = databases
    with connected(provisioned, "postgres") as server:
        server.execute(SQL("CREATE DATABASE {}").format(Identifier(first)))
        assert [runs(provisioned, first, MADE) for _ in range(2)] == [1, 1]
        assert [runs(provisioned, first, CHANGED) for _ in range(2)] == [2, 2]
        server.execute(
            SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(second), Identifier(first))
        )
        assert [runs(provisioned, second, CHANGED) for _ in range(2)] == [3, 3]
