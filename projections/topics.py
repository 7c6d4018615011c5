"""Rising topics: what came oftener to a place in a week than its own history lets expect.

Each topic, which is a contract's category, is compared with itself by the exact conditional test
of two Poisson rates (Przyborowski and Wilenski, Biometrika 31 (1940) 313-323), one-sided: if
nothing has changed, each of the matters lies in the last of n + 1 weeks with probability
1 / (n + 1). Of a place's topics those are rising that the procedure of Benjamini and Hochberg
(Journal of the Royal Statistical Society B 57 (1995) 289-300) lets through, so that of what is
called rising in a week no more than `false_rate` is expected to be chance. Counts of matters only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import comb
from typing import Any

from maplebridge.projections.indicators import RisingTopics
from maplebridge.projections.matters import Matter, Span

Row = dict[str, Any]
Topic = tuple[str, str]
"""event type, category"""
WEEK = timedelta(days=7)
_MONDAY = datetime.fromisoformat("1970-01-05T00:00:00+00:00")


def weeks_before(declared: RisingTopics, as_of: datetime) -> Span:
    """Return the last full week (Monday to Sunday, UTC) and those that it is compared with."""
    until = as_of - (as_of - _MONDAY) % WEEK
    return until - (declared.weeks + 1) * WEEK, until


def topic_rows(
    declared: RisingTopics, place: str, matters: Iterable[Matter], span: Span
) -> list[Row]:
    """Return the topics of a place that came in the last week, the surest first.

    weeks: with how many weeks before it was compared, those since the first matter of its event
    type; p_value, rising: None where they are fewer than `least_weeks`.
    """
    counts = _counts(declared, matters, span)
    first: dict[str, int] = {}
    for (event_type, _), weekly in counts.items():
        first[event_type] = min(first.get(event_type, declared.weeks), *weekly)
    known = {event_type: declared.weeks - week for event_type, week in first.items()}
    tested = {
        topic: p_value(weekly[declared.weeks], weekly.total() - weekly[declared.weeks], weeks)
        for topic, weekly in counts.items()
        if (weeks := known[topic[0]]) >= declared.least_weeks
    }
    surely = rejected(tested, declared.false_rate)
    monday = span[1] - WEEK
    rows = [
        {
            "community": place,
            "week": f"{monday:%G-W%V}",
            "event_type": topic[0],
            "category": topic[1],
            "matters": weekly[declared.weeks],
            "before": weekly.total() - weekly[declared.weeks],
            "weeks": known[topic[0]],
            "p_value": tested.get(topic),
            "rising": topic in surely and weekly[declared.weeks] >= declared.least
            if topic in tested
            else None,
        }
        for topic, weekly in counts.items()
        if weekly[declared.weeks]
    ]
    return sorted(rows, key=_surest_first)


def _surest_first(row: Row) -> tuple[bool, float, str, str]:
    p_value = 1.0 if row["p_value"] is None else row["p_value"]
    return not row["rising"], p_value, row["event_type"], row["category"]


def p_value(now: int, before: int, weeks: int) -> float:
    """Return how likely it is to see so many, or more, of all in the last of `weeks` + 1 weeks."""
    total = now + before
    ways = sum(comb(total, each) * weeks ** (total - each) for each in range(now, total + 1))
    return float(ways / (weeks + 1) ** total)


def rejected(p_values: Mapping[Topic, float], rate: float) -> frozenset[Topic]:
    """Return what Benjamini and Hochberg's procedure rejects at a rate of false discoveries."""
    ordered = sorted(p_values, key=lambda topic: (p_values[topic], topic))
    last = max(
        (n for n, topic in enumerate(ordered, 1) if p_values[topic] <= rate * n / len(ordered)),
        default=0,
    )
    return frozenset(ordered[:last])


def _counts(
    declared: RisingTopics, matters: Iterable[Matter], span: Span
) -> Mapping[Topic, Counter[int]]:
    """Return how many matters of each topic began in each week, from 0 on."""
    found: dict[Topic, Counter[int]] = {}
    for matter in matters:
        began = matter.last(declared.of.get(matter.event_type, ()))
        if began is not None and span[0] <= began.occurred_at < span[1]:
            topic = matter.event_type, began.category
            week = (began.occurred_at - span[0]) // WEEK
            found.setdefault(topic, Counter())[week] += 1
    return found
