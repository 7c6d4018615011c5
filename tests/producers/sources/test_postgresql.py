"""Reading a department's own database: another database on the embedded PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from maplebridge.errors import AccessDenied, InputError, MappingInvalid, StoreUnavailable
from maplebridge.producers import Department, import_file
from maplebridge.producers.mapping.source import QuerySource, Since
from maplebridge.producers.sources.postgresql import QueryRows
from maplebridge.producers.sources.rows import SourceRow
from maplebridge.settings import Profile
from tests.producers.bus import Bus

NAME = "mediation_office"
SECRET = "made-up"
ENVIRONMENT = {"OFFICE_PASSWORD": SECRET}
QUERY = "SELECT * FROM orders WHERE kind LIKE '%o%'"
MAPPING = """\
event_type: hotline.order
source:
  format: sql
  timezone: Asia/Shanghai
  connection: {connection}
  password_env: OFFICE_PASSWORD
  query: SELECT * FROM orders
  since: {{column: changed_at, overlap: PT1M}}
key: [no]
purpose: case_handling
legal_basis: statutory_duty
transition: received
occurred_at: {{column: at, parse: date}}
community: {{column: place}}
fields:
  order_no: {{column: no}}
  channel: phone
  demand_type: help
  category: {{column: kind}}
  urgency: general
  state: open
