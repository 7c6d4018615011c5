"""Who is meant by an identifier or a reference: only the key broker can tell."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs
from maplebridge.access_policy.broker.erasure import find_people, identifier_of
from maplebridge.access_policy.broker.store import Connection
from maplebridge.access_policy.broker.vault import Subject
from maplebridge.errors import InputError, IntegrityError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Person:
    """Who is meant. subjects: every (department, key_ref) that is known to be the person.

    closed: how many subjects could not be looked at, as their epochs are lost.
    """

    subjects: Sequence[Subject]
    closed: int
    lost: frozenset[str]

    def whole(self) -> Sequence[Subject]:
        """Return the subjects; raises IntegrityError if there may be more of them."""
        if self.closed:
            raise IntegrityError(_not_looked_at(self), todo=_PUT_BACK)
        return self.subjects


def people(
    connection: Connection,
    files: EpochFiles,
    identifiers: Collection[str],
    references: Collection[Subject] = (),
) -> Person:
    """Find a person by what departments call it.

    connection: the administrator's, to the key broker's database. identifiers: as
    `producers.sealing.subject_identifier` makes them. references: known ones, whose
    identifiers are looked up. Subjects of a lost epoch cannot be looked at: the log says how many.
    Raises InputError if there is nobody of them.
    """
    epochs = Epochs.load(connection, files)
    named = [identifier_of(connection, epochs, each) for each in references]
    wanted = {*identifiers, *(each for each in named if each is not None)}
    found, closed = find_people(connection, epochs, wanted)
    person = Person(sorted({*found, *references}), closed, epochs.lost)
    if closed:
        _log.warning("%s %s", _not_looked_at(person), _PUT_BACK)
    if not person.subjects:
        raise InputError(
            "the key broker knows nobody by this identifier.",
            todo="Give it as the department's events have it: the kind, then the number.",
        )
    return person


_PUT_BACK = (
    "Put back the epochs' files, or drop the epochs with `maplebridge keys rotate --drop-lost`,"
    " and ask again."
)


def _not_looked_at(person: Person) -> str:
    return (
        f"{person.closed} subjects of lost epochs ({', '.join(sorted(person.lost))})"
        " could not be looked at."
    )
