"""Who is meant by an identifier or a reference: only the key broker can tell."""

from __future__ import annotations

import logging
from collections.abc import Collection

from maplebridge.access_policy.broker.epoch_files import EpochFiles
from maplebridge.access_policy.broker.epochs import Epochs
from maplebridge.access_policy.broker.erasure import find_people, identifier_of
from maplebridge.access_policy.broker.store import Connection
from maplebridge.access_policy.broker.vault import Subject
from maplebridge.errors import InputError

_log = logging.getLogger(__name__)


def people(
    connection: Connection,
    files: EpochFiles,
    identifiers: Collection[str],
    references: Collection[Subject] = (),
) -> list[Subject]:
    """Return every (department, key_ref) of a person.

    connection: the administrator's, to the key broker's database. identifiers: as
    `producers.sealing.subject_identifier` makes them. references: known ones, whose
    identifiers are looked up. Subjects of a lost epoch cannot be: the log says how many.
    Raises InputError if there is nobody of them.
    """
    epochs = Epochs.load(connection, files)
    wanted = set(identifiers)
    for each in references:
        wanted.add(identifier_of(connection, epochs, each))
    found, closed = find_people(connection, epochs, wanted)
    if closed:
        _log.warning(
            "%d subjects of lost epochs (%s) could not be looked at: put back the epochs' files"
            " and ask again, or drop the epochs with `maplebridge keys rotate --drop-lost`",
            closed,
            ", ".join(sorted(epochs.lost)),
        )
    if not found:
        raise InputError(
            "the key broker knows nobody by this identifier.",
            todo="Give it as the department's events have it: the kind, then the number.",
        )
    return found
