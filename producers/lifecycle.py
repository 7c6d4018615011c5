"""The life-cycle of a case, as far as this department itself has sent it.

A transition is judged against the one before it and the one after it, in the order of
(occurred_at, event_id). Where neither is known, another publisher may have sent them,
and the event is taken: what only the whole history can tell is for combine.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
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


class Case(NamedTuple):
    """A case, as far as events of one type tell of it."""

    event_type: str
    case_ref: str


class Change(NamedTuple):
    """What taking an event changes in what is remembered of its case.

    left: the case of the step that is replaced, if that is another one.
    """

    case: Case
    step: Step | None
    replaces: str | None
    left: Case | None = None

    @property
    def cases(self) -> tuple[Case, ...]:
        return (self.case,) if self.left is None else (self.case, self.left)

    def apply(self, case: Case, steps: list[Step]) -> None:
        """Make the change in the sorted steps of one of its cases."""
        if self.replaces is not None:
            steps[:] = [each for each in steps if each.event_id != self.replaces]
        if case == self.case and self.step is not None and self.step not in steps:
            insort(steps, self.step)


def check_step(contract: Contract, known: Sequence[Step], step: Step) -> None:
    """Raises EventInvalid, naming what is allowed, if `step` does not fit between its neighbours.

    known: the known steps of the case, sorted.
    """
    at = bisect_left(known, step)
    if at < len(known) and known[at].event_id == step.event_id:
        return
    if at > 0:
        _check_order(contract, known[at - 1], step)
    if at < len(known):
        _check_order(contract, step, known[at])


def _check_order(contract: Contract, first: Step, second: Step) -> None:
    last = first.transition
    if last in contract.transitions[second.transition].after:
        return
    allowed = [name for name, each in contract.transitions.items() if last in each.after]
    raise EventInvalid(
        f"{second.transition} cannot follow {last} in a case of {contract.event_type}.",
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
        self._known: dict[Case, list[Step]] = {}
        self._unwritten: dict[Case, list[Change]] = {}

    def begin_as(self, other: Lifecycles) -> None:
        """Know the steps that are in another store too."""
        with self._store.transaction() as db, other._store.reading() as source:
            db.executemany(SQL["add"], source.execute(SQL["every"]))

    def take(
        self,
        contract: Contract,
        case_ref: str,
        step: Step,
        *,
        replaces: str | None,
        judged: bool,
    ) -> Change:
        """Judge a step and know it from now on; `write` keeps it, `forget` takes it back.

        replaces: the id of an event that it corrects, against which it is not judged.
        judged: False for history, which may have gaps; it is remembered all the same.
        """
        case = Case(contract.event_type, case_ref)
        replaced_in = None if replaces is None else self.case_of(replaces)
        if judged:
            others = self._of(case)
            if replaces is not None:
                others = [each for each in others if each.event_id != replaces]
            check_step(contract, others, step)
        left = None if replaced_in == case else replaced_in
        return self._changed(Change(case, step, replaces, left))

    def case_of(self, event_id: str) -> Case | None:
        """Return the case of which an event that was sent is a step, if it is of one."""
        for changes in self._unwritten.values():
            for each in changes:
                if each.step is not None and each.step.event_id == event_id:
                    return each.case
        with self._store.reading() as db:
            row = db.execute(SQL["case"], (event_id,)).fetchone()
        return None if row is None else Case(*row)

    def withdraw(self, event_id: str) -> Change | None:
        """Let an event be no step any more, if it is one; `write` and `forget` as of `take`."""
        case = self.case_of(event_id)
        return None if case is None else self._changed(Change(case, None, event_id))

    def check_correction(self, target: str, *, event_type: str, transition: str) -> None:
        """Raises EventInvalid if `target` is known to be of another type or transition."""
        known = self._told(target)
        if known is None or known == (event_type, transition):
            return
        path = "meta.corrects" if known[0] != event_type else "meta.transition"
        raise EventInvalid(
            f"the event corrected says {known[1]} of a case of {known[0]}.",
            path=path,
            todo="A correction keeps type and transition: retract the event, and publish the"
            " right one anew.",
        )

    def _told(self, event_id: str) -> tuple[str, str] | None:
        """Return the type and the transition of an event that was sent as a step of a case."""
        for case, changes in self._unwritten.items():
            for each in changes:
                if each.step is not None and each.step.event_id == event_id:
                    return case.event_type, each.step.transition
        with self._store.reading() as db:
            row = db.execute(SQL["told"], (event_id,)).fetchone()
        return None if row is None else (str(row[0]), str(row[1]))

    def write(self, changes: Sequence[Change]) -> None:
        """Keep what was taken; within the transaction that accepts the events."""
        with self._store.transaction() as db:
            # in this order, since an event may be replaced in the very batch it is of
            db.executemany(SQL["add"], [(*each.case, *each.step) for each in changes if each.step])
            db.executemany(SQL["remove"], [(each.replaces,) for each in changes if each.replaces])
            self._store.after_commit(lambda: self._written(changes))

    def forget(self, changes: Sequence[Change]) -> None:
        """Take back what was taken and not written, and nothing that others have taken."""
        for case in self._settle(changes):
            self._known.pop(case, None)

    def put_aside(self, event_id: str) -> None:
        """Let an event that was refused for good be no step until `bring_back`."""
        with self._store.transaction() as db:
            db.execute(SQL["put_aside"], (event_id,))
            db.execute(SQL["remove"], (event_id,))
            self._store.after_commit(self._known.clear)

    def bring_back(self, event_id: str) -> None:
        """Let an event that was put aside be a step again."""
        with self._store.transaction() as db:
            db.execute(SQL["bring_back"], (event_id,))
            db.execute(SQL["discard"], (event_id,))
            self._store.after_commit(self._known.clear)

    def discard(self, event_id: str) -> None:
        """Forget for good an event that was put aside."""
        with self._store.transaction() as db:
            db.execute(SQL["discard"], (event_id,))

    def _changed(self, change: Change) -> Change:
        for case in change.cases:
            change.apply(case, self._of(case))
            self._unwritten.setdefault(case, []).append(change)
        return change

    def _of(self, case: Case) -> list[Step]:
        """Return the steps of a case: those written, and what is taken beside them."""
        found = self._known.get(case)
        if found is None:
            with self._store.reading() as db:
                rows = db.execute(SQL["steps"], case).fetchall()
            found = self._known[case] = [Step(*row) for row in rows]
            for change in self._unwritten.get(case, ()):
                change.apply(case, found)
        return found

    def _written(self, changes: Sequence[Change]) -> None:
        self._settle(changes)
        if len(self._known) > _KNOWN_CASES:
            self._known.clear()

    def _settle(self, changes: Sequence[Change]) -> Iterable[Case]:
        """Drop changes from those that are unwritten; return their cases."""
        settled = {id(each) for each in changes}
        cases = {case for each in changes for case in each.cases}
        for case in cases:
            left = [each for each in self._unwritten.pop(case, ()) if id(each) not in settled]
            if left:
                self._unwritten[case] = left
        return cases
