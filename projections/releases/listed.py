"""The fixed list of tables, as tables.yaml has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import cache
from importlib.resources import files
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError
from pydantic import model_validator as validator

from maplebridge.errors import InputError
from maplebridge.projections.indicators import Indicators, load_indicators
from maplebridge.projections.matters import Matter, Span, Step
from maplebridge.projections.releases.noise import NoiseTable
from maplebridge.schemas import Catalogue, load_catalogue

Level = Literal["community", "town", "county"]


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Noise(_Declared):
    reach: PositiveInt
    deviation: PositiveFloat

    @property
    def table(self) -> NoiseTable:
        return NoiseTable(self.reach, self.deviation)


class Count(_Declared):
    """Matters of one type that last made one of these transitions in the month."""

    of: str
    begins: tuple[str, ...]

    def began(self, matter: Matter, span: Span) -> Step | None:
        last = matter.last(self.begins) if matter.event_type == self.of else None
        return last if last and span[0] <= last.occurred_at < span[1] else None


class ListedTable(_Declared):
    """What one table shows; exactly one of counts, rates and light."""

    doc: str
    levels: tuple[Level, ...]
    by: str | None = None
    counts: Mapping[str, Count] = {}
    rates: tuple[str, ...] = ()
    light: bool = False

    @validator(mode="after")
    def _shows_one_thing(self) -> Self:
        if sum((bool(self.counts), bool(self.rates), self.light)) != 1:
            raise ValueError("give one of counts, rates and light")
        if self.by and not self.counts:
            raise ValueError("only counts are told by codes")
        return self

    @property
    def cells_of_a_case(self) -> int:
        """In how many cells with different cases one case may count."""
        shown = len(self.counts) or 2 * len(self.rates) or 2
        return len(self.levels) * shown

    def event_types(self, indicators: Indicators) -> frozenset[str]:
        if self.light:
            return frozenset(indicators.village_light.of)
        of_rates = (indicators.indicators[each].of for each in self.rates)
        return frozenset([*(each.of for each in self.counts.values()), *of_rates])


class Listed(_Declared):
    """All tables, and how they are protected."""

    threshold: PositiveInt
    threshold_l4: PositiveInt
    dominance: PositiveFloat
    noise: Noise
    settles: timedelta
    least_variance: PositiveFloat
    tables: Mapping[str, ListedTable]

    @property
    def cells_of_a_case(self) -> int:
        return sum(each.cells_of_a_case for each in self.tables.values())

    @property
    def remaining_variance(self) -> float:
        """Of the mean of all cells that a case may be in, less all that is known of others."""
        return self.noise.table.variance / self.cells_of_a_case

    def get(self, name: str) -> ListedTable:
        """Raises InputError, naming what there is."""
        if name not in self.tables:
            raise InputError(
                f"there is no table {name} in the list.", todo=f"Tables: {', '.join(self.tables)}."
            )
        return self.tables[name]

    def threshold_of(self, table: ListedTable, indicators: Indicators, catalogue: Catalogue) -> int:
        """Return the least number of persons of a cell.

        One number for the whole table: a cell withheld for the one sensitive case in it would
        tell of that case.
        """
        sensitive = any(_involves_l4(catalogue, each) for each in table.event_types(indicators))
        return self.threshold_l4 if sensitive else self.threshold


def _involves_l4(catalogue: Catalogue, event_type: str) -> bool:
    """Tell whether events of the type have sensitive fields, whoever they are about.

    A twin for those under 14 is empty of everybody else.
    """
    contract = catalogue.get(event_type)
    twins = {raised.twin for _, raised in contract.raised}
    return any(each.grade == 4 and each.path not in twins for each in contract.fields)


@cache
def load_listed() -> Listed:
    """Raises InputError naming what is wrong in the file."""
    file = files("maplebridge.projections.releases").joinpath("tables.yaml")
    return parse_listed(file.read_text("utf-8"))


def parse_listed(text: str) -> Listed:
    """Raises InputError naming what is wrong in the text."""
    try:
        listed = Listed.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as exc:
        raise InputError(
            f"the list of tables cannot be used ({type(exc).__name__}: {exc}).",
            todo="Correct it there.",
        ) from exc
    for fault in _faults(listed, load_indicators(), load_catalogue()):
        raise InputError(f"the list of tables: {fault}", todo="Correct it there.")
    return listed


def _faults(listed: Listed, indicators: Indicators, catalogue: Catalogue) -> Iterator[str]:
    if listed.noise.reach >= listed.threshold:
        yield "the noise reaches the threshold, and a cell could fall under nothing."
    if listed.remaining_variance < listed.least_variance:
        yield (
            f"a case counts in {listed.cells_of_a_case} cells, which leaves a variance of"
            f" {listed.remaining_variance:.2f}, under {listed.least_variance:g}."
        )
    for name, table in listed.tables.items():
        for each in table.rates:
            if each not in indicators.indicators or indicators.indicators[each].good is None:
                yield f"{name} names {each}, no share of matters."
        for count in table.counts.values():
            contract = catalogue.get(count.of)
            if set(count.begins) - set(contract.transitions):
                yield f"{name} names no transitions of {count.of}."
            tally = contract.by_path.get(contract.tally)
            if table.by is not None and (tally is None or tally.code_list != table.by):
                yield f"{count.of} is not counted by {table.by}."
