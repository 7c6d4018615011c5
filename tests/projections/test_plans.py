"""Statements find their rows by an index on tables that are full; what reads all is named here."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from maplebridge.processors import climbing, windows_store
from maplebridge.projections import (
    entries,
    letters,
    notices,
    past,
    queries,
    settling,
    statistics,
)
from maplebridge.projections.folds import is_of_cases
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import connect
from maplebridge.projections.tables import Tables
from maplebridge.schemas import load_regions
from maplebridge.schemas.case_rules import load_case_rules
from maplebridge.settings import Profile
from maplebridge.sql import named_queries
from tests.processors.made_events import catalogue

EVENTS = 60_000
FILL = named_queries(Path(__file__).with_name("filled.sql").read_text("utf-8"))
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
DAY = {"since": SINCE + timedelta(days=500), "until": SINCE + timedelta(days=501)}
MONTH = {"since": SINCE + timedelta(days=500), "until": SINCE + timedelta(days=530)}
GROWING = {
    "events", "amendments", "case_parts", "community_hour_tallies", "warnings", "dead_letters",
    "warning_pushes", "warning_responses", "window_causes", "window_amendments",
    "window_warnings", "window_climbs",
}  # fmt: skip
MODULES = {
    "queries": queries.SQL,
    "entries": entries.SQL,
    "letters": letters.SQL,
    "notices": notices.SQL,
    "settling": settling.SQL,
    "past": past.SQL,
    "statistics": statistics.SQL,
    "windows": windows_store.SQL,
    "climbing": climbing.SQL,
}
READ_ALL = {
    "queries.totals": "it counts what there is",
    "entries.misplaced": "it looks at every case",
}
WITHOUT_A_SEARCH = {
    "letters": {"set_aside", "act"},
    "settling": {"share", "exclude", "copy_amendments"},
    "windows": {
        "share", "exclude", "lock", "add_cause", "add_amendment", "keep", "revision",
        "await_answer",
    },
    "past": {"shadows", "analyze", "forgets", "enter", "unjudged", "cases", "tallies"},
}  # fmt: skip
"""They insert, lock, or read a session's own temporary tables."""


@dataclass(frozen=True)
class Full:
    """A schema with rows in every growing table, and one event of it."""

    connection: psycopg.Connection[Any]
    schema: str
    community: str
    case_ref: str
    event: Mapping[str, Any]
    group: Mapping[str, Any]

    def scanned(self, statement: LiteralString, wanted: Mapping[str, Any]) -> set[str]:
        """Return the growing tables that the statement would read from end to end."""
        row = self.connection.execute(
            "EXPLAIN (FORMAT JSON, VERBOSE) " + statement, wanted
        ).fetchone()
        assert row
        return set(self._scans(row[0][0]["Plan"]))

    def _scans(self, plan: Mapping[str, Any]) -> Iterator[str]:
        is_ours = plan.get("Schema") == self.schema and plan.get("Relation Name") in GROWING
        if is_ours and plan["Node Type"] == "Seq Scan":
            yield plan["Relation Name"]
        for each in plan.get("Plans", ()):
            yield from self._scans(each)


@pytest.fixture(scope="module")
def full(provisioned: Profile) -> Iterator[Full]:
    schema = f"t_{secrets.token_hex(4)}"
    places = sorted(load_regions().always_communities)
    wanted = {"communities": places, "events": EVENTS, "since": SINCE}
    with connect(provisioned.settings("admin"), schema=schema) as connection:
        migrate(connection, schema=schema)
        try:
            for statement in FILL.values():
                connection.execute(statement, wanted if "%(" in statement else {})
            connection.execute("ANALYZE")
            Tables(connection, load_case_rules())
            row = connection.execute(
                "SELECT event_id::text, event_type, department, community, case_ref FROM events"
                " WHERE case_ref IS NOT NULL ORDER BY event_id OFFSET 5000 LIMIT 1"
            ).fetchone()
            assert row
            event_id, event_type, department, community, case_ref = row
            event = {"ids": [event_id], "departments": [department], "event_types": [event_type]}
            group = {"case_refs": [case_ref], "types": [event_type]}
            yield Full(connection, schema, community, case_ref, event, group)
        finally:
            drop(connection, schema=schema)


