"""T20: whoever puts all released tables together gains nothing over the noise that is stated.

The attacker here knows the list, the noise's distribution and, in the last test, all cases of the
city but one. The cities are made up, each by a seed, and nobody in them exists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from math import log, prod, sqrt
from random import Random
from statistics import fmean

from maplebridge.projections.indicators import load_indicators
from maplebridge.projections.matters import Step, matters_of
from maplebridge.projections.releases.cells import Whose
from maplebridge.projections.releases.listed import Listed, Noise, load_listed
from maplebridge.projections.releases.noise import CellKeys, Draws, NoiseTable
from maplebridge.projections.releases.tables import GREY, Content, Figure, Makes
from maplebridge.projections.statistics import Place
from maplebridge.schemas import load_catalogue

LISTED, INDICATORS, CATALOGUE = load_listed(), load_indicators(), load_catalogue()
NOISE = LISTED.noise.table
SPAN = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
BARE = LISTED.model_copy(
    update={
        "threshold": 1, "threshold_l4": 1, "dominance": 1.0,
        "noise": Noise.model_construct(reach=0, deviation=1.0),
    }
)  # fmt: skip
"""The same tables unprotected: what the attacker is after."""

Row = tuple[str, ...]
Key = tuple[str, Row, str]
"""table, what tells its row apart, measure"""


class NoNoise:
    def of(self, cases: Iterable[str]) -> int:
        return 0


class FreshNoise:
    """What the cell-key method is not: another draw each time."""

    def __init__(self, seed: int) -> None:
        self._chance = Random(seed)

    def of(self, cases: Iterable[str]) -> int:
        return NOISE.at(self._chance.random())


def keyed(seed: int, noise: NoiseTable = NOISE) -> Draws:
    return CellKeys(Random(seed).randbytes(32), noise)


@dataclass(frozen=True)
class City:
    """Cases by community, and the towns of communities."""

    cases: Mapping[str, Sequence[Sequence[Step]]]

    @property
    def places(self) -> Mapping[str, list[Place]]:
        communities = sorted(self.cases)
        towns = sorted({each[:9] for each in communities})
        return {
            "community": [Place(each, frozenset({each})) for each in communities],
            "town": [
                Place(each, frozenset(c for c in communities if c.startswith(each)))
                for each in towns
            ],
            "county": [Place("330681", frozenset(communities))],
        }

    def released(self, draws: Draws, listed: Listed = LISTED) -> dict[str, Content]:
        steps = [step for held in self.cases.values() for case in held for step in case]
        makes = Makes(listed, INDICATORS, CATALOGUE, draws)
        matters = matters_of(steps)
        whose = Whose({step.case: frozenset({f"of {step.case}"}) for step in steps})
        return {
            name: makes.content(
                name, matters, whose, self.places, period="2026-03", span=SPAN,
                region="330681",
            )
            for name in listed.tables
        }  # fmt: skip

    def truth(self) -> dict[Key, int]:
        return {key: int(value or 0) for key, value in figures(self.released(NoNoise(), BARE))}

    def without(self, community: str) -> City:
        """The city without the last case of one community."""
        return City({**self.cases, community: self.cases[community][:-1]})


def figures(tables: Mapping[str, Content]) -> Iterable[tuple[Key, int | None]]:
    """Yield every count of every table, None where it is withheld."""
    for name, content in tables.items():
        width = len(content.dimensions)
        for row in content.rows:
            for measure, value in zip(content.measures, row[width:], strict=True):
                if measure not in ("light", "value"):
                    assert value is None or isinstance(value, int)
                    yield (name, tuple(map(str, row[:width])), measure), value


def case(name: str, community: str, chance: Random, *, category: str = "") -> list[Step]:
    """An order that was evaluated, and a mediation that was agreed; every caller was asked all."""
    at = SPAN[0] + timedelta(minutes=chance.randrange(30_000))
    blank = Step(
        name, "", "", "made-up", community, "", "", None, at, None, None, None
    )  # fmt: skip

    def step(event_type: str, transition: str, **changes: object) -> Step:
        made = replace(blank, event_type=event_type, transition=transition, **changes)  # type: ignore[arg-type]
        return replace(made, event_id=f"{name} {event_type} {transition}")

    about = category or chance.choice(("road", "noise", "waste"))
    content = chance.choice(("satisfied", "satisfied", "dissatisfied"))
    level = chance.choice(("community", "town", "county"))
    made = [
        step("hotline.order", "received", category=about),
        step("hotline.evaluation", "evaluated", category=content, contacted=chance.random() < 0.8,
             resolved=chance.random() < 0.7),
        step("mediation.case", "agreed", level=level),
    ]  # fmt: skip
    if chance.random() < 0.5:
        later = at + timedelta(hours=1)
        made.append(step("hotline.order", "closed", category=about, occurred_at=later))
    return made


def city(seed: int, sizes: Sequence[Sequence[int]]) -> City:
    """A county of towns, each with communities of so many cases."""
    chance = Random(seed)
    cases = {}
    for town, communities in enumerate(sizes, 1):
        for number, size in enumerate(communities, 1):
            code = f"330681{town:03}{number:03}"
            cases[code] = [case(f"{code}-{each}-{seed}", code, chance) for each in range(size)]
    return City(cases)


def mean_square(errors: Iterable[float]) -> float:
    return fmean(each * each for each in errors)


def averaged(draws: Callable[[int], Draws], seeds: range) -> list[float]:
    """Average what is the same in all of the three rates, and in tables that are asked for anew."""
    errors = []
    for seed in seeds:
        made = city(seed, [[60], [60]])
        of = draws(seed)
        told = [dict(figures(made.released(of))) for _ in range(2)]
        for town in ("330681001", "330681002"):
            keys = [
                ("hotline_rates", (town, each), "denominator")
                for each in ("contacted", "resolved", "satisfied")
            ]
            values = [value for one in told for key in keys if (value := one[key]) is not None]
            assert len(values) == 6
            errors.append(fmean(values) - 60)
    return errors


def test_averaging_what_is_told_again_and_again_takes_no_noise_away() -> None:
    """T20: six figures of one set of cases, over 100 cities: one draw."""
    assert mean_square(averaged(keyed, range(100))) > 0.75 * NOISE.variance
    # the attack is a real one: it takes noise away where each figure has its own
    assert mean_square(averaged(FreshNoise, range(100))) < 0.3 * NOISE.variance


def withheld_by_difference(draws: Callable[[int], Draws], seeds: range) -> list[float]:
    """Find a small community by the county less the others, and a rare category likewise."""
    errors: list[float] = []
    for seed in seeds:
        made = city(seed, [[60, 60, 4]])
        small = "330681001003"
        held = [case(f"rare-{each}-{seed}", small, Random(each), category="gas") for each in (1, 2)]
        made = City({**made.cases, small: [*made.cases[small], *held]})
        told, truth = dict(figures(made.released(draws(seed)))), made.truth()
        for table, target in (("orders", (small,)), ("orders_by_category", ("330681", "gas"))):
            assert told[table, target, "received"] is None
            whole = told["orders", ("330681",), "received"]
            others = [
                value
                for (name, row, _), value in told.items()
                if name == table and row not in (target, ("330681",)) and value is not None
            ]
            unseen = sum(
                truth[key] for key, value in told.items()
                if key[0] == table and key[1] != target and value is None
            )  # fmt: skip
            assert whole is not None
            # he is even told how much lies in all other cells that are withheld
            errors.append(whole - sum(others) - unseen - truth[table, target, "received"])
    return errors


def test_differencing_two_aggregates_finds_no_household() -> None:
    """T20: what is withheld, as a total less what is shown, over 100 cities."""
    assert mean_square(withheld_by_difference(keyed, range(100))) > NOISE.variance
    # without noise the same difference is exact
    assert set(withheld_by_difference(lambda _: NoNoise(), range(5))) == {0}


def test_the_same_cells_told_month_after_month_are_other_cells() -> None:
    """T20: a case is in one month of a table, and the next month's noise is of other cases."""
    made, draws = city(1, [[40]]), keyed(1)
    late = City({
        place: [[replace(step, occurred_at=SPAN[1] + timedelta(days=1)) for step in each]
                for each in cases]
        for place, cases in made.cases.items()
    })  # fmt: skip
    assert all(value is None for _, value in figures(late.released(draws)))


