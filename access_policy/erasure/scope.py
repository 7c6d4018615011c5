"""What an erasure destroys and what it leaves: pure, of the record and of the holds that stand."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from maplebridge.access_policy.broker.holds import Hold
from maplebridge.access_policy.broker.vault import Subject
from maplebridge.access_policy.erasure.parties import Case


@dataclass(frozen=True)
class Scope:
    """references: the subjects and cases whose masters are destroyed.

    left: cases that others have a part in. held: the holds that kept something.
    """

    references: frozenset[Subject]
    shredded: tuple[Case, ...]
    left: tuple[Case, ...]
    held: tuple[Hold, ...]


def scope_of(subjects: Collection[Subject], cases: Sequence[Case], holds: Sequence[Hold]) -> Scope:
    """Return what to destroy of a person, who is these subjects, with these cases.

    A hold on the person keeps everything. One on a case keeps the case, and the person's
    masters of the departments that spoke of the person in it: without these the case would
    be unreadable. A case goes with the person if nobody else has a part in it.
    """
    person = frozenset(subjects)
    standing = [each for each in holds if each.stands]
    on_person = tuple(each for each in standing if each.subjects & person)
    if on_person:
        return Scope(frozenset(), (), (), on_person)
    on_cases = {each.case_ref: each for each in standing if each.case_ref is not None}
    held = [each for each in cases if each.case_ref in on_cases]
    free = [each for each in cases if each.case_ref not in on_cases]
    kept = frozenset(subject for each in held for subject in each.subjects)
    shredded = tuple(each for each in free if each.keys and each.subjects <= person)
    return Scope(
        references=frozenset(person - kept).union(*(each.keys for each in shredded)),
        shredded=shredded,
        left=tuple(each for each in free if not each.subjects <= person),
        held=tuple(dict.fromkeys(on_cases[each.case_ref] for each in held)),
    )
