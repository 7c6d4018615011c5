"""What the projections hold of a set of events, told naively, and what they do hold.

The reference looks at the whole set each time and shares no code with the lane.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import psycopg

from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.queries import read_model
from maplebridge.projections.store import REBUILT, Accepted, ProjectionStore, Span, connect
from maplebridge.schemas import Event
from maplebridge.settings import Profile
from maplebridge.wiring import open_stores
from tests.processors.made_events import MINUTE, MOMENT, catalogue
from tests.projections.case_reference import standings

HOUR = 60 * MINUTE
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


@contextmanager
def opened_stores(
    profile: Profile,
) -> Iterator[tuple[ProjectionStore, psycopg.Connection[Any]]]:
    """Yield a store over tables of its own, and a connection that may do anything to them."""
    schema = f"t_{secrets.token_hex(4)}"
    with connect(profile.settings("admin"), schema="public") as owner:
        migrate(owner, schema=schema)
        made = open_stores(profile.settings("combine"), schema=schema)
        with connect(profile.settings("admin"), schema=schema) as admin:
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


def reference(events: Sequence[Event], as_of: datetime = AS_OF) -> Told:
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
    return void, doubles, tallied(counted), parts_of(counted), standings(counted, as_of)


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


def remembered(admin: psycopg.Connection[Any], as_of: datetime = AS_OF) -> Told:
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
        for row in read_model(admin, catalogue(), "cases", prefix="", as_of=as_of)
    }
    return void, doubles, tallies, parts, cases
