"""The events of a month are found among those of years without reading all of them."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from maplebridge.projections.entries import month_span
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.statistics import SQL
from maplebridge.projections.store import connect
from maplebridge.settings import Profile

YEARS = """
INSERT INTO events (event_id, event_type, department, community, case_ref, transition, category,
                    state, unit, occurred_at, level, urgency, due_at, backfill, subjects)
SELECT md5(n::text)::uuid,
       CASE WHEN n %% 50 = 0 THEN 'responsibility.task' ELSE 'hotline.order' END, 'made-up',
       '330681001001', 'C-' || n / 3, 'received', 'road', NULL, NULL,
       timestamptz '2020-01-01 00:00+00' + n * interval '15 minutes', NULL, NULL,
       timestamptz '2020-01-08 00:00+00' + n * interval '15 minutes', false, '{}'
FROM generate_series(1, %(count)s) AS n
"""


@pytest.fixture(scope="module")
def years(provisioned: Profile) -> Iterator[psycopg.Connection[Any]]:
    schema = f"t_{secrets.token_hex(4)}"
    with connect(provisioned.settings("admin"), schema="public") as owner:
        migrate(owner, schema=schema)
        with connect(provisioned.settings("admin"), schema=schema) as admin:
            admin.execute(YEARS, {"count": 150_000})
            admin.execute("ANALYZE events")
            yield admin
        drop(owner, schema=schema)


def test_a_month_is_read_by_its_time_its_deadlines_and_its_cases(
    years: psycopg.Connection[Any],
) -> None:
    since, until = month_span("2021-03")
    wanted = {
        "types": ["hotline.order", "responsibility.task"], "prefix": "330681", "former": [],
        "since": since, "until": until,
    }  # fmt: skip
    rows = years.execute(f"EXPLAIN {SQL['steps']}", wanted).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "Bitmap Index Scan on events_by_time" in plan
    assert "events_of_deadline" in plan


def test_whose_cases_are_is_read_by_case(years: psycopg.Connection[Any]) -> None:
    cases = [f"C-{number}" for number in range(300)]
    rows = years.execute(f"EXPLAIN {SQL['subjects']}", {"cases": cases}).fetchall()
    assert "events_of_case" in "\n".join(row[0] for row in rows)