def test_a_cell_is_never_shown_under_its_threshold() -> None:
    """T20: whatever the noise is, and grey for the light under ten."""
    for seed in range(60):
        made = city(seed, [[seed % 14, 9, 12], [30, 19, 8]])
        tables, truth = made.released(keyed(seed)), made.truth()
        for (name, row, measure), value in figures(tables):
            if value is not None:
                assert truth[name, row, measure] >= tables[name].threshold
                assert value > 0
        for place, light in tables["village_light"].rows:
            if len(made.cases[str(place)]) < 10:
                assert light == GREY


# -- all tables together, by somebody who knows all cases but one


def chance_of(value: int | None, true: int, threshold: int, noise_: NoiseTable) -> float:
    """Return how likely a figure is, told or withheld, where so many cases are true."""
    least = threshold + LISTED.noise.reach
    by_noise = dict(zip(noise_.values, noise_.probabilities, strict=True))
    if value is not None:
        return by_noise.get(value - true, 0.0)
    return sum(p for noise, p in by_noise.items() if true + noise < least)


def chance_of_light(light: Figure, left: int, matters: int, noise: NoiseTable) -> float:
    least = LISTED.threshold + LISTED.noise.reach
    found = 0.0
    for (one, p), (other, q) in product(
        zip(noise.values, noise.probabilities, strict=True), repeat=2
    ):
        shown = matters + other
        unresolved = min(max(left + one, 0), shown)
        colour = INDICATORS.village_light.colour(unresolved, shown) if shown >= least else GREY
        found += p * q * (colour == light)
    return found


