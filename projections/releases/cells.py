"""Cells: how many cases, how many persons, and what of that is shown. Pure.

Whether a cell is shown follows from its noised figures as its value does: a bound on the exact
count would tell, by a cell that vanishes, of the one case that is missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from maplebridge.projections.releases.noise import Draws

UNKNOWN = ""
"""Stands for all cases together whose persons are not known."""


@dataclass(frozen=True)
class Whose:
    """Whose cases are whose. persons: of a case, references; of a case about no person, none.

    unknown: cases that have persons of whom nothing is known, as of an anonymous caller.
    """

    persons: Mapping[str, frozenset[str]]
    unknown: Collection[str] = frozenset()

    def contributors(self, cases: Iterable[str]) -> Counter[str]:
        """Return how many cases each contributor has.

        Cases that share a person, directly or over others, have one contributor; of a case about
        no person it is the case. All unknown persons count as one: they may be one.
        """
        cases = list(cases)
        above = {case: case for case in cases}

        def top(case: str) -> str:
            while above[case] != case:
                above[case] = above[above[case]]
                case = above[case]
            return case

        first: dict[str, str] = {}
        for case in cases:
            for person in self.persons.get(case, ()):
                above[top(case)] = top(first.setdefault(person, case))
        return Counter(UNKNOWN if case in self.unknown else top(case) for case in cases)


@dataclass(frozen=True)
class Cell:
    """What is known of one cell, and what may be.

    value: its noised number of cases, never told if not `shown`.
    """

    value: int
    shown: bool


@dataclass(frozen=True)
class Protection:
    """How cells are protected. reach: the largest noise there is."""

    draws: Draws
    reach: int
    threshold: int
    dominance: float

    def cell(self, cases: Collection[str], whose: Whose) -> Cell:
        """Return the cell of cases, each named once."""
        noise = self.draws.of(cases)
        contributors = whose.contributors(cases)
        # what is at least threshold + reach with noise is at least threshold without
        enough = len(contributors) + noise >= self.threshold + self.reach
        contributors.pop(UNKNOWN, None)
        largest = max(contributors.values(), default=0)
        return Cell(len(cases) + noise, enough and largest <= self.dominance * len(cases))
