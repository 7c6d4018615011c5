"""What imports have said of each row: what is new of one, and what has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from maplebridge.errors import EventInvalid
from maplebridge.producers.amendments import Amendments
from maplebridge.producers.ids import correction_id
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.mapping import MappedEvent


class RowEvent(NamedTuple):
    """One event of a row.

    row_id: what the row is known by, and the id of what it first said. digest: of what it
    says now. corrects: the event whose place it takes, None if it is new.
    """

    row_id: str
    event_id: str
    digest: bytes
    event: MappedEvent
    corrects: str | None = None


class RowHistory:
    """Judges the rows of one run against what was said before.

    correct: a changed row takes the place of what it said before.
    """

    def __init__(
        self, state: ImportState, amendments: Amendments, *, key: str, correct: bool
    ) -> None:
        """key: the column that a rejected row is blamed on."""
        self._state = state
        self._amendments = amendments
        self._key = key
        self._correct = correct
        self._known: Mapping[str, bytes] = {}
        self._read: set[str] = set()
        if correct:
            state.begin_run()

    def recall(self, events: Sequence[RowEvent]) -> None:
        """Look up what was said before by the rows that come next."""
        self._known = self._state.find([each.row_id for each in events])
        if self._read:
            self._state.note_read(self._read)
            self._read.clear()

    def news(self, events: Sequence[RowEvent]) -> list[RowEvent]:
        """Return what is to be published of a row.

        Raises EventInvalid if it says something else than before, and may not, or than
        another row of this run.
        """
        judge = self._changed if self._correct else self._new
        return [found for each in events if (found := judge(each)) is not None]

    def accept(self, events: Sequence[RowEvent]) -> None:
        """Know that a row is published, now or before: no other row of this run may differ."""
        if self._correct:
            self._read.update(each.row_id for each in events)

    def _new(self, each: RowEvent) -> RowEvent | None:
        first = self._first(each)
        if first is None:
            return each
        if each.digest == first or each.digest in self._said(self._amendments.chain(each.row_id)):
            return None
        raise EventInvalid(
            "a row with the same key and time was published with other values.",
            path=self._key,
            todo="Import it with --correct if it takes the place of that one. If it is another"
            " event, add a column to `key` that tells them apart.",
        )

    def _changed(self, each: RowEvent) -> RowEvent | None:
        chain = self._amendments.chain(each.row_id)
        first = self._first(each)
        said = [first] if len(chain) == 1 else self._said(chain)
        if not said or said[-1] is None:
            return each
        # what others have corrected since is not undone by a row that says what it said
        if said[-1] == each.digest:
            return None
        if each.row_id in self._read or self._state.was_read(each.row_id):
            raise EventInvalid(
                "another row of this import has the same key and time and other values.",
                path=self._key,
                todo="Keep the one that holds. If both do, add a column to `key` that tells"
                " them apart.",
            )
        return each._replace(event_id=correction_id(chain[-1]), corrects=chain[-1])

    def _first(self, each: RowEvent) -> bytes | None:
        return self._known.get(each.row_id) or self._state.taken(each.row_id)

    def _said(self, chain: Sequence[str]) -> list[bytes]:
        """Return the digests of what imports have said, of events that follow each other."""
        found = self._state.find(chain)
        return [found[each] for each in chain if each in found]
