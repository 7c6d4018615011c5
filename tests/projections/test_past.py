"""What was known by a moment is what a replay of the record up to then comes to."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maplebridge.errors import InputError
from maplebridge.projections.queries import read_model
from maplebridge.projections.store import ProjectionStore
from maplebridge.schemas import Event
from tests.processors.conftest import kafka, lanes
from tests.processors.lanes import Kafka, Lane
from tests.processors.made_events import (
    MOMENT,
    OTHER_TOWN,
    catalogue,
    communities,
    corpus,
    order,
    retraction,
)
from tests.projections.test_amendments import histories, stores
from tests.projections.whole_reference import AS_OF, clear, write

__all__ = ["kafka", "lanes", "stores"]

Stores = tuple[ProjectionStore, psycopg.Connection[Any]]
BY_THEN_MS, SINCE_MS = 1_000_000, 2_000_000
MOMENT_BETWEEN = datetime.fromtimestamp(BY_THEN_MS / 1000 + 1, UTC)


PLACES = ("", *communities()[:2], *communities(OTHER_TOWN)[:2])


def all_read(
    admin: psycopg.Connection[Any],
    *,
    cases: list[str],
    recorded_by: datetime | None = None,
    places: Sequence[str] = PLACES,
) -> list[Any]:
    """Return what every question about two communities is answered."""

    def asked(name: str, prefix: str, **wanted: Any) -> list[dict[str, Any]]:
        return read_model(
            admin, catalogue(), name, prefix=prefix, as_of=AS_OF, recorded_by=recorded_by, **wanted
        )

    found: list[Any] = []
    for prefix in places:
        found.append(asked("cases", prefix))
        found.append(asked("cases", prefix, due="overdue", limit=3))
        found.append(asked("community_hour_tallies", prefix))
        found.append(asked("community_hour_tallies", prefix, since=MOMENT, until=AS_OF))
        found += [asked("cases", prefix, case_ref=each) for each in cases]
    return found


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=histories(), share=st.integers(0, 20))
def test_the_past_is_what_was_combined_by_then(
    stores: Stores, events: list[Event], share: int
) -> None:
    """With corrections, retractions and double entries on both sides of the moment."""
    store, admin = stores
    by_then, since = events[:share], events[share:]
    clear(admin)
    write(store, [by_then], timestamp_ms=BY_THEN_MS)
    expected = all_read(admin, cases=["A", "B"])
    write(store, [since], timestamp_ms=SINCE_MS)
    assert all_read(admin, cases=["A", "B"], recorded_by=MOMENT_BETWEEN) == expected
    # and now as ever: nothing of the past stays on the connection
    everywhere = partial(all_read, admin, cases=["A", "B"], places=PLACES[:1])
    assert everywhere(recorded_by=datetime.now(UTC)) == everywhere()


def test_a_replay_of_the_record_up_to_a_moment_says_the_same(
    kafka: Kafka, lanes: Callable[..., Lane]
) -> None:
    """By the broker's own timestamps, on the real servers."""
    first, second = (corpus(120, seed=seed, live_ids=True) for seed in (81, 81))
    live = lanes()
    kafka.publish([*first, *(retraction(each) for each in first[:9])])
    ends = live.ends()
    time.sleep(0.1)
    moment = datetime.now(UTC)
    time.sleep(0.1)
    # of the same cases, and taking back what was before
    kafka.publish([*second, *(retraction(each) for each in first[9:18])])
    replayed = lanes(live.since)
    replayed.combine(ends)
    live.combine()
    cases = sorted({each["meta"]["case_ref"] or "" for each in first})[:6]
    expected = all_read(replayed.connection, cases=cases)
    assert all_read(live.connection, cases=cases, recorded_by=moment) == expected
    assert all_read(live.connection, cases=cases) != expected


def test_rows_from_before_it_was_kept_and_warnings_have_no_past(stores: Stores) -> None:
    store, admin = stores
    clear(admin)
    write(store, [[order(case_ref="A")]], timestamp_ms=BY_THEN_MS)
    admin.execute("UPDATE events SET appended_at = NULL")
    with pytest.raises(InputError, match="before it was kept"):
        all_read(admin, cases=[], recorded_by=MOMENT_BETWEEN)
    with pytest.raises(InputError, match="of warnings only what was last said"):
        read_model(
            admin, catalogue(), "warnings", prefix="", as_of=AS_OF, recorded_by=MOMENT_BETWEEN
        )
