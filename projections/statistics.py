"""Statistics of places: indicators, the monthly index, the village light, rising topics; live.

Each is a count of matters over another, computed of the events when it is read; nothing of it is
kept. Rows name units and territories, and no person.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from maplebridge.errors import InputError
from maplebridge.projections.entries import month_span
from maplebridge.projections.indicators import Indicator, Indicators, VillageLight, codes_of
from maplebridge.projections.matters import Matter, Span, Step, matters_of
from maplebridge.projections.topics import topic_rows, weeks_before
from maplebridge.schemas import Regions
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.projections", "statistics.sql")
STATISTICS = ("indicators", "maple_bridge_index", "village_light", "rising_topics")
"""The read models that are statistics."""
WHOLE = "index"

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A region. communities: the codes in use in it; former: those they came from."""

    code: str
    communities: frozenset[str]
    former: frozenset[str] = frozenset()

    def matters(self, by_community: Mapping[str, Sequence[Matter]]) -> list[Matter]:
        codes = sorted(self.communities | self.former)
        return [matter for code in codes for matter in by_community.get(code, ())]


def places_in(
    regions: Regions, region: str, *, level: str, former: Collection[str], at: datetime
) -> list[Place]:
    """Return the regions of a level in `region`, itself perhaps, in use at a moment.

    former: older codes that may be counted. Raises InputError if there is none.
    """
    micros = int(at.timestamp()) * 1_000_000
    known = regions.within(region) | set(former)
    found = []
    for each in regions:
        inside = region in (each.code, *regions.ancestors(each.code))
        if each.level == level and inside and micros in each.validity:
            current = regions.within(each.code, at=micros)
            older = regions.within(each.code) | regions.former(each.code)
            found.append(Place(each.code, current, (older & known) - current))
    if not found:
        raise InputError(
            f"{region} has no {level} in it.",
            todo="Levels: county, town, community; ask for one at or below the region's own.",
        )
    return sorted(found, key=lambda place: place.code)


def read_matters(
    connection: psycopg.Connection[Any],
    declared: Indicators,
    *,
    prefix: str,
    former: Collection[str],
    span: Span,
) -> list[Matter]:
    """Return the matters with a step or a deadline in the period, as they stood at its end.

    Of communities whose codes begin with `prefix` or are in `former`; some have moved on since.
    """
    wanted = {
        "types": sorted(declared.event_types),
        "prefix": prefix,
        "former": sorted(former),
        "since": span[0],
        "until": span[1],
    }
    with connection.cursor(row_factory=class_row(Step)) as cursor:
        return matters_of(cursor.execute(SQL["steps"], wanted))


@dataclass
class Tally:
    """How many matters count and how many are good, and by which steps they do."""

    numerator: int = 0
    denominator: int = 0
    counts: Counter[str] = field(default_factory=Counter)

    def value(self, least: int) -> float | None:
        if self.denominator < least:
            return None
        return round(self.numerator / self.denominator, 4)


def tally(
    indicator: Indicator, matters: Iterable[Matter], span: Span, *, communities: int
) -> Tally:
    """Count one indicator of the matters of so many communities."""
    told = Tally()
    covered: set[tuple[str, str]] = set()
    for matter in matters:
        began = indicator.began(matter, span)
        if began is None:
            continue
        told.denominator += 1
        told.counts[began.transition] += 1
        if indicator.is_good(matter, began):
            told.numerator += 1
        covered.add((matter.community, began.category))
    if indicator.covers is not None:
        codes = codes_of(indicator.covers)
        told.numerator = sum(code in codes for _, code in covered)
        told.denominator = len(codes) * communities
    return told


def indicator_rows(
    declared: Indicators, matters: Sequence[Matter], places: Sequence[Place], span: Span
) -> list[Row]:
    """Return every indicator of every place, with all that its value is made of."""
    by_community = _by_community(matters)
    rows = []
    for place in places:
        held = place.matters(by_community)
        for name, indicator in declared.indicators.items():
            told = tally(indicator, held, span, communities=len(place.communities))
            dimension = declared.dimension_of(name)
            weight = declared.dimensions[dimension].indicators[name] if dimension else None
            rows.append(
                {
                    "community": place.code,
                    "dimension": dimension,
                    "indicator": name,
                    "weight": weight,
                    "numerator": told.numerator,
                    "denominator": told.denominator,
                    "value": told.value(declared.least),
                    "counts": {f"{indicator.of} {n}": c for n, c in sorted(told.counts.items())},
                }
            )
    return rows


