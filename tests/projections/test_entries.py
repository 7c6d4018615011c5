"""Entries that repeat others, and those out of place: listed, counted, answered."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Any

import psycopg
import pytest

from maplebridge.errors import InputError
from maplebridge.projections.entries import (
    entries_saved,
    misplaced_entries,
    month_span,
    repeated_entries,
)
from maplebridge.projections.queries import read_model
from maplebridge.projections.standing import Entry, misplaced
from maplebridge.projections.store import ProjectionStore
from maplebridge.settings import Profile
from tests.processors.made_events import (
    AT,
    MINUTE,
    MOMENT,
    OTHER_TOWN,
    TOWN,
    catalogue,
    communities,
    corpus,
    corrected,
    event_id,
    grid_case,
    order,
    retraction,
)
from tests.projections.whole_reference import clear, opened_stores, write

FEBRUARY = AT - 20 * 24 * 60 * MINUTE


@pytest.fixture(scope="module")
def stores(provisioned: Profile) -> Iterator[tuple[ProjectionStore, psycopg.Connection[Any]]]:
    with opened_stores(provisioned) as made:
        yield made


def test_entries_saved_are_counted_by_department_and_month(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    store, admin = stores
    clear(admin)
    events = [
        order(case_ref="A", event_id=event_id(1), occurred_at=FEBRUARY),
        order(case_ref="A", event_id=event_id(2), occurred_at=FEBRUARY + 1),
        order(case_ref="A", event_id=event_id(3), occurred_at=AT),
        grid_case(case_ref="A", event_id=event_id(4), occurred_at=AT),
        grid_case(case_ref="A", event_id=event_id(5), occurred_at=AT + 1),
        order(case_ref="B", event_id=event_id(6), occurred_at=AT),
        order(event_id=event_id(7), occurred_at=AT),
        order(event_id=event_id(8), occurred_at=AT),
    ]
    write(store, [events])
    assert [tuple(row.values()) for row in entries_saved(admin)] == [
        ("hotline", "2026-02", 1),
        ("grid", "2026-03", 1),
        ("hotline", "2026-03", 1),
    ]
    assert [row["department"] for row in entries_saved(admin, span=month_span("2026-02"))] == [
        "hotline"
    ]
    (row,) = repeated_entries(admin, department="grid")
    assert (row["event_id"], row["repeats"]) == (event_id(5), event_id(4))
    assert len(repeated_entries(admin, span=month_span("2026-03"))) == 2
    assert "case_ref" not in row


def test_a_month_is_half_open_and_written_one_way() -> None:
    since, until = month_span("2026-12")
    assert (since, until) == (datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    with pytest.raises(InputError):
        month_span("03/2026")


@pytest.mark.parametrize("seed", range(3))
def test_what_is_out_of_place_is_what_the_rule_says(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]], seed: int
) -> None:
    """SQL over all cases against the pure rule, case by case."""
    store, admin = stores
    clear(admin)
    events = corpus(150, seed=40 + seed)
    write(store, [events])
    counted = {
        row[0]
        for row in admin.execute("SELECT event_id::text FROM events WHERE counted").fetchall()
    }
    groups: dict[tuple[str, str], list[Entry]] = {}
    for each in events:
        meta = each["meta"]
        if meta["case_ref"] is not None and meta["event_id"] in counted:
            entry = Entry(
                meta["occurred_at"], meta["event_id"], meta["department"], meta["transition"]
            )
            groups.setdefault((meta["case_ref"], meta["event_type"]), []).append(entry)
    expected: dict[str, str | None] = {}
    for (_, event_type), entries in groups.items():
        flags = misplaced(entries, catalogue().get(event_type).transitions)
        expected |= {entry.event_id: before for entry, before in flags.items()}
    found = misplaced_entries(admin, catalogue())
    assert {row["event_id"]: row["before"] for row in found} == expected != {}
    assert {row["total"] for row in found} == {len(expected)}
    assert misplaced_entries(admin, catalogue(), limit=1)[0]["total"] == len(expected)


def test_a_cases_history_says_how_each_entry_stands_and_by_what(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    store, admin = stores
    clear(admin)
    inside, outside = communities(TOWN)[0], communities(OTHER_TOWN)[0]
    first = order(case_ref="H", event_id=event_id(1), community=inside, occurred_at=AT)
    again = order(case_ref="H", event_id=event_id(2), community=inside, occurred_at=AT + 1)
    wrong = order(
        case_ref="H",
        event_id=event_id(3),
        community=inside,
        occurred_at=AT + 2,
        transition="closed",
    )
    right = corrected(wrong, event_id=event_id(4), transition="returned")
    elsewhere = order(
        case_ref="H",
        event_id=event_id(5),
        community=outside,
        occurred_at=AT + 3,
        transition="dispatched",
    )
    filed = grid_case(
        case_ref="H",
        event_id=event_id(6),
        community=inside,
        occurred_at=AT + 4,
        transition="handled",
    )
    gone = grid_case(case_ref="H", event_id=event_id(7), community=inside, occurred_at=AT + 5)
    back = retraction(gone, event_id=event_id(8), occurred_at=AT + 6)
    events = [first, again, wrong, right, elsewhere, filed, gone, back]
    Random(1).shuffle(events)
    write(store, [[each] for each in events])
    [row] = read_model(admin, catalogue(), "cases", prefix=TOWN[:9], as_of=MOMENT, case_ref="H")
    told = [
        (str(step["event_id"]), step["standing"], str(step["by"] or ""), step["flag"])
        for step in row["history"]
    ]
    assert told == [
        (event_id(1), "counted", "", ""),
        (event_id(2), "repeated", event_id(1), ""),
        (event_id(3), "corrected", event_id(4), ""),
        (event_id(4), "counted", "", "cannot follow received"),
        (event_id(6), "counted", "", "cannot come first"),
        (event_id(7), "retracted", event_id(8), ""),
        (event_id(8), "counted", "", ""),
    ]


def test_a_case_that_is_void_as_a_whole_is_shown_by_name_with_its_history(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    store, admin = stores
    clear(admin)
    inside = communities(TOWN)[0]
    only = order(case_ref="V", event_id=event_id(1), community=inside, occurred_at=AT)
    back = retraction(only, event_id=event_id(2), occurred_at=AT + 1)
    write(store, [[only], [back]])
    asked = partial(read_model, admin, catalogue(), "cases", as_of=MOMENT)
    [row] = asked(prefix=TOWN[:9], case_ref="V")
    assert (row["community"], row["state"], row["events"], row["parts"]) == (inside, None, 0, {})
    assert [(step["transition"], step["standing"]) for step in row["history"]] == [
        ("received", "retracted"),
        ("retracted", "counted"),
    ]
    assert (row["status"], row["due_at"], row["timeliness"]) == (None, None, None)
    assert asked(prefix=TOWN[:9]) == []
    assert asked(prefix=OTHER_TOWN[:9], case_ref="V") == []
