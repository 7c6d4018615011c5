"""The turn of an epoch: what survives goes under the new epoch's key, the old keys go for good.

No event is touched: masters stay what they are, and only what they are wrapped under
changes. Each step is committed before the next begins, so a turn that was stopped
anywhere is finished by turning again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import psycopg

from maplebridge.access_policy.broker.epochs import Epochs, begin_epoch, this_epoch
from maplebridge.access_policy.broker.root import Root
from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.access_policy.broker.vault import (
    read_identifier,
    read_master,
    wrap_identifier,
    wrap_master,
)
from maplebridge.errors import IntegrityError

OVERLAP = timedelta(hours=24)
"""How long after its end an epoch's keys stay, for a department whose clock is late."""
_CHUNK = 500


@dataclass(frozen=True)
class Step:
    """One committed step of a turn.

    epoch: the one begun, rewrapped into, kept or destroyed. count: masters or identifiers
    rewrapped. until: when a kept epoch may be destroyed; None if masters wrapped to its
    public key still wait to be taken in.
    """

    did: Literal["began", "rewrapped masters", "rewrapped identifiers", "kept", "destroyed"]
    epoch: str
    count: int = 0
    until: datetime | None = None


def rotate(
    connection: Connection,
    root: Root,
    *,
    is_taken_in: Callable[[], bool],
    overlap: timedelta = OVERLAP,
) -> Iterator[Step]:
    """Begin this week's epoch, rewrap what survives, and destroy the epochs that are over.

    connection: the administrator's, in autocommit. is_taken_in: whether the broker has taken
    in every announcement; while it has not, no private half is destroyed. Raises
    IntegrityError if the root is another or a row was altered; what was committed stays.
    """
    epoch = this_epoch(connection)
    begin_epoch(connection, root, epoch)
    yield Step("began", epoch)
    epochs = Epochs.load(connection, root)
    yield from _rewrap(connection, epochs, epoch)
    where = {"epoch": epoch, "overlap": overlap}
    for old, until, is_over in connection.execute(statement("older_epochs"), where).fetchall():
        if not is_over:
            yield Step("kept", old, until=until)
        elif not is_taken_in():
            yield Step("kept", old)
        else:
            # a broker that has not met the new epoch yet may have stored more under the old one
            while not _destroy(connection, old):
                yield from _rewrap(connection, epochs, epoch)
            yield Step("destroyed", old)
    connection.execute(statement("scrub_epochs"))


def _rewrap(connection: Connection, epochs: Epochs, epoch: str) -> Iterator[Step]:
    departments = connection.execute(statement("older_departments"), {"epoch": epoch}).fetchall()
    for (department,) in departments:
        with connection.transaction():
            epochs.make_department_keys(connection, epoch=epoch, department=department)
        while count := _rewrap_masters(connection, epochs, epoch, department):
            yield Step("rewrapped masters", epoch, count)
        while count := _rewrap_subjects(connection, epochs, epoch, department):
            yield Step("rewrapped identifiers", epoch, count)


def _rewrap_masters(connection: Connection, epochs: Epochs, epoch: str, department: str) -> int:
    where = {"epoch": epoch, "department": department, "limit": _CHUNK}
    with connection.transaction():
        rows = connection.execute(statement("older_masters"), where).fetchall()
        wrapped = []
        for row in rows:
            try:
                master = read_master(connection, epochs, row)
            except IntegrityError:
                raise _altered(f"master {bytes(row[0]).hex()} of {department}") from None
            wrapped.append(wrap_master(connection, epochs, epoch, master))
        connection.execute(
            statement("rewrap_masters"),
            {"epoch": epoch, "key_ids": [row[0] for row in rows], "wrapped": wrapped},
        )
    return len(rows)


def _rewrap_subjects(connection: Connection, epochs: Epochs, epoch: str, department: str) -> int:
    where = {"epoch": epoch, "department": department, "limit": _CHUNK}
    with connection.transaction():
        rows = connection.execute(statement("older_subjects"), where).fetchall()
        wrapped = []
        for row in rows:
            try:
                identifier = read_identifier(connection, epochs, row)
            except IntegrityError:
                raise _altered(f"subject {row[1]} of {department}") from None
            wrapped.append(wrap_identifier(connection, epochs, epoch, tuple(row[:3]), identifier))
        connection.execute(
            statement("rewrap_subjects"),
            {
                "epoch": epoch,
                "department": department,
                "key_refs": [row[1] for row in rows],
                "wrapped": wrapped,
            },
        )
    return len(rows)


def _destroy(connection: Connection, epoch: str) -> bool:
    """Delete an epoch and the keys below it; False if something is still wrapped under them."""
    try:
        with connection.transaction():
            connection.execute(statement("destroy_department_keys"), {"epoch": epoch})
            connection.execute(statement("destroy_epoch"), {"epoch": epoch})
    except psycopg.errors.ForeignKeyViolation:
        return False
    return True


def _altered(what: str) -> IntegrityError:
    return IntegrityError(
        f"the {what} was altered in the key broker's database; no key was destroyed.",
        todo="Put the row back from a backup, then run `maplebridge keys rotate` again.",
    )
