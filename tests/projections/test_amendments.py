"""Corrections, retractions and double entries, in PostgreSQL, against a naive reference.

The reference looks at the whole set of events each time and shares no code with the lane.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maplebridge.projections.store import (
    ProjectionStore,
    state_hash,
)
from maplebridge.schemas import AvroCodec, Event
from maplebridge.settings import Profile
from tests.processors.made_events import (
    AT,
    MINUTE,
    catalogue,
    communities,
    corrected,
    event_id,
    grid_case,
    mediation,
    order,
    retraction,
)
from tests.projections.whole_reference import (
    HOUR,
    clear,
    known,
    opened_stores,
    reference,
    remembered,
    write,
)

STEPS = ("received", "dispatched", "accepted", "returned", "replied", "closed", "reopened")
DEADLINES = (None, None, AT + HOUR, AT + 3 * HOUR + 10 * MINUTE, AT + 30 * HOUR)


@pytest.fixture(scope="module")
def stores(provisioned: Profile) -> Iterator[tuple[ProjectionStore, psycopg.Connection[Any]]]:
    with opened_stores(provisioned) as made:
        yield made


def moved(events: Sequence[Event]) -> Counter[tuple[str, ...]]:
    """Return what the places of void events must be told, of a set of events."""
    found: Counter[tuple[str, ...]] = Counter()
    for one in events:
        for other in events:
            named = other.get("retracts") or other["meta"]["corrects"]
            kind = other.get("retracts_type") or other["meta"]["event_type"]
            theirs = other["meta"]
            if (named, theirs["department"], kind) == known(one) and theirs["community"] != one[
                "meta"
            ]["community"]:
                reason = other.get("reason", "wrong_community")
                found[(*known(one), one["meta"]["community"], reason)] += 1
    return found


def noticed(admin: psycopg.Connection[Any]) -> tuple[list[Event], Counter[tuple[str, ...]]]:
    """Return the notices in the outbox, whole and in short."""
    contract = catalogue().get("event.retraction")
    codec = AvroCodec(contract.schema, 0)
    rows = admin.execute(
        "SELECT value FROM outbox WHERE topic = %s AND key <> 'k'", [contract.core_topic]
    )
    notices = [codec.decode(bytes(value)) for (value,) in rows]
    short: Counter[tuple[str, ...]] = Counter(
        (
            each["retracts"],
            each["meta"]["department"],
            each["retracts_type"],
            each["meta"]["community"],
            each["reason"],
        )
        for each in notices
    )
    return notices, short


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """Events of three cases and of none, some taken back or corrected, by friend and foe.

    An id is not its department's alone.
    """
    events: list[Event] = []
    count = draw(st.integers(1, 14))
    for _ in range(count):
        common = {
            "event_id": event_id(draw(st.integers(0, 9))),
            "department": draw(st.sampled_from(["hotline", "grid"])),
            "case_ref": draw(st.sampled_from([None, "A", "A", "B"])),
            "occurred_at": AT + draw(st.integers(0, 6)) * 25 * MINUTE,
            "community": draw(st.sampled_from(communities()[:2])),
        }
        if draw(st.booleans()):
            step = draw(st.sampled_from(STEPS))
            fields = {
                "category": draw(st.sampled_from(["road", "gas"])),
                "state": "open",
                "urgency": draw(st.sampled_from(["emergency", "general"])),
                "due_at": draw(st.sampled_from(DEADLINES)),
                "unit": draw(st.sampled_from([None, "unit-1"])),
            }
            common["backfill"] = draw(st.booleans())
            events.append(order(fields, transition=step, **common))
        elif draw(st.booleans()):
            step = draw(st.sampled_from(["collected", "filed", "closed"]))
            fields = {"state": step, "due_at": draw(st.sampled_from(DEADLINES))}
            events.append(grid_case(fields, transition=step, **common))
        else:
            step = draw(st.sampled_from(["applied", "agreed", "failed", "escalated"]))
            fields = {
                "centre_level": draw(st.sampled_from(["village_outpost", "town_position"])),
                "escalated_to": "county_terminal" if step == "escalated" else None,
            }
            events.append(mediation(fields, transition=step, **common))
    for _ in range(draw(st.integers(0, 6))):
        target = draw(st.sampled_from(events))
        changes: dict[str, Any] = {"event_id": event_id(draw(st.integers(0, 9)))}
        kind = draw(st.sampled_from(["retract", "retract", "correct", "foe", "wrong type"]))
        if kind == "correct" and target["meta"]["event_type"] == "hotline.order":
            changes["case_ref"] = draw(st.sampled_from([None, "A", "B"]))
            changes["community"] = draw(st.sampled_from(communities()[:2]))
            events.append(corrected(target, {"category": "noise"}, **changes))
            continue
        if kind == "foe":
            changes["department"] = "justice"
        changes["community"] = draw(st.sampled_from(communities()[:2]))
        made = retraction(target, **changes)
        if kind == "wrong type":
            made["retracts_type"] = "mediation.case"
        events.append(made)
    # what a department says twice under one id in two ways is its own fault
    return list({known(each): each for each in reversed(events)}.values())


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=histories(), seed=st.integers(0, 2**32))
def test_any_arrival_comes_to_what_the_whole_set_says(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]], events: list[Event], seed: int
) -> None:
    """F5, T4: received, corrected, retracted, late and repeated, in any batches.

    The place of an event that another place amends is told so, and once.
    """
    store, admin = stores
    random = Random(seed)
    arriving = [*events, *random.sample(events, len(events) // 3)]
    hashes = set()
    for _ in range(2):
        random.shuffle(arriving)
        batches, left = [], list(arriving)
        while left:
            size = random.randrange(1, 7)
            batches.append(left[:size])
            left = left[size:]
        clear(admin)
        write(store, batches)
        assert remembered(admin) == reference(events)
        notices, told = noticed(admin)
        assert told == moved(events)
        assert len({each["meta"]["event_id"] for each in notices}) == len(notices)
        hashes.add(state_hash(admin))
    assert len(hashes) == 1


@pytest.mark.parametrize("late", [False, True])
def test_a_retraction_counts_whether_it_comes_before_or_after(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]], late: bool
) -> None:
    store, admin = stores
    made = order(case_ref="R", event_id=event_id(1))
    back = retraction(made, event_id=event_id(2))
    clear(admin)
    write(store, [[made], [back]] if late else [[back], [made]])
    assert admin.execute("SELECT 1 FROM case_parts").fetchall() == []
    tallies = admin.execute("SELECT event_type, events FROM community_hour_tallies").fetchall()
    assert tallies == [("event.retraction", 1)]


def test_no_department_can_take_an_id_away_from_another(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    """T4: in one batch or two, whoever comes first."""
    store, admin = stores
    own = order(case_ref="R", event_id=event_id(1))
    others = [
        order(case_ref="R", event_id=event_id(1), department="grid"),
        grid_case(case_ref="G", event_id=event_id(1)),
        retraction(order(event_id=event_id(2)), event_id=event_id(1)),
    ]
    hashes = set()
    for batches in ([[own], others], [others, [own]], [[*others, own]], [[own, *others]]):
        clear(admin)
        write(store, batches)
        assert admin.execute("SELECT count(*) FROM events").fetchone() == (4,)
        assert admin.execute("SELECT count(*) FROM outbox WHERE key = 'k'").fetchone() == (4,)
        # the two orders are a double entry, and each is known by its department
        assert admin.execute(
            "SELECT department, repeats_department FROM events WHERE repeats IS NOT NULL"
        ).fetchall() == [("hotline", "grid")]
        hashes.add(state_hash(admin))
    assert len(hashes) == 1


def test_a_retraction_and_a_correction_of_one_id_may_name_one_event(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    store, admin = stores
    made = order(case_ref="R", event_id=event_id(1))
    amending = [
        retraction(made, event_id=event_id(2)),
        corrected(made, event_id=event_id(2)),
    ]
    clear(admin)
    write(store, [[made], amending])
    assert admin.execute(
        "SELECT counted, count(*) FROM events GROUP BY 1 ORDER BY 1"
    ).fetchall() == [(False, 1), (True, 2)]


def test_a_retraction_is_undone_by_publishing_anew_and_not_by_retracting_it(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    store, admin = stores
    made = order(case_ref="R", event_id=event_id(1))
    back = retraction(made, event_id=event_id(2))
    clear(admin)
    write(store, [[made], [back], [retraction(back, event_id=event_id(3))]])
    assert admin.execute("SELECT 1 FROM case_parts").fetchall() == []
    write(store, [[order(case_ref="R", event_id=event_id(4))]])
    assert admin.execute("SELECT event_id::text FROM case_parts").fetchall() == [(event_id(4),)]


def test_history_fills_projections(
    stores: tuple[ProjectionStore, psycopg.Connection[Any]],
) -> None:
    store, admin = stores
    clear(admin)
    write(store, [[order({"category": "gas"}, case_ref="H", backfill=True)]])
    assert admin.execute("SELECT events FROM case_parts").fetchall() == [(1,)]
    assert admin.execute("SELECT events FROM community_hour_tallies").fetchall() == [(1,)]
