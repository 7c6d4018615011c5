"""A department's own database with an outbox table, on a PostgreSQL of the tests."""

from __future__ import annotations

import json
import secrets
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from maplebridge.producers.outbox import OutboxStore, RelayPlan, load_plan
from maplebridge.producers.outbox.store import install_sql
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
from maplebridge.settings import Profile
from tests.frame.repository import ROOT
from tests.producers.orders import COMMUNITY, order

SCHEMA = (ROOT / "examples" / "outbox" / "schema.sql").read_text("utf-8")
PLAIN = """
department: hotline
role: {role}
after: {after}
columns: {{timestamp: timestamp}}
types:
  OrderReceived:
    {{event_type: hotline.order, transition: received,
      purpose: case_handling, legal_basis: statutory_duty}}
"""


@dataclass(frozen=True)
class DepartmentDatabase:
    """A database of the department's; `app` owns the outbox, `relay` reads it."""

    host: str
    port: int
    name: str
    password: str

    @property
    def app(self) -> str:
        return f"{self.name}_app"

    @property
    def relay(self) -> str:
        return f"{self.name}_relay"

    def dsn(self, role: str) -> str:
        return f"host={self.host} port={self.port} dbname={self.name} user={role}"

    def connect(self, **options: Any) -> psycopg.Connection[Any]:
        """Return a connection of the department's own application."""
        return psycopg.connect(self.dsn(self.app), password=self.password, **options)

    def run(self, statements: str) -> None:
        with self.connect(autocommit=True) as connection:
            connection.execute(statements)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.connect(autocommit=True) as connection:
            return connection.execute(query).fetchall()

    def plan(self, folder: Path, text: str = PLAIN, *, after: str = "keep") -> RelayPlan:
        file = folder / "relay.yaml"
        file.write_text(text.format(role=self.relay, after=after), "utf-8")
        return load_plan(
            file, catalogue=load_catalogue(), codes=load_code_lists(), regions=load_regions()
        )

    def install(self, plan: RelayPlan) -> None:
        self.run(install_sql(plan))

    def store(self, plan: RelayPlan) -> OutboxStore:
        dsn = f"{self.dsn(self.relay)} password={self.password}"
        return OutboxStore(dsn, plan, payload_max_bytes=100_000)


def make_database(profile: Profile) -> DepartmentDatabase:
    """Make a database and its two roles, neither of them a super user, and its outbox table."""
    admin = profile.settings("admin")
    made = DepartmentDatabase(
        admin.postgres_host, admin.postgres_port, f"dept_{secrets.token_hex(4)}", "made-up"
    )
    with psycopg.connect(
        admin.postgres_dsn("postgres"), password=admin.secret.get_secret_value(), autocommit=True
    ) as connection:
        for role in (made.app, made.relay):
            connection.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(role), sql.Literal(made.password)
                )
            )
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(made.name), sql.Identifier(made.app)
            )
        )
        # the embedded stack takes this from PUBLIC at each start
        connection.execute(
            sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
                sql.Identifier(made.name), sql.Identifier(made.relay)
            )
        )
    made.run(SCHEMA)
    return made


def insert(
    connection: psycopg.Connection[Any], case_ref: str, *, row_id: str | None = None, **fields: Any
) -> None:
    """Insert an outbox row that says an order was received."""
    payload = {
        "community": COMMUNITY,
        "case_ref": case_ref,
        "fields": order(**fields),
    }
    insert_payload(connection, json.dumps(payload, ensure_ascii=False), row_id=row_id)


def insert_payload(
    connection: psycopg.Connection[Any],
    payload: str,
    *,
    kind: str = "OrderReceived",
    row_id: str | None = None,
) -> None:
    connection.execute(
        "INSERT INTO outbox (id, aggregatetype, aggregateid, type, payload)"
        " VALUES (%s, 'order', 'x', %s, %s)",
        (row_id or str(uuid.uuid4()), kind, payload),
    )
