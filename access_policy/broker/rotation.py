"""The turn of an epoch: what survives goes under the new epoch's key, the old keys go for good.

No event is touched: masters stay what they are, and only what they are wrapped under
changes. Each step is committed before the next begins, so a turn that was stopped
anywhere is finished by turning again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import (
    Epochs,
    begin_epoch,
    destroy_epoch,
    destroy_strays,
    find_strays,
    this_epoch,
)
from maplebridge.access_policy.broker.store import Connection, statement
from maplebridge.access_policy.broker.vault import (
    read_identifier,
    read_master,
    wrap_identifier,
    wrap_master,
)
from maplebridge.errors import InputError, IntegrityError

OVERLAP = timedelta(hours=24)
"""How long after its end an epoch's keys stay, for a department whose clock is late."""
_CHUNK = 500


Did = Literal[
    "began", "rewrapped masters", "rewrapped identifiers", "kept", "destroyed", "lost", "dropped"
]


@dataclass(frozen=True)
class Step:
    """One committed step of a turn.

    epoch: the one begun, rewrapped into, kept, destroyed, lost or dropped. count: masters or
    identifiers rewrapped, or masters dropped. until: when a kept epoch may be destroyed; None
    if masters wrapped to its public key still wait to be taken in.
    """

    did: Did
    epoch: str
    count: int = 0
    until: datetime | None = None


@dataclass
class Turned:
    """What a turn has done, taken down step by step."""

    epoch: str = ""
    masters: int = 0
    identifiers: int = 0
    kept: list[Step] = field(default_factory=list)
    destroyed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    dropped: list[Step] = field(default_factory=list)

    def take(self, step: Step) -> None:
        match step.did:
            case "began":
                self.epoch = step.epoch
            case "rewrapped masters":
                self.masters += step.count
            case "rewrapped identifiers":
                self.identifiers += step.count
            case "kept":
                self.kept.append(step)
            case "destroyed":
                self.destroyed.append(step.epoch)
            case "lost":
                self.lost.append(step.epoch)
            case "dropped":
                self.dropped.append(step)


def rotate(
    connection: Connection,
    files: EpochFiles,
    *,
    is_taken_in: Callable[[], bool],
    overlap: timedelta = OVERLAP,
    unused: Collection[str] = (),
    drop_lost: Sequence[str] = (),
) -> Iterator[Step]:
    """Begin this week's epoch, rewrap what survives, and destroy the epochs that are over.

    connection: in autocommit; the administrator's if something is to be dropped. is_taken_in:
    whether the broker has taken in every announcement; while it has not, no private half is
    destroyed. unused: epochs that are over sooner, since no department wraps to
    them any more. drop_lost: epochs whose files are lost for good, to be deleted with the masters
    under them. Raises IntegrityError if the root is another or a row was altered, InputError
    if an epoch to drop is not lost; what was committed stays.
    """
    yield from _drop(connection, files, drop_lost)
    epoch = this_epoch(connection)
    begin_epoch(connection, files, epoch)
    yield Step("began", epoch)
    for old in destroy_strays(connection, files, before=epoch):
        yield Step("destroyed", old)
    epochs = Epochs.load(connection, files)
    yield from _rewrap(connection, epochs, epoch)
    where = {"epoch": epoch, "overlap": overlap, "unused": list(unused)}
    for old, until, is_over in connection.execute(statement("older_epochs"), where).fetchall():
        if old in epochs.lost:
            yield Step("lost", old)
        elif not is_over:
            yield Step("kept", old, until=until)
        elif not is_taken_in():
            yield Step("kept", old)
        else:
            # a broker that has not met the new epoch yet may have stored more under the old one
            while not destroy_epoch(connection, files, old):
                yield from _rewrap(connection, epochs, epoch)
            yield Step("destroyed", old)


def is_due(
    connection: Connection, files: EpochFiles, *, overlap: timedelta, lost: Collection[str]
) -> bool:
    """Return whether a turn would rewrap or destroy something."""
    epoch = this_epoch(connection)
    where = {"epoch": epoch, "overlap": overlap, "unused": [], "lost": list(lost)}
    over = connection.execute(statement("older_epochs"), where).fetchall()
    return (
        any(is_over for old, _, is_over in over if old not in lost)
        or connection.execute(statement("older_departments"), where).fetchone() is not None
        or any(stray < epoch for stray in find_strays(connection, files))
    )


def _drop(connection: Connection, files: EpochFiles, wanted: Sequence[str]) -> Iterator[Step]:
    lost = Epochs.load(connection, files).lost
    for epoch in wanted:
        if epoch not in lost:
            raise InputError(f"the key broker's epoch {epoch} is not lost; nothing was dropped.")
    for epoch in wanted:
        dropped = connection.execute(statement("drop_epoch"), {"epoch": epoch}).fetchone()
        yield Step("dropped", epoch, dropped[0] if dropped else 0)


def _rewrap(connection: Connection, epochs: Epochs, epoch: str) -> Iterator[Step]:
    where = {"epoch": epoch, "lost": list(epochs.lost)}
    for (department,) in connection.execute(statement("older_departments"), where).fetchall():
        with connection.transaction():
            epochs.make_department_keys(connection, epoch=epoch, department=department)
        while count := _rewrap_masters(connection, epochs, epoch, department):
            yield Step("rewrapped masters", epoch, count)
        while count := _rewrap_subjects(connection, epochs, epoch, department):
            yield Step("rewrapped identifiers", epoch, count)


def _rewrap_masters(connection: Connection, epochs: Epochs, epoch: str, department: str) -> int:
    where = _older(epochs, epoch, department)
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
    where = _older(epochs, epoch, department)
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


def _older(epochs: Epochs, epoch: str, department: str) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "lost": list(epochs.lost),
        "department": department,
        "limit": _CHUNK,
    }


def _altered(what: str) -> IntegrityError:
    return IntegrityError(
        f"the {what} was altered in the key broker's database; no key was destroyed.",
        todo="Put the row back from a backup, then run `maplebridge keys rotate` again.",
    )
