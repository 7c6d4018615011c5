"""Erasures in the key broker's database: who is meant, what is destroyed, what came of it.

A person's identifiers are equal over departments, and only the key broker can tell. What
is destroyed is gone from the live database when the transaction commits; copies of it are
worthless once the epochs named in `Erasure.epochs` have turned.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.rows import dict_row

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs
from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.access_policy.broker.vault import Subject, columns_of, read_identifier
from maplebridge.errors import InputError

_FETCH = 5_000


@dataclass(frozen=True)
class Erasure:
    """An erasure as the database knows it.

    epochs: those whose keys could open a copy of what was destroyed. at_once: the epoch is
    turned for it. announced, completed:
    whether the request, the certificate, is an audit leaf and an event.
    """

    erasure_id: str
    ground: str
    officers: tuple[str, ...]
    requested_at: datetime
    due_at: datetime
    at_once: bool
    announced: bool
    executed_at: datetime | None
    epochs: tuple[str, ...]
    report: dict[str, Any]
    certificate: str
    completed: bool


class DestroyedMaster(NamedTuple):
    """A master that is gone; scope_kind: `subject` or `case`."""

    key_id: bytes
    department: str
    scope_kind: str
    grade_domain: int


def find_people(
    connection: Connection, epochs: Epochs, identifiers: Collection[str]
) -> tuple[list[Subject], int]:
    """Return every (department, key_ref) that belongs to one of these identifiers.

    It reads and opens every subject's row: nothing in the database tells who is who. Beside
    them it returns how many rows could not be opened, their epochs being lost.
    Raises IntegrityError if a row was altered.
    """
    found, closed = [], 0
    with connection.transaction(), connection.cursor(name="people") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(statement("people"))
        for row in cursor:
            department, key_ref, _, epoch, _ = row
            if epoch in epochs.lost:
                closed += 1
            # the keys of departments are read on the same connection, beside the cursor
            elif read_identifier(connection, epochs, row) in identifiers:
                found.append((str(department), str(key_ref)))
    return sorted(found), closed


def identifier_of(connection: Connection, epochs: Epochs, subject: Subject) -> str | None:
    """Return the identifier behind a key reference.

    None if its epoch is lost. Raises InputError if there is none, or it is a case's;
    IntegrityError if it was altered.
    """
    row = connection.execute(statement("subjects"), columns_of([subject])).fetchone()
    if row is None or row[2] != "subject":
        raise InputError(
            f"the key broker knows no subject {subject[1]} of {subject[0]}.",
            todo="Give the key_ref as the department's events have it in meta.key_refs.",
        )
    return None if row[3] in epochs.lost else read_identifier(connection, epochs, row)


def grades_of(connection: Connection, subjects: Collection[Subject]) -> list[tuple[str, int]]:
    """Return the departments and grade domains in which these subjects have masters."""
    rows = connection.execute(statement("erasure_grades"), columns_of(subjects)).fetchall()
    return [(str(department), int(grade)) for department, grade in rows]


def insert_erasure(
    connection: Connection,
    *,
    erasure_id: str,
    ground: str,
    officers: Sequence[str],
    requested_at: datetime,
    due_at: datetime,
    at_once: bool,
    subjects: Collection[Subject],
) -> None:
    row = {
        "erasure_id": erasure_id,
        "ground": ground,
        "officers": list(officers),
        "requested_at": requested_at,
        "due_at": due_at,
        "at_once": at_once,
    }
    with connection.transaction():
        connection.execute(statement("insert_erasure"), row)
        whose = {"erasure_id": erasure_id, **columns_of(sorted(subjects))}
        connection.execute(statement("insert_erasure_subjects"), whose)


def erasures(
    connection: Connection, *, erasure_id: str | None = None, only_open: bool = False
) -> list[Erasure]:
    """Return erasures in the order in which they were asked for."""
    where = {"erasure_id": erasure_id, "open": only_open}
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(statement("erasures"), where).fetchall()
    return [
        Erasure(
            **row
            | {
                "erasure_id": str(row["erasure_id"]),
                "officers": tuple(row["officers"]),
                "epochs": tuple(row["epochs"]),
            }
        )
        for row in rows
    ]


def subjects_of(connection: Connection, erasure_id: str) -> list[Subject]:
    """Return whose masters an erasure is to destroy; none once it is executed."""
    rows = connection.execute(statement("erasure_subjects"), {"erasure_id": erasure_id})
    return [(department, key_ref) for department, key_ref in rows]


def orders_of(connection: Connection, erasure_id: str) -> dict[str, list[str]]:
    """Return the key references that each department is to erase, until the certificate."""
    rows = connection.execute(statement("erasure_orders"), {"erasure_id": erasure_id})
    return dict(rows.fetchall())


def destroy(
    connection: Connection, erasure_id: str | None, references: Collection[Subject]
) -> list[DestroyedMaster]:
    """Delete the masters and the identifiers of these subjects and cases, within a transaction.

    erasure_id: None if it is completed, so that nothing says whose references belong together.
    No master of theirs is taken in any more: what a department seals for them before it has
    heard of the erasure is erased too.
    """
    connection.execute(statement("exclude_stores"))
    whose = {"erasure_id": erasure_id, **columns_of(sorted(references))}
    rows = connection.execute(statement("destroy_masters"), whose).fetchall()
    return [DestroyedMaster(bytes(row[0]), *row[1:]) for row in rows]


def mark_executed(
    connection: Connection, erasure_id: str, report: dict[str, Any], files: EpochFiles
) -> None:
    """In the transaction of `destroy`: from then on every broker forgets what it has read.

    files: an epoch that has one may open a copy, also where the database does not know it.
    """
    row = {"erasure_id": erasure_id, "report": json.dumps(report), "epochs": list(files.names())}
    connection.execute(statement("mark_executed"), row)


def mark_announced(connection: Connection, erasure_id: str) -> None:
    connection.execute(statement("mark_announced"), {"erasure_id": erasure_id})


def mark_certified(connection: Connection, erasure_id: str, certificate: str) -> None:
    row = {"erasure_id": erasure_id, "certificate": certificate}
    connection.execute(statement("mark_certified"), row)


def mark_completed(connection: Connection, erasure_id: str) -> None:
    """Nothing tells any more which references of several departments were one person's."""
    connection.execute(statement("mark_completed"), {"erasure_id": erasure_id})


def live_epochs(connection: Connection, files: EpochFiles, epochs: Collection[str]) -> list[str]:
    """Return those of these epochs whose keys are not destroyed yet."""
    return sorted(_not_destroyed(connection, files) & set(epochs))


def await_epochs(
    connection: Connection, files: EpochFiles, erasure_id: str, *, through: str
) -> list[str]:
    """Have an erasure wait for this epoch and all before it, too; return all it waits for.

    By their names: a restored copy does not know when an epoch began that it never had, and
    of a turn that was stopped there is the file alone.
    """
    living = [each for each in _not_destroyed(connection, files) if each <= through]
    row = {"erasure_id": erasure_id, "epochs": living}
    (epochs,) = connection.execute(statement("await_epochs"), row).fetchone() or ([],)
    return list(epochs)


def _not_destroyed(connection: Connection, files: EpochFiles) -> set[str]:
    return {*(row[0] for row in connection.execute(statement("epochs"))), *files.names()}


def departments_under(connection: Connection, epochs: Collection[str]) -> list[str]:
    """Return the departments that have masters, or had, under the keys of these epochs."""
    rows = connection.execute(statement("departments_under"), {"epochs": list(epochs)})
    return sorted(row[0] for row in rows)
