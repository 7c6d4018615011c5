"""Making one table of the fixed list: matters in, protected rows out. Pure."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from maplebridge.projections.indicators import Indicators, codes_of
from maplebridge.projections.matters import Matter, Span
from maplebridge.projections.releases.cells import Cell, Protection, Whose
from maplebridge.projections.releases.listed import Listed, ListedTable
from maplebridge.projections.releases.noise import Draws
from maplebridge.projections.statistics import Place
from maplebridge.schemas import Catalogue

GREY = "grey"
Figure = str | int | float | None


@dataclass(frozen=True)
class Content:
    """A protected table. dimensions: the first columns; measures: those after them.

    A figure that is withheld is None, of a light `grey`.
    """

    table: str
    doc: str
    period: str
    region: str
    threshold: int
    noise: str
    noise_variance: float
    remaining_variance: float
    dimensions: tuple[str, ...]
    measures: tuple[str, ...]
    rows: tuple[tuple[Figure, ...], ...]
    cells: int
    cells_withheld: int

    @property
    def release_id(self) -> str:
        return f"{self.table}.{self.period}.{self.region}"

    def encode(self) -> bytes:
        """Return the bytes that are frozen: canonical JSON."""
        return json.dumps(vars(self), sort_keys=True, ensure_ascii=False, indent=1).encode()

    @classmethod
    def decode(cls, content: bytes) -> Content:
        told = json.loads(content)
        for name in ("dimensions", "measures", "rows"):
            told[name] = tuple(told[name])
        return cls(**{**told, "rows": tuple(map(tuple, told["rows"]))})

    @property
    def sha256(self) -> str:
        return sha256(self.encode()).hexdigest()


@dataclass(frozen=True)
class Makes:
    """Makes tables of one list with one secret's draws."""

    listed: Listed
    indicators: Indicators
    catalogue: Catalogue
    draws: Draws

    def content(
        self,
        name: str,
        matters: Iterable[Matter],
        whose: Whose,
        places: Mapping[str, Sequence[Place]],
        *,
        period: str,
        span: Span,
        region: str,
    ) -> Content:
        """Return one table of a month. places: of each level. Raises InputError for a name that
        is not in the list."""
        table = self.listed.get(name)
        protection = Protection(
            self.draws,
            self.listed.noise.reach,
            self.listed.threshold_of(table, self.indicators, self.catalogue),
            self.listed.dominance,
        )
        held: dict[str, list[Matter]] = defaultdict(list)
        for matter in matters:
            held[matter.community].append(matter)
        rows: list[tuple[Figure, ...]] = []
        figures: list[Figure] = []
        for level in table.levels:
            for place in places[level]:
                for keys, counted in self._counted(table, place.matters(held), span):
                    row = self._figures(table, [protection.cell(each, whose) for each in counted])
                    figures += row
                    rows.append((place.code, *keys, *row))
        withheld = sum(each in (None, GREY) for each in figures)
        noise = self.listed.noise.table
        return Content(
            table=name,
            doc=table.doc,
            period=period,
            region=region,
            threshold=protection.threshold,
            noise=noise.name,
            noise_variance=round(noise.variance, 4),
            remaining_variance=round(self.listed.remaining_variance, 4),
            dimensions=_dimensions(table),
            measures=_measures(table),
            rows=tuple(rows),
            cells=len(figures) - withheld,
            cells_withheld=withheld,
        )

    def _counted(
        self, table: ListedTable, matters: Sequence[Matter], span: Span
    ) -> Iterator[tuple[tuple[str, ...], list[set[str]]]]:
        """Yield the keys of each row of a place beside the region, with the cases of its cells."""
        if table.light:
            light = self.indicators.village_light
            begun = [(m, b) for m in matters if (b := light.began(m, span)) is not None]
            left = {matter.case for matter, began in begun if light.is_unresolved(matter, began)}
            yield (), [left, {matter.case for matter, _ in begun}]
        for name in table.rates:
            indicator = self.indicators.indicators[name]
            met = [(m, b) for m in matters if (b := indicator.began(m, span)) is not None]
            good = {matter.case for matter, began in met if indicator.is_good(matter, began)}
            yield (name,), [good, {matter.case for matter, _ in met}]
        if table.counts:
            found = [
                [(m.case, b.category) for m in matters if (b := each.began(m, span)) is not None]
                for each in table.counts.values()
            ]
            for code in codes_of(table.by) if table.by else (None,):
                keys = () if code is None else (code,)
                yield keys, [{c for c, by in one if code in (None, by)} for one in found]

    def _figures(self, table: ListedTable, cells: Sequence[Cell]) -> tuple[Figure, ...]:
        if table.light:
            unresolved, matters = cells
            if not matters.shown:
                return (GREY,)
            left = min(max(unresolved.value, 0), matters.value)
            return (self.indicators.village_light.colour(left, matters.value),)
        figures = tuple(each.value if each.shown else None for each in cells)
        if not table.rates:
            return figures
        good, of = cells
        # noise may bring more good ones than there are
        share = round(min(good.value / of.value, 1.0), 4) if good.shown and of.shown else None
        return *figures, share


def _dimensions(table: ListedTable) -> tuple[str, ...]:
    more = ("indicator",) if table.rates else ("category",) if table.by else ()
    return ("region", *more)


def _measures(table: ListedTable) -> tuple[str, ...]:
    if table.light:
        return ("light",)
    return ("numerator", "denominator", "value") if table.rates else tuple(table.counts)


def persons_of(rows: Iterable[Mapping[str, Any]], catalogue: Catalogue) -> Whose:
    """Return whose the cases are, of rows of the query `subjects`.

    A case is about persons if any of its departments has contracts that name some.
    """
    naming = {each.department for each in catalogue if each.subjects}
    about = {each.event_type for each in catalogue if each.department in naming}
    persons: dict[str, frozenset[str]] = {}
    unknown: set[str] = set()
    for row in rows:
        if row["subjects"]:
            persons[row["case"]] = frozenset(row["subjects"])
        elif about & set(row["event_types"]):
            unknown.add(row["case"])
    return Whose(persons, frozenset(unknown))
