"""Indicators, the dimensions they add up to and the village light, as indicators.yaml has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, PositiveFloat, PositiveInt, ValidationError
from pydantic import model_validator as validator

from maplebridge.errors import InputError
from maplebridge.projections.matters import Condition, Matter, Span, Step
from maplebridge.schemas import Catalogue, load_catalogue, load_code_lists

Light = Literal["red", "amber", "green"]
DEADLINE = "deadline"
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_ALWAYS = Condition()


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Indicator(_Declared):
    """A share of matters: those that are good, of those that began in a period."""

    doc: str
    of: str
    begins: tuple[str, ...] | Literal["deadline"]
    where: Condition = _ALWAYS
    good: Condition | None = None
    covers: str | None = None

    @validator(mode="after")
    def _counts_one_way(self) -> Self:
        if (self.good is None) == (self.covers is None):
            raise ValueError("give either good or covers")
        return self

    def began(self, matter: Matter, span: Span) -> Step | None:
        """Return the step by which a matter counts in the period; None if it does not.

        The matter's steps end with the period.
        """
        if matter.event_type != self.of:
            return None
        if self.begins == DEADLINE:
            began, at = matter.steps[0], matter.due_at
        else:
            last = matter.last(self.begins)
            if last is None:
                return None
            began, at = last, last.occurred_at
        inside = at is not None and span[0] <= at < span[1]
        return began if inside and self.where.holds(matter, began) else None

    def is_good(self, matter: Matter, began: Step) -> bool:
        return self.good is None or self.good.holds(matter, began)

    @property
    def transitions(self) -> frozenset[str]:
        """All transitions that are named."""
        begins = () if self.begins == DEADLINE else self.begins
        conditions = (self.where, self.good or _ALWAYS)
        return frozenset(begins).union(*(each.steps | each.without for each in conditions))


class Dimension(_Declared):
    """weight: in the whole. indicators: the weight of each in the dimension."""

    weight: PositiveFloat
    indicators: Mapping[str, PositiveFloat]


class Shines(_Declared):
    """By which transitions a matter of one type begins, and is done."""

    begins: frozenset[str]
    done: frozenset[str]


class VillageLight(_Declared):
    """The colour of a community by its unresolved matters; shares from 0 to 1."""

    of: Mapping[str, Shines]
    window: timedelta
    step: timedelta
    red: float
    green: float

    def as_of(self, now: datetime) -> datetime:
        """Return the last full step."""
        return now - (now - _BEGINNING) % self.step

    def began(self, matter: Matter, span: Span) -> Step | None:
        """Return the step by which a matter began in the window, if it did."""
        rule = self.of.get(matter.event_type)
        last = matter.last(rule.begins) if rule else None
        return last if last and span[0] <= last.occurred_at < span[1] else None

    def is_unresolved(self, matter: Matter, began: Step) -> bool:
        done = self.of[matter.event_type].done
        return not any(each.transition in done for each in matter.since(began))

    def colour(self, unresolved: int, matters: int) -> Light:
        share = unresolved / matters
        return "red" if share >= self.red else "green" if share < self.green else "amber"


class RisingTopics(_Declared):
    """What is compared with its own history; see projections/topics.py.

    of: by which transitions a matter of a type begins. weeks: of history at most, least_weeks: at
    least. least: matters in the week.
    """

    of: Mapping[str, frozenset[str]]
    weeks: PositiveInt
    least_weeks: PositiveInt
    least: PositiveInt
    false_rate: PositiveFloat


class Indicators(_Declared):
    """least: the smallest denominator that gives a value."""

    least: PositiveInt
    indicators: Mapping[str, Indicator]
    dimensions: Mapping[str, Dimension]
    village_light: VillageLight
    rising_topics: RisingTopics

    def dimension_of(self, indicator: str) -> str | None:
        return next((n for n, d in self.dimensions.items() if indicator in d.indicators), None)

    @property
    def event_types(self) -> frozenset[str]:
        """Those of which any statistic is made."""
        of_indicators = frozenset(each.of for each in self.indicators.values())
        return of_indicators | set(self.village_light.of) | set(self.rising_topics.of)


@cache
def codes_of(code_list: str) -> tuple[str, ...]:
    """Return the codes of a list, in its order."""
    return tuple(load_code_lists().get(code_list).codes)


@cache
def load_indicators() -> Indicators:
    """Raises InputError naming what is wrong in the file."""
    path = Path(str(files("maplebridge.projections").joinpath("indicators.yaml")))
    return parse_indicators(path.read_text("utf-8"), load_catalogue())


def parse_indicators(text: str, catalogue: Catalogue) -> Indicators:
    """Raises InputError naming what is wrong in the text."""
    try:
        declared = Indicators.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as exc:
        raise InputError(
            f"indicators.yaml cannot be used ({type(exc).__name__}: {exc}).",
            todo="Correct it there.",
        ) from exc
    for fault in _faults(declared, catalogue):
        raise InputError(f"indicators.yaml: {fault}", todo="Correct it there.")
    return declared


def _faults(declared: Indicators, catalogue: Catalogue) -> Iterator[str]:
    for name, each in declared.indicators.items():
        contract = catalogue.get(each.of)
        unknown = each.transitions - set(contract.transitions)
        if unknown:
            yield f"{name} names {', '.join(sorted(unknown))}, no transition of {each.of}."
        tally = contract.by_path.get(contract.tally)
        codes = each.where.codes | (each.good or _ALWAYS).codes
        if codes and (tally is None or not codes <= set(codes_of(tally.code_list or ""))):
            yield f"{name} names codes that {each.of} is not counted by."
    for event_type, rule in declared.village_light.of.items():
        if (rule.begins | rule.done) - set(catalogue.get(event_type).transitions):
            yield f"the light names no transitions of {event_type}."
    for event_type, begins in declared.rising_topics.of.items():
        if begins - set(catalogue.get(event_type).transitions):
            yield f"rising_topics names no transitions of {event_type}."
    for name, dimension in declared.dimensions.items():
        if set(dimension.indicators) - set(declared.indicators):
            yield f"{name} names no indicators of the file."