def index_rows(declared: Indicators, indicators: Iterable[Row]) -> list[Row]:
    """Return, of the rows of indicators, the dimensions of every place and the whole.

    having, of: how many of its indicators, or dimensions, have a value, and how many there are.
    """
    values: dict[str, dict[str, float | None]] = defaultdict(dict)
    for row in indicators:
        values[row["community"]][row["indicator"]] = row["value"]
    rows = []
    for place, known in values.items():
        dimensions = {
            name: _mean([(known[each], weight) for each, weight in one.indicators.items()])
            for name, one in declared.dimensions.items()
        }
        for name, one in declared.dimensions.items():
            having = sum(known[each] is not None for each in one.indicators)
            rows.append(
                _index_row(place, name, one.weight, dimensions[name], having, len(one.indicators))
            )
        whole = _mean([(dimensions[n], one.weight) for n, one in declared.dimensions.items()])
        having = sum(value is not None for value in dimensions.values())
        rows.append(_index_row(place, WHOLE, None, whole, having, len(dimensions)))
    return rows


def _index_row(
    place: str, name: str, weight: float | None, value: float | None, having: int, of: int
) -> Row:
    return {
        "community": place,
        "dimension": name,
        "weight": weight,
        "value": value,
        "having": having,
        "of": of,
    }


def _mean(values: Iterable[tuple[float | None, float]]) -> float | None:
    """Return the weighted mean of what there is, None if there is nothing."""
    known = [(value, weight) for value, weight in values if value is not None]
    if not known:
        return None
    return round(sum(value * weight for value, weight in known) / sum(w for _, w in known), 4)


def light_rows(
    light: VillageLight, least: int, matters: Sequence[Matter], places: Sequence[Place], span: Span
) -> list[Row]:
    """Return the light of every place; no colour where there are fewer matters than `least`."""
    by_community = _by_community(matters)
    rows = []
    for place in places:
        begun = [
            (matter, began)
            for matter in place.matters(by_community)
            if (began := light.began(matter, span)) is not None
        ]
        unresolved = sum(light.is_unresolved(*each) for each in begun)
        rows.append(
            {
                "community": place.code,
                "as_of": span[1],
                "matters": len(begun),
                "unresolved": unresolved,
                "light": light.colour(unresolved, len(begun)) if len(begun) >= least else None,
            }
        )
    return rows


def period_of(declared: Indicators, name: str, *, month: str | None, as_of: datetime) -> Span:
    """Return the period that a statistic is of: a month, the window of the light, or weeks.

    month: such as `2026-03`; that of `as_of` if not given. Raises InputError if it is none.
    """
    light = declared.village_light
    if name == "village_light":
        until = light.as_of(as_of)
        return until - light.window, until
    if name == "rising_topics":
        return weeks_before(declared.rising_topics, as_of)
    return month_span(month or f"{as_of:%Y-%m}")


def statistic_rows(
    declared: Indicators, name: str, matters: Sequence[Matter], places: Sequence[Place], span: Span
) -> list[Row]:
    """Return the rows of one of STATISTICS."""
    if name == "village_light":
        return light_rows(declared.village_light, declared.least, matters, places, span)
    if name == "rising_topics":
        by_community, rule = _by_community(matters), declared.rising_topics
        told = (topic_rows(rule, each.code, each.matters(by_community), span) for each in places)
        return [row for rows in told for row in rows]
    rows = indicator_rows(declared, matters, places, span)
    return rows if name == "indicators" else index_rows(declared, rows)


def _by_community(matters: Iterable[Matter]) -> Mapping[str, list[Matter]]:
    found: dict[str, list[Matter]] = defaultdict(list)
    for matter in matters:
        found[matter.community].append(matter)
    return found
