"""Rising topics: counts of a week against their own history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from random import Random

import pytest

from maplebridge.projections.indicators import load_indicators
from maplebridge.projections.matters import Step, matters_of
from maplebridge.projections.statistics import Place, Row, period_of, statistic_rows
from maplebridge.projections.topics import WEEK, p_value, rejected, topic_rows
from tests.projections.test_statistics import HERE, many

DECLARED = load_indicators()
RULE = DECLARED.rising_topics
AS_OF = datetime(2026, 3, 12, 9, tzinfo=UTC)
SPAN = period_of(DECLARED, "rising_topics", month=None, as_of=AS_OF)
SEED = 20260302


def weeks(counts: Sequence[int], category: str, event_type: str = "hotline.order") -> list[Step]:
    """So many orders of a category in each of the nine weeks."""
    return [
        step
        for number, count in enumerate(counts)
        for step in many(
            count,
            event_type,
            "received",
            category=category,
            occurred_at=SPAN[0] + number * WEEK + timedelta(hours=30),
        )
    ]


def rows_of(steps: Sequence[Step]) -> Mapping[str, Row]:
    rows = topic_rows(RULE, HERE, matters_of(steps), SPAN)
    return {row["category"]: row for row in rows}


def test_the_week_is_the_last_full_one_from_monday_to_sunday() -> None:
    assert (datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 3, 9, tzinfo=UTC)) == SPAN
    monday = datetime(2026, 3, 9, tzinfo=UTC)
    assert period_of(DECLARED, "rising_topics", month=None, as_of=monday) == SPAN
    before = monday - timedelta(microseconds=1)
    assert period_of(DECLARED, "rising_topics", month=None, as_of=before)[1] == SPAN[1] - WEEK


@pytest.mark.parametrize(("now", "before", "history"), [(0, 3, 2), (2, 3, 2), (4, 1, 3), (3, 0, 4)])
def test_the_p_value_is_the_share_of_all_ways_to_spread_the_matters(
    now: int, before: int, history: int
) -> None:
    """Przyborowski and Wilenski's test by counting: each matter in any of the weeks."""
    ways = list(product(range(history + 1), repeat=now + before))
    as_many = sum(way.count(history) >= now for way in ways)
    assert p_value(now, before, history) == pytest.approx(as_many / len(ways))


def test_benjamini_and_hochberg_reject_up_to_the_last_that_lies_under_the_line() -> None:
    """The example of their paper, section 3: fifteen tests at 0.05, of which four are rejected."""
    published = (0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
                 0.4262, 0.5719, 0.6528, 0.7590, 1.0)  # fmt: skip
    values = {("t", f"{number:02}"): value for number, value in enumerate(published)}
    assert rejected(values, 0.05) == set(list(values)[:4])


def test_what_comes_oftener_than_before_is_rising_and_what_does_not_is_not() -> None:
    rows = rows_of(
        [
            *weeks([2, 1, 2, 3, 1, 2, 2, 1, 14], "gas"),
            *weeks([20, 22, 18, 21, 19, 20, 23, 17, 21], "noise"),
            # five times as many, and fewer than five
            *weeks([0, 0, 0, 0, 0, 0, 0, 0, 4], "lift"),
            *weeks([3, 3, 3, 3, 3, 3, 3, 3, 0], "water"),
        ]
    )
    assert {name: row["rising"] for name, row in rows.items()} == {
        "gas": True,
        "lift": False,
        "noise": False,
    }
    assert next(iter(rows)) == "gas"
    gas = rows["gas"]
    assert (gas["week"], gas["matters"], gas["before"], gas["weeks"]) == ("2026-W10", 14, 14, 8)
    assert gas["p_value"] < 1e-6 < rows["noise"]["p_value"]


@pytest.mark.parametrize(("history", "judged"), [(3, False), (4, True)])
def test_without_a_history_nothing_is_said(history: int, judged: bool) -> None:
    counts = [0] * (8 - history) + [1] * history + [30]
    row = rows_of(weeks(counts, "gas"))["gas"]
    assert (row["rising"], row["weeks"]) == (True if judged else None, history)
    assert (row["p_value"] is not None) is judged
    # its type is known for longer: that the topic is new is no want of history
    other = weeks([1] * 9, "noise")
    assert rows_of([*weeks(counts, "gas"), *other])["gas"]["rising"]


def test_a_matter_counts_once_where_it_was_received_last() -> None:
    again = many(9, "hotline.order", "received", "dispatched", category="gas",
                 occurred_at=SPAN[1] - timedelta(hours=2))  # fmt: skip
    rows = rows_of([*weeks([1] * 9, "noise"), *again])
    assert rows["gas"]["matters"] == 9


def test_where_nothing_changes_little_is_called_rising() -> None:
    """Twenty topics at steady rates, 300 times: by chance, and in no more than one of twenty."""
    rng, called = Random(SEED), 0
    for _ in range(300):
        steps: list[Step] = []
        for topic in range(20):
            counts = [0] * 9
            for _ in range(rng.randint(9, 70)):
                counts[rng.randrange(9)] += 1
            steps += weeks(counts, f"topic {topic}")
        called += any(row["rising"] for row in rows_of(steps).values())
    assert called <= 300 * 0.05 + 3 * (300 * 0.05 * 0.95) ** 0.5


def test_the_rows_of_a_place_do_not_depend_on_what_else_is_asked_for() -> None:
    steps = weeks([2] * 8 + [12], "gas")
    place, other = (
        Place(HERE, frozenset({HERE})),
        Place("330681001002", frozenset({"330681001002"})),
    )
    alone = statistic_rows(DECLARED, "rising_topics", matters_of(steps), [place], SPAN)
    beside = statistic_rows(DECLARED, "rising_topics", matters_of(steps), [other, place], SPAN)
    assert alone == beside
    assert [row["rising"] for row in alone] == [True]
