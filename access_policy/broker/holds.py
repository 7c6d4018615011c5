"""Retention holds: what may not be erased, on which basis, until when."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import dict_row

from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.access_policy.broker.vault import Subject, columns_of
from maplebridge.errors import InputError


@dataclass(frozen=True)
class Hold:
    """A hold on a case, or on a subject by what it is called in its departments.

    stands: neither lifted nor over.
    """

    hold_id: str
    case_ref: str | None
    basis: str
    reason: str
    until: datetime
    officer: str
    added_at: datetime
    lifted_at: datetime | None
    lifted_by: str | None
    stands: bool
    subjects: frozenset[Subject]


def add_hold(
    connection: Connection,
    *,
    case_ref: str | None,
    subjects: Collection[Subject],
    basis: str,
    reason: str,
    until: datetime,
    officer: str,
) -> str:
    """Hold a case or a subject; return the hold's id. connection: the administrator's."""
    hold_id = str(uuid.uuid4())
    row = {
        "hold_id": hold_id,
        "case_ref": case_ref,
        "basis": basis,
        "reason": reason,
        "until": until,
        "officer": officer,
    }
    with connection.transaction():
        connection.execute(statement("insert_hold"), row)
        if subjects:
            held = {"hold_id": hold_id, **columns_of(sorted(subjects))}
            connection.execute(statement("insert_held_subjects"), held)
    return hold_id


def holds(connection: Connection) -> list[Hold]:
    """Return every hold there ever was, in the order in which they were added."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("holds")).fetchall()
    return [
        Hold(
            **row
            | {
                "hold_id": str(row["hold_id"]),
                "subjects": frozenset((each[0], each[1]) for each in row["subjects"]),
            }
        )
        for row in rows
    ]


def lift_hold(connection: Connection, hold_id: str, *, officer: str) -> None:
    """Raises InputError if no such hold stands."""
    row = {"hold_id": hold_id, "officer": officer}
    if connection.execute(statement("lift_hold"), row).rowcount != 1:
        raise InputError(
            f"there is no hold {hold_id} that is not lifted.",
            todo="`maplebridge erase hold list` names them.",
        )