def unresolved(made: City) -> dict[str, tuple[int, int]]:
    return {
        place: (
            sum(all(step.transition != "closed" for step in each) for each in cases),
            len(cases),
        )
        for place, cases in made.cases.items()
    }


def likelihood(
    tables: Mapping[str, Content], world: City, sets: Mapping[Key, Key], noise: NoiseTable
) -> float:
    """Return the log likelihood of all that was released if `world` is true.

    sets: of figures of the same cases, which have one draw, the one that is looked at.
    """
    truth, lights = world.truth(), unresolved(world)
    found = [
        chance_of(value, truth[key], tables[key[0]].threshold, noise)
        for key, value in figures(tables)
        if sets.get(key, key) == key
    ]
    found += [
        chance_of_light(light, *lights[str(at)], noise)
        for at, light in tables["village_light"].rows
    ]
    return -1e9 if not all(found) else sum(map(log, found))


def the_same(made: City) -> dict[Key, Key]:
    """Return which figures are of the same cases, which he knows: all callers were asked all."""
    found: dict[Key, Key] = {}
    for town in {place[:9] for place in made.cases}:
        rates = [("hotline_rates", (town, each), "denominator") for each in
                 ("contacted", "resolved", "satisfied")]  # fmt: skip
        ended = [("mediations", (town, "mediated"), "denominator"),
                 ("mediations", (town, "mediated"), "numerator"),
                 ("mediations", (town, "mediated_near"), "denominator")]  # fmt: skip
        # all of these are all cases of the town
        found |= dict.fromkeys([*rates[1:], *ended], rates[0])
        if all(place.startswith(town) for place in made.cases):
            found["orders", ("330681",), "received"] = rates[0]
    return found


def told_apart(seeds: range, noise: NoiseTable = NOISE) -> float:
    """Return how often he is right whether the last case of a community is there."""
    right = 0
    for seed in seeds:
        # so large that all is shown, or about as large as where a cell may vanish
        sizes = [70, 75] if seed % 2 else [18 + seed % 15, 14 + seed % 11]
        whole = city(seed, [sizes])
        target = sorted(whole.cases)[seed % 4 // 2]
        less = whole.without(target)
        there = Random(seed).random() < 0.5
        tables = (whole if there else less).released(keyed(seed, noise))
        sets = the_same(whole)
        one, other = (likelihood(tables, each, sets, noise) for each in (whole, less))
        right += (one > other) == there
    return right / len(seeds)


def best_by_noise_alone(cells: int, trials: int) -> float:
    """Return how often one is right who sees so many cells with and without one case, unprotected
    but for the noise; nothing that is made of them can tell more."""
    chance, right = Random(20), 0
    by_noise = dict(zip(NOISE.values, NOISE.probabilities, strict=True))
    for _ in range(trials):
        there = chance.random() < 0.5
        seen = [NOISE.at(chance.random()) + there for _ in range(cells)]
        one = prod(by_noise.get(each - 1, 0.0) for each in seen)
        right += (one > prod(by_noise.get(each, 0.0) for each in seen)) == there
    return right / trials


def test_all_tables_together_tell_no_more_of_one_case_than_the_stated_noise() -> None:
    """T20: he knows every case of the city but one, over 300 cities, and guesses at best."""
    trials = range(300)
    found = told_apart(trials)
    stated = best_by_noise_alone(LISTED.cells_of_a_case, 20_000)
    assert found <= stated + 3 * sqrt(0.25 / len(trials)), (found, stated)
    # the stated noise leaves doubt, and the attack is a real one: with little noise he is right
    assert found > 0.55
    assert stated < 0.75
    assert told_apart(range(40), NoiseTable(LISTED.noise.reach, 0.2)) > 0.95


def test_an_estimate_from_all_tables_misses_by_the_stated_variance() -> None:
    """T20: the mean, over all cells that one case is in, of what is not known otherwise."""
    errors = []
    for seed in range(150):
        made = city(seed, [[70, 80]])
        told, truth = dict(figures(made.released(keyed(seed)))), made.truth()
        less = made.without("330681001001").truth()
        inside = [key for key in told if truth[key] != less[key]]
        seen = [value - truth[key] for key in inside if (value := told[key]) is not None]
        assert len(seen) >= 8
        errors.append(fmean(seen))
    stated = made.released(keyed(0))["orders"].remaining_variance
    assert mean_square(errors) > stated
    assert stated >= LISTED.least_variance