def questions(full: Full) -> dict[str, list[Mapping[str, Any]]]:
    """Return the values that each statement is asked with."""
    types = [each.event_type for each in catalogue() if is_of_cases(each)]
    place: dict[str, Any] = {
        "prefix": full.community, "former": [], "case_ref": None, "since": None, "until": None,
        "open": False, "limit": 20, "types": types,
    }  # fmt: skip
    town, former = {"prefix": full.community[:9]}, {"former": ["330681999999"]}
    one = {"prefix": "", "case_ref": full.case_ref}
    letter = {
        "topic": None, "partition": None, "offset": None, "state": None, "reason_like": None,
        "limit": 50,
    }  # fmt: skip
    verdict = {"counted": [True], "repeats": [None], "repeats_departments": [None]}
    by_then = {**place, "recorded_by": DAY["until"]}
    rule = {
        "rule": "urgent-orders", "event_type": "hotline.order", "community": full.community,
        "category": "gas", "low": _micros(DAY["since"]), "high": _micros(DAY["until"]),
    }  # fmt: skip
    warning = {"warning_id": full.event["ids"][0]}
    month = {**place, **MONTH, "types": ["hotline.order", "responsibility.task"]}
    everywhere = {"department": None, "limit": 50}
    return {
        "queries.cases": [
            place, place | town, place | former, place | one, place | {"open": True},
        ],
        "queries.void_case": [place | one],
        "queries.history": [place | one],
        "queries.tallies": [place, place | town, place | former, place | town | DAY],
        "queries.warnings": [place, place | town, place | former, place | {"prefix": ""}],
        "queries.warning_outcomes": [place, place | town, place | former],
        "entries.repeated": [everywhere | MONTH],
        "entries.saved": [MONTH],
        "letters.letters": [
            letter, letter | {"topic": "mb.dept.grid.case"}, letter | {"state": "open"},
            letter | {"topic": "mb.dept.grid.case", "partition": 0, "offset": 7},
        ],
        "notices.moved": [full.event],
        "settling.amended": [full.event],
        "settling.rows": [{**full.event, **full.group}],
        "settling.uncount": [full.event],
        "settling.judge": [{**full.event, **verdict}],
        "settling.drop_parts": [full.group],
        "settling.void_on_arrival": [{}],
        "settling.drop_responses": [full.event],
        "past.copy_events": [by_then, by_then | town, by_then | former, by_then | one],
        "past.copy_amendments": [by_then],
        "statistics.steps": [month, month | town],
        "statistics.subjects": [{"cases": [full.case_ref]}],
        "windows.causes": [rule],
        "windows.touched": [{"rule": "urgent-orders", **full.event}],
        "windows.warnings": [rule],
        "windows.drop": [warning],
        "windows.await_none": [warning],
        "climbing.due": [{"now": _micros(DAY["until"]), "rules": ["urgent-orders"], "limit": 200}],
        "climbing.keep": [{**warning, "level": "town", "due_at": 0, "waiting": True}],
    }  # fmt: skip


def test_every_statement_that_searches_is_asked(full: Full) -> None:
    searching = {
        f"{module}.{name}"
        for module, statements in MODULES.items()
        for name in statements.keys() - WITHOUT_A_SEARCH.get(module, set())
    }
    assert searching == questions(full).keys() | READ_ALL


def test_no_statement_reads_a_growing_table_from_end_to_end(full: Full) -> None:
    found = {}
    with full.connection.transaction(force_rollback=True):
        for statement in past.SQL["shadows"].split(";"):
            full.connection.execute(statement)
        for name, asked in questions(full).items():
            module, _, statement_name = name.partition(".")
            statement = MODULES[module][statement_name]
            for number, wanted in enumerate(asked):
                scanned = full.scanned(statement, wanted)
                if scanned:
                    found[f"{name} {number}"] = scanned
    assert found == {}


@pytest.mark.parametrize("index", ["events_of_case", "events_of_community", "warnings_by_time"])
def test_without_an_index_it_would_be_seen(full: Full, index: str) -> None:
    asked = {
        "events_of_case": "queries.history",
        "events_of_community": "past.copy_events",
        "warnings_by_time": "queries.warnings",
    }[index]
    module, _, name = asked.partition(".")
    with full.connection.transaction(force_rollback=True):
        if module == "past":
            for statement in past.SQL["shadows"].split(";"):
                full.connection.execute(statement)
        full.connection.execute(f"DROP INDEX {full.schema}.{index}".encode())
        scans = [full.scanned(MODULES[module][name], each) for each in questions(full)[asked]]
    assert any(scans)


def _micros(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000