"""


@pytest.fixture(scope="module")
def office(provisioned: Profile) -> Iterator[str]:
    """A database with a role that may only read; gives its connection string."""
    admin = provisioned.settings("admin")
    dsn = admin.postgres_dsn("postgres")
    secret = admin.secret.get_secret_value()
    with psycopg.connect(dsn, password=secret, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {NAME} LOGIN PASSWORD '{SECRET}'")
        owner.execute(f"CREATE DATABASE {NAME}")
    inside = admin.postgres_dsn(NAME)
    with psycopg.connect(inside, password=secret) as owner:
        owner.execute(
            "CREATE TABLE orders (no numeric, at timestamptz, day date, place text, kind text,"
            " amount numeric(8, 2), notes jsonb, changed_at timestamptz)"
        )
        owner.execute(f"GRANT SELECT ON orders TO {NAME}")
    yield (f"host={admin.postgres_host} port={admin.postgres_port} dbname={NAME} user={NAME}")
    with psycopg.connect(dsn, password=secret, autocommit=True) as owner:
        owner.execute(f"DROP DATABASE {NAME} WITH (FORCE)")
        owner.execute(f"DROP ROLE {NAME}")


@pytest.fixture
def filled(office: str, provisioned: Profile) -> Iterator[psycopg.Connection]:
    admin = provisioned.settings("admin")
    with psycopg.connect(
        admin.postgres_dsn(NAME), password=admin.secret.get_secret_value(), autocommit=True
    ) as owner:
        owner.execute("TRUNCATE orders")
        owner.execute(
            "INSERT INTO orders SELECT n, '2025-03-03 08:00+08', '2025-03-03', '330681001001',"
            " 'noise', 1.50, '[{\"a\": 1}]', '2025-03-03 08:00+08'::timestamptz + n * interval"
            " '1 minute' FROM generate_series(1, 5000) n"
        )
        yield owner


def read(source: QuerySource, mark: str = "") -> tuple[list[SourceRow], QueryRows]:
    rows = QueryRows(source, mark=mark, environment=ENVIRONMENT)
    with closing(rows):
        return list(rows), rows


def source_of(office: str) -> QuerySource:
    since = Since("changed_at", timedelta(minutes=2))
    return QuerySource("Asia/Shanghai", office, QUERY, "OFFICE_PASSWORD", since)


def test_values_come_with_their_types_in_the_order_of_the_mark(
    office: str, filled: psycopg.Connection
) -> None:
    rows, source = read(source_of(office))
    assert source.header[:3] == ("no", "at", "day")
    assert [row.number for row in rows] == list(range(1, 5001))
    assert list(rows[0].cells) == [
        1, datetime(2025, 3, 3, tzinfo=UTC), date(2025, 3, 3), "330681001001", "noise", "1.50",
        [{"a": 1}], datetime(2025, 3, 3, 0, 1, tzinfo=UTC),
    ]  # fmt: skip


def test_the_next_run_begins_at_the_mark_less_the_overlap(
    office: str, filled: psycopg.Connection
) -> None:
    _, first = read(source_of(office))
    rows, second = read(source_of(office), first.mark)
    assert [row.cells[0] for row in rows] == [4998, 4999, 5000]
    filled.execute("UPDATE orders SET changed_at = now() WHERE no = 7")
    rows, _ = read(source_of(office), second.mark)
    assert [row.cells[0] for row in rows] == [4998, 4999, 5000, 7]
    filled.execute("TRUNCATE orders")
    rows, third = read(source_of(office), second.mark)
    assert (rows, third.mark) == ([], second.mark)


@pytest.mark.parametrize(
    "query",
    [
        "DELETE FROM orders RETURNING *",
        "SELECT nothing FROM orders",
        "SELECT 1) AS x; DROP TABLE orders; SELECT (1",
        "SELECT CAST(kind AS integer) FROM orders",
    ],
)
def test_a_query_that_postgresql_refuses_is_told_without_values(
    office: str, filled: psycopg.Connection, query: str
) -> None:
    source = replace(source_of(office), query=query, since=None)
    with pytest.raises(MappingInvalid, match="PostgreSQL refuses the query") as caught:
        read(source)
    assert "noise" not in str(caught.value)
    assert filled.execute("SELECT count(*) FROM orders").fetchone() == (5000,)


def test_a_wrong_password_or_address_is_told_without_it(
    office: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"OFFICE_PASSWORD": "wrong-one"}
    refused = r"PostgreSQL at 127\.0\.0\.1:\d+ refuses the login"
    with pytest.raises(AccessDenied, match=refused) as caught:
        QueryRows(source_of(office), mark="", environment=environment)
    assert "wrong-one" not in str(caught.value)
    away = replace(source_of(office), connection="dbname=none")
    monkeypatch.setenv("PGHOST", "127.0.0.1")
    monkeypatch.setenv("PGPORT", "1")
    with pytest.raises(StoreUnavailable, match=r"PostgreSQL at 127\.0\.0\.1:1 does not answer"):
        QueryRows(away, mark="", environment=environment)
    with pytest.raises(MappingInvalid, match="no connection string"):
        QueryRows(replace(away, connection="nonsense"), mark="", environment=environment)
    with pytest.raises(InputError, match="OFFICE_PASSWORD is not set"):
        QueryRows(source_of(office), mark="", environment={})


def test_a_database_is_imported_and_the_next_import_goes_on(
    office: str,
    filled: psycopg.Connection,
    hotline: Department,
    bus: Bus,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(os.environ, "OFFICE_PASSWORD", SECRET)
    filled.execute("DELETE FROM orders WHERE no > 20")
    filled.execute("UPDATE orders SET kind = 'whales' WHERE no = 3")
    mapping = tmp_path / "orders.yaml"
    mapping.write_text(MAPPING.format(connection=office), "utf-8")
    topic = "mb.dept.hotline.hotline.order"
    since = bus.ends(topic)
    first = import_file(None, mapping, hotline)
    assert (first.rows, first.published, first.rejected) == (20, 19, 1)
    second = import_file(None, mapping, hotline)
    assert (second.rows, second.published, second.already_published) == (2, 0, 2)
    assert first.reject_path == tmp_path / "orders.yaml.rejects.jsonl"
    filled.execute("UPDATE orders SET changed_at = now() WHERE no = 3")
    third = import_file(None, mapping, hotline)
    assert (third.rows, third.rejected) == (3, 1)
    # of new rows alone, so it took nothing away of what was to be corrected
    assert first.reject_path.exists()
    assert third.reject_path == tmp_path / "orders.yaml.rejects-2.jsonl"
    text = third.reject_path.read_text("utf-8")
    third.reject_path.write_text(text.replace("whales", "fire"), "utf-8")
    corrected = import_file(third.reject_path, mapping, hotline)
    assert (corrected.rows, corrected.published) == (1, 1)
    events = bus.decode(bus.read(topic, since))
    assert len({event["meta"]["event_id"] for event in events}) == len(events) == 20
