"""The rows a batch adds to: its events, and what they change in the read models."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psycopg

from maplebridge.projections.folds import CasePart, Change
from maplebridge.projections.settling import Group
from maplebridge.projections.standing import Identity
from maplebridge.schemas import Contract, Event
from maplebridge.schemas.case_rules import CaseRules
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "tables.sql")


class Tables:
    """Writes through staging tables, inside the transaction of its caller."""

    def __init__(self, connection: psycopg.Connection[Any], rules: CaseRules) -> None:
        self._connection = connection
        self._rules = rules
        for statement in SQL["staging"].split(";"):
            connection.execute(statement)

    def accept(
        self, events: Iterable[tuple[Identity, Contract, Event, int]]
    ) -> Collection[Identity]:
        """Insert what is new, each with its record's LogAppendTime in ms; return its identities."""
        copied: set[Identity] = set()
        with self._connection.cursor() as cursor:
            with cursor.copy(SQL["copy_events"]) as copy:
                for identity, contract, event, timestamp_ms in events:
                    row = _event_row(identity, contract, event, self._rules)
                    copy.write_row((*row, timestamp_ms))
                    copied.add(identity)
            if not copied:
                return copied
            cursor.execute(SQL["accept"])
            return copied if cursor.rowcount == len(copied) else set(cursor.fetchall())

    def add_parts(self, change: Change) -> list[Group]:
        """Add to the parts of cases; return those in which a transition came twice."""
        return self._copy_parts(change.parts.values()) if change.parts else []

    def replace_parts(self, parts: Sequence[CasePart]) -> None:
        if parts:
            self._connection.execute(SQL["clear_parts"])
            self._copy_parts(parts)

    def _copy_parts(self, parts: Iterable[CasePart]) -> list[Group]:
        with self._connection.cursor() as cursor:
            with cursor.copy(SQL["copy_parts"]) as copy:
                for part in parts:
                    copy.write_row(
                        (
                            part.case_ref,
                            part.event_type,
                            part.department,
                            part.community,
                            part.transition,
                            part.state,
                            part.unit,
                            part.opened_at,
                            part.occurred_at,
                            part.event_id,
                            part.events,
                            part.level,
                            part.urgency,
                            part.due_at,
                            part.backfill,
                            part.begun_at,
                            part.closed_at,
                            part.returned,
                            _array(part.steps),
                            part.doubled,
                        )
                    )
            return cursor.execute(SQL["add_parts"]).fetchall()

    def add_tallies(self, change: Change) -> None:
        counts = [(*key, count) for key, count in change.tallies.items() if count]
        if not counts:
            return
        with self._connection.cursor() as cursor:
            with cursor.copy(SQL["copy_tallies"]) as copy:
                for row in counts:
                    copy.write_row(row)
            cursor.execute(SQL["add_tallies"])
            if any(count < 0 for count in change.tallies.values()):
                cursor.execute(SQL["drop_empty_tallies"])

    def add_warnings(self, change: Change) -> None:
        """Add warnings, their pushes and the answers to them, each in the order of their keys."""
        warnings = sorted(change.warnings.values(), key=lambda each: each.warning_id)
        pushes = sorted(change.pushes, key=lambda each: (each.warning_id, each.level))
        answers = sorted(change.responses, key=lambda each: (each.event_id, each.department))
        with self._connection.cursor() as cursor:
            for statement, rows in (
                ("add_warning", warnings),
                ("add_push", pushes),
                ("add_response", answers),
            ):
                if rows:
                    cursor.executemany(SQL[statement], [asdict(row) for row in rows])


def _event_row(
    identity: Identity, contract: Contract, event: Event, rules: CaseRules
) -> tuple[Any, ...]:
    event_id, department, event_type = identity
    meta = event["meta"]
    return (
        event_id,
        event_type,
        department,
        meta["community"],
        meta["case_ref"],
        meta["transition"],
        event[contract.tally] if contract.tally else "",
        event.get("state"),
        event[contract.handler] if contract.handler else None,
        meta["occurred_at"],
        rules.of(event_type).level_of(event),
        event.get("urgency"),
        event.get("due_at"),
        meta["backfill"],
        event.get("contacted"),
        event.get("resolved"),
        _array(_subjects(meta["key_refs"])),
    )


def _subjects(key_refs: Mapping[str, str]) -> set[str]:
    """Return the persons' references: a text's key is the case's."""
    return {key_ref for scope, key_ref in key_refs.items() if scope != "case"}


def _array(names: Iterable[str]) -> str:
    """Return names, which hold no quote, as COPY takes a text[]: sorted, for a set has no order."""
    return "{" + ",".join(f'"{name}"' for name in sorted(names)) + "}"
