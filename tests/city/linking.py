"""Two colluding consumers: what they hold, and every way they try to link it. Pure.

An attacker links rows (or persons) of two views by a feature: within each class of equal
features it pairs them at random, or in some order. Where the feature is independent of
which row is which, a class of n equal rows gives one right pair on average, however
large it is: the mean of right pairs is at most the number of classes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from random import Random

Feature = Callable[["Held"], Hashable]
SEED = 20260302
DEVIATIONS = 6
REMAINS = (
    "event_type", "schema_version", "department", "purpose", "hidden", "scopes",
    "meta.community", "meta.grid", "meta.occurred_at", "meta.recorded_at", "meta.transition",
    "meta.purpose", "meta.legal_basis", "meta.retention", "meta.backfill",
)  # fmt: skip
"""What docs/policies.md says remains: policies leave it in both views."""


@dataclass(frozen=True)
class Held:
    """A row as its consumer holds it: every field of the view and of the Kafka record.

    place: offset, timestamp and the like, by which rows can be put in order.
    persons: the tokens of its subjects.
    """

    fields: Mapping[str, Hashable]
    place: Mapping[str, int]
    persons: tuple[str, ...]

    def of(self, names: Iterable[str]) -> Hashable:
        return tuple(self.fields.get(name) for name in names)


@dataclass(frozen=True)
class Linked:
    """How many pairs an attack made, how many were right, and the mean and most of chance."""

    attack: str
    pairs: int
    right: int
    by_chance: float

    @property
    def most(self) -> float:
        return self.by_chance + DEVIATIONS * sqrt(self.by_chance) + DEVIATIONS


def link(
    attack: str,
    one: Sequence[tuple[Hashable, Hashable]],
    other: Sequence[tuple[Hashable, Hashable]],
    truth: Mapping[Hashable, Hashable],
    *,
    classes: int,
    shuffled: bool,
) -> Linked:
    """Pair (name, feature) of two views class by class; truth: which name is which.

    classes: how many there are by what remains, the mean that chance may reach.
    shuffled: pair at random; else in the order given.
    """
    by_feature: dict[Hashable, list[Hashable]] = defaultdict(list)
    for name, feature in other:
        by_feature[feature].append(name)
    mine: dict[Hashable, list[Hashable]] = defaultdict(list)
    for name, feature in one:
        mine[feature].append(name)
    random = Random(SEED)
    pairs = right = 0
    for feature, names in mine.items():
        candidates = by_feature.get(feature, [])
        if shuffled:
            random.shuffle(candidates)
        made = list(zip(names, candidates, strict=False))
        pairs += len(made)
        right += sum(truth.get(name) == candidate for name, candidate in made)
    return Linked(attack, pairs, right, classes)


def attacks_on_rows(
    one: Mapping[Hashable, Held], other: Mapping[Hashable, Held], truth: Mapping[Hashable, Hashable]
) -> list[Linked]:
    """Link rows by every field, every two, what remains with each, all, and by every order."""
    names = sorted({name for row in (*one.values(), *other.values()) for name in row.fields})
    classes = len({row.of(REMAINS) for row in one.values()})
    tuples: list[tuple[str, ...]] = [(name,) for name in names]
    tuples += combinations(names, 2)
    tuples += [(*REMAINS, name) for name in names if name not in REMAINS]
    tuples += [REMAINS, tuple(names)]
    found = [
        link(
            "+".join(fields) if len(fields) < 3 else f"{len(fields)} fields with {fields[-1]}",
            [(name, row.of(fields)) for name, row in one.items()],
            [(name, row.of(fields)) for name, row in other.items()],
            truth,
            classes=classes,
            shuffled=True,
        )
        for fields in tuples
    ]
    orders = sorted({place for row in one.values() for place in row.place})
    for order in orders:
        ranked = (
            sorted(view.items(), key=lambda item: (item[1].place[order], str(item[0])))
            for view in (one, other)
        )
        mine, theirs = ([(name, row.of(REMAINS)) for name, row in each] for each in ranked)
        found.append(link(f"by {order}", mine, theirs, truth, classes=classes, shuffled=False))
    return found


def attacks_on_persons(
    one: Mapping[Hashable, Held], other: Mapping[Hashable, Held], truth: Mapping[Hashable, Hashable]
) -> list[Linked]:
    """Link persons by all the rows they are in: by what remains, each further field, each order."""
    views = [_by_person(view) for view in (one, other)]

    def signatures(fields: Sequence[str]) -> list[list[tuple[Hashable, Hashable]]]:
        return [
            [(person, _bag(row.of(fields) for row in rows)) for person, rows in view.items()]
            for view in views
        ]

    classes = len({signature for _, signature in signatures(REMAINS)[0]})
    names = sorted({name for row in one.values() for name in row.fields})
    tuples = [REMAINS, *((*REMAINS, name) for name in names if name not in REMAINS), tuple(names)]
    found = [
        link(
            f"persons by {len(fields)} fields with {fields[-1]}",
            mine,
            theirs,
            truth,
            classes=classes,
            shuffled=True,
        )
        for fields in tuples
        for mine, theirs in [signatures(fields)]
    ]
    for order in sorted({place for row in one.values() for place in row.place}):
        ranked = [
            sorted(
                ((min(row.place[order] for row in rows), str(person)), person, rows)
                for person, rows in view.items()
            )
            for view in views
        ]
        mine, theirs = (
            [(person, _bag(row.of(REMAINS) for row in rows)) for _, person, rows in each]
            for each in ranked
        )
        found.append(
            link(f"persons by {order}", mine, theirs, truth, classes=classes, shuffled=False)
        )
    return found


def _by_person(view: Mapping[Hashable, Held]) -> dict[Hashable, list[Held]]:
    found: dict[Hashable, list[Held]] = defaultdict(list)
    for row in view.values():
        for person in row.persons:
            found[person].append(row)
    return found


def _bag(features: Iterable[Hashable]) -> Hashable:
    return tuple(sorted(features, key=repr))
