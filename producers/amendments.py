"""What this department's own events correct and retract, as far as it has sent them.

Two events that correct the same one would both count. So whoever amends an event may name
it by any id it ever had: what stands in its place now is what is named in the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.errors import EventInvalid
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.producers", "amendments.sql")


class Amendment(NamedTuple):
    """An event takes the place of another of its type, or takes it back."""

    amending_id: str
    target_id: str
    retracts: bool


class Amendments:
    """The remembered amendments: those not yet written in memory, all others in the store.

    To be used under the store's mutex.
    """

    def __init__(self, store: DepartmentStore) -> None:
        self._store = store
        store.make_tables(SQL["schema"])
        self._targets: dict[str, str] = {}
        self._corrected_by: dict[str, str] = {}
        self._retracted_by: dict[str, str] = {}

    def chain(self, event_id: str) -> list[str]:
        """Return an event, what corrected it, what corrected that, and so on; the last stands."""
        found = [event_id]
        while (event_id := self._next(event_id)) and event_id not in found:
            found.append(event_id)
        return found

    def target(self, named: str, amending_id: str | None, *, path: str) -> str:
        """Return what an event has to name so as to amend `named`, which it was told to.

        The same as before if it was taken before, so that a repeated event says the same.
        path: of the field that names it. Raises EventInvalid if it was retracted before.
        """
        before = None if amending_id is None else self._target(amending_id)
        if before:
            return before
        standing = self.chain(named)[-1]
        retraction = self._retracted_by.get(standing) or self._written("retracted_by", standing)
        if retraction:
            raise EventInvalid(
                f"event {standing} was retracted before, by {retraction}.",
                path=path,
                todo="If it was a fact after all, publish it anew under a new id.",
            )
        return standing

    def take(self, amendment: Amendment) -> Amendment:
        """Know an amendment from now on; `write` keeps it, `forget` takes it back."""
        self._targets[amendment.amending_id] = amendment.target_id
        self._amended_by(amendment)[amendment.target_id] = amendment.amending_id
        return amendment

    def write(self, amendments: Sequence[Amendment]) -> None:
        """Keep what was taken; within the transaction that accepts the events."""
        with self._store.transaction() as db:
            db.executemany(SQL["add"], amendments)
            self._store.after_commit(lambda: self.forget(amendments))

    def forget(self, amendments: Iterable[Amendment]) -> None:
        """Drop what was taken; what was written stays."""
        for each in amendments:
            self._targets.pop(each.amending_id, None)
            amended_by = self._amended_by(each)
            if amended_by.get(each.target_id) == each.amending_id:
                del amended_by[each.target_id]

    def every(self) -> list[Amendment]:
        """Return all that are written and hold, in the order in which they were taken."""
        with self._store.reading() as db:
            return [
                Amendment(one, other, bool(back)) for one, other, back in db.execute(SQL["every"])
            ]

    def put_aside(self, amending_id: str) -> None:
        """Let an event that was refused for good amend nothing until `bring_back`."""
        self._set_aside(amending_id, 1)

    def bring_back(self, amending_id: str) -> None:
        """Let an event that was put aside amend its target again."""
        self._set_aside(amending_id, 0)

    def discard(self, amending_id: str) -> None:
        """Forget for good an event that was put aside."""
        with self._store.transaction() as db:
            db.execute(SQL["discard"], (amending_id,))

    def _set_aside(self, amending_id: str, aside: int) -> None:
        with self._store.transaction() as db:
            db.execute(SQL["set_aside"], (aside, amending_id))

    def _amended_by(self, amendment: Amendment) -> dict[str, str]:
        return self._retracted_by if amendment.retracts else self._corrected_by

    def _next(self, event_id: str) -> str:
        return self._corrected_by.get(event_id) or self._written("corrected_by", event_id)

    def _target(self, amending_id: str) -> str:
        return self._targets.get(amending_id) or self._written("target", amending_id)

    def _written(self, query: str, event_id: str) -> str:
        with self._store.reading() as db:
            row = db.execute(SQL[query], (event_id,)).fetchone()
        return "" if row is None else str(row[0])
