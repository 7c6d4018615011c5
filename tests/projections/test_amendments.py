"""Corrections, retractions and double entries, in PostgreSQL, against a naive reference.

The reference looks at the whole set of events each time and shares no code with the lane.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.queries import read_model
from maplebridge.projections.store import (
    REBUILT,
    Accepted,
    ProjectionStore,
    Span,
    connect,
    state_hash,
)
from maplebridge.schemas import AvroCodec, Event
from maplebridge.settings import Profile
from maplebridge.wiring import open_stores
from tests.processors.made_events import (
    AT,
    MINUTE,
    MOMENT,
    catalogue,
    communities,
    corrected,
    event_id,
    grid_case,
    mediation,
    order,
    retraction,
)
from tests.projections.case_reference import standings

HOUR = 60 * MINUTE
STEPS = ("received", "dispatched", "accepted", "returned", "replied", "closed", "reopened")
TOPIC = catalogue().get("hotline.order").topic
Tallies = dict[tuple[str, int, str, str, str, str], int]
Parts = dict[tuple[str, str], tuple[Any, ...]]
Name = tuple[str, str, str]
"""event id, department, event type"""
Told = tuple[set[Name], dict[Name, Name], Tallies, Parts, dict[str, tuple[Any, ...]]]
AS_OF = MOMENT + timedelta(hours=3)
STANDING = (
    "status",
    "level",
    "department",
    "unit",
    "due_at",
    "timeliness",
    "returned",
    "adjudication",
)
DEADLINES = (None, None, AT + HOUR, AT + 3 * HOUR + 10 * MINUTE, AT + 30 * HOUR)


@pytest.fixture(scope="module")
def stores(provisioned: Profile) -> Iterator[tuple[ProjectionStore, psycopg.Connection[Any]]]:
    schema = f"t_{secrets.token_hex(4)}"
    with connect(provisioned.settings("admin"), schema="public") as owner:
        migrate(owner, schema=schema)
        made = open_stores(provisioned.settings("combine"), schema=schema)
        with connect(provisioned.settings("admin"), schema=schema) as admin:
            yield made[0], admin
        for each in made:
            each.connection.close()
        drop(owner, schema=schema)


def write(
    store: ProjectionStore, batches: Sequence[Sequence[Event]], *, timestamp_ms: int = 0
) -> None:
    at, epoch = store.claim(TOPIC, 0)
    for batch in batches:
        accepted = [
            Accepted(
                TOPIC,
                0,
                catalogue().get(each["meta"]["event_type"]),
                each,
                b"k",
                b"v",
                timestamp_ms,
            )
            for each in batch
        ]
        store.write([Span(TOPIC, 0, epoch, at, at + len(batch))], accepted, [])
        at += len(batch)


def clear(admin: psycopg.Connection[Any]) -> None:
    admin.execute(f"TRUNCATE {', '.join(REBUILT)}, outbox")


def known(event: Event) -> Name:
    meta = event["meta"]
    return meta["event_id"], meta["department"], meta["event_type"]


def reference(events: Sequence[Event]) -> Told:
    """Return what is void, repeated, tallied, and how cases stand, of a set of events."""
    by_name = {known(each): each for each in events}
    void = set()
    for one in by_name.values():
        for other in by_name.values():
            named = other.get("retracts") or other["meta"]["corrects"]
            kind = other.get("retracts_type") or other["meta"]["event_type"]
            if (
                named == one["meta"]["event_id"]
                and other["meta"]["department"] == one["meta"]["department"]
                and kind == one["meta"]["event_type"]
            ):
                void.add(known(one))
    held = sorted(
        (each for name, each in by_name.items() if name not in void),
        key=lambda each: (each["meta"]["occurred_at"], known(each)),
    )
    doubles: dict[Name, Name] = {}
    counted: list[Event] = []
    for each in held:
        before = earlier(each, counted)
        if before is None:
            counted.append(each)
        else:
            doubles[known(each)] = before
    return void, doubles, tallied(counted), parts_of(counted), standings(counted, AS_OF)


def earlier(entry: Event, counted: Sequence[Event]) -> Name | None:
    """Return the entry that `entry` repeats, if it does."""
    meta = entry["meta"]
    if meta["case_ref"] is None or meta["event_type"] == "event.retraction":
        return None
    steps = catalogue().get(meta["event_type"]).transitions
    for other in reversed(counted):
        told = other["meta"]
        if (told["case_ref"], told["event_type"]) != (meta["case_ref"], meta["event_type"]):
            continue
        if told["transition"] in steps[meta["transition"]].after:
            return None
        if told["transition"] == meta["transition"]:
            return known(other)
    return None


def tallied(counted: Sequence[Event]) -> Tallies:
    return dict(
        Counter(
            (
                each["meta"]["community"],
                each["meta"]["occurred_at"] // HOUR * HOUR,
                each["meta"]["event_type"],
                each["meta"]["transition"],
                each[catalogue().get(each["meta"]["event_type"]).tally],
                each.get("unit") or "",
            )
            for each in counted
        )
    )


def parts_of(counted: Sequence[Event]) -> Parts:
    found: Parts = {}
    for each in counted:
        meta = each["meta"]
        if meta["case_ref"] is None or meta["event_type"] == "event.retraction":
            continue
        key = (meta["case_ref"], meta["event_type"])
        opened, *_, events = found.get(key, (meta["occurred_at"], 0))
        found[key] = (
            opened,
            meta["occurred_at"],
            meta["event_id"],
            meta["department"],
            meta["community"],
            meta["transition"],
            each["state"],
            each.get("unit"),
            events + 1,
        )
    return found


def remembered(admin: psycopg.Connection[Any]) -> Told:
    void = {
        (row[0], row[1], row[2])
        for row in admin.execute(
            "SELECT event_id::text, department, event_type FROM events"
            " WHERE NOT counted AND repeats IS NULL"
        )
    }
    doubles = {
        (row[0], row[1], row[2]): (row[3], row[4], row[2])
        for row in admin.execute(
            "SELECT event_id::text, department, event_type, repeats::text, repeats_department"
            " FROM events WHERE repeats IS NOT NULL"
        )
    }
    tallies = {
        (row[0], row[1], *row[2:6]): row[6]
        for row in admin.execute(
            "SELECT community, (extract(epoch FROM hour) * 1000000)::bigint, event_type,"
            " transition, category, unit, events FROM community_hour_tallies"
        )
    }
    parts = {
        (row[0], row[1]): row[2:]
        for row in admin.execute(
            "SELECT case_ref, event_type, (extract(epoch FROM opened_at) * 1000000)::bigint,"
            " (extract(epoch FROM occurred_at) * 1000000)::bigint, event_id::text, department,"
            " community, transition, state, unit, events FROM case_parts"
        )
    }
    cases = {
        row["case_ref"]: tuple(row[name] for name in STANDING)
        for row in read_model(admin, catalogue(), "cases", prefix="", as_of=AS_OF)
    }
    return void, doubles, tallies, parts, cases


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
