"""The life-cycle of a case, as far as this department itself has sent it.

A transition is judged against the one before it, in the order of (occurred_at,
event_id). Where nothing before it is known, another publisher may have sent it, and
the event is taken: what only the whole history can tell is for combine.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.errors import EventInvalid
from maplebridge.schemas import Contract
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.producers", "lifecycle.sql")
_KNOWN_CASES = 20_000


class Step(NamedTuple):
    """One transition of a case; occurred_at in microseconds since 1970."""

    occurred_at: int
    event_id: str
    transition: str


class Change(NamedTuple):
    """What taking an event changes in what is remembered of its case."""

    event_type: str
    case_ref: str
    step: Step | None
    replaces: str | None


def check_step(contract: Contract, before: Sequence[Step], step: Step) -> None:
    """Raises EventInvalid, naming what is allowed, if `step` cannot follow its predecessor.

    before: the known steps of the case, sorted.
    """
    at = bisect_left(before, step)
    if at < len(before) and before[at].event_id == step.event_id:
        return
    if at == 0:
        return
    last = before[at - 1].transition
    if last in contract.transitions[step.transition].after:
        return
    allowed = [name for name, each in contract.transitions.items() if last in each.after]
    raise EventInvalid(
        f"{step.transition} cannot follow {last} in a case of {contract.event_type}.",
        path="meta.transition",
        todo=f"After {last}: {', '.join(allowed) or 'nothing'}.",
    )


class Lifecycles:
    """The remembered steps of cases: those lately met in memory, all in the store.

    To be used under the store's mutex.
    """

    def __init__(self, store: DepartmentStore) -> None:
        self._store = store
        store.make_tables(SQL["schema"])
        self._known: dict[tuple[str, str], list[Step]] = {}

    def take(
        self,
        contract: Contract,
        case_ref: str,
        step: Step,
        *,
        replaces: str | None,
        judged: bool,
    ) -> Change:
        """Judge a step, remember it, and return what `write` is to keep of it.

        replaces: the id of an event that it corrects, against which it is not judged.
        judged: False for history, which may have gaps; it is remembered all the same.
        """
        event_type = contract.event_type
        known = self._of(event_type, case_ref)
        others = known
        if replaces is not None:
            others = [each for each in known if each.event_id != replaces]
        if judged:
            check_step(contract, others, step)
        if replaces is not None:
            known[:] = others
        if step not in known:
            insort(known, step)
        return Change(event_type, case_ref, step, replaces)

    def retract(self, event_type: str, case_ref: str, event_id: str) -> Change:
        """Forget an event that is taken back."""
        known = self._of(event_type, case_ref)
        known[:] = [each for each in known if each.event_id != event_id]
        return Change(event_type, case_ref, None, event_id)

    def write(self, changes: Sequence[Change]) -> None:
        """Keep what was taken; within the transaction that accepts the events."""
        with self._store.transaction() as db:
            for each in changes:
                if each.replaces is not None:
                    db.execute(SQL["remove"], (each.event_type, each.case_ref, each.replaces))
            db.executemany(
                SQL["add"],
                [(each.event_type, each.case_ref, *each.step) for each in changes if each.step],
            )
            self._store.after_commit(self._trim)

    def forget(self) -> None:
        """Believe the store alone again: what was taken was not written."""
        self._known.clear()

    def _of(self, event_type: str, case_ref: str) -> list[Step]:
        found = self._known.get((event_type, case_ref))
        if found is None:
            with self._store.reading() as db:
                rows = db.execute(SQL["steps"], (event_type, case_ref)).fetchall()
            found = self._known[event_type, case_ref] = [Step(*row) for row in rows]
        return found

    def _trim(self) -> None:
        # within one commit, so that nothing taken and unwritten is forgotten by it
        if len(self._known) > _KNOWN_CASES:
            self._known.clear()
