"""The store: fenced writes, registers, first come first kept."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import psycopg
import pytest

from maplebridge.errors import StoreUnavailable
from maplebridge.projections.letters import DeadLetter
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.queries import read_model
from maplebridge.projections.store import (
    Accepted,
    Fenced,
    ProjectionStore,
    Span,
    connect,
    state_hash,
    translated,
)
from maplebridge.schemas import Event
from maplebridge.settings import Profile
from maplebridge.wiring import open_stores
from tests.processors.made_events import (
    AT,
    MINUTE,
    MOMENT,
    catalogue,
    confirmation,
    corpus,
    event_id,
    grid_case,
    mediation,
    order,
    warning,
)

TOPIC = catalogue().get("hotline.order").topic
WARNING = "b7e151c9-5f0e-5b6c-9a0e-6d61706c6500"


def accepted(events: Sequence[Event], partition: int = 0) -> list[Accepted]:
    return [
        Accepted(TOPIC, partition, catalogue().get(each["meta"]["event_type"]), each, b"k", b"v", 0)
        for each in events
    ]


def letter(offset: int, partition: int = 0) -> DeadLetter:
    return DeadLetter(TOPIC, partition, offset, "r", "p", 1, b"k", b"v", {"h": "1"}, 0)


@pytest.fixture
def schema(provisioned: Profile) -> Iterator[str]:
    name = f"t_{secrets.token_hex(4)}"
    with connect(provisioned.settings("admin"), schema="public") as owner:
        migrate(owner, schema=name)
        yield name
        drop(owner, schema=name)


@pytest.fixture
def stores(provisioned: Profile, schema: str) -> Iterator[tuple[ProjectionStore, ProjectionStore]]:
    made = open_stores(provisioned.settings("combine"), schema=schema)
    yield made
    for store in made:
        store.connection.close()


@pytest.fixture
def store(stores: tuple[ProjectionStore, ProjectionStore]) -> ProjectionStore:
    return stores[0]


@pytest.fixture
def admin(provisioned: Profile, schema: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(provisioned.settings("admin"), schema=schema) as connection:
        yield connection


def counts(connection: psycopg.Connection[Any]) -> tuple[int, ...]:
    row = connection.execute(
        "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM outbox),"
        " (SELECT count(*) FROM dead_letters)"
    ).fetchone()
    assert row is not None
    return tuple(row)


def test_a_stale_epoch_writes_nothing(
    stores: tuple[ProjectionStore, ProjectionStore], admin: psycopg.Connection[Any]
) -> None:
    """T15, F2."""
    paused, successor = stores
    start, epoch = paused.claim(TOPIC, 0)
    assert successor.claim(TOPIC, 0) == (start, epoch + 1)
    with pytest.raises(Fenced) as fenced:
        paused.write([Span(TOPIC, 0, epoch, 0, 2)], accepted([order()]), [letter(1)])
    assert fenced.value.places == ((TOPIC, 0),)
    assert counts(admin) == (0, 0, 0)
    successor.write([Span(TOPIC, 0, epoch + 1, 0, 2)], accepted([order()]), [letter(1)])
    assert counts(admin) == (1, 2, 1)


def test_an_offset_that_is_not_the_next_is_refused(
    store: ProjectionStore, admin: psycopg.Connection[Any]
) -> None:
    _, epoch = store.claim(TOPIC, 0)
    with pytest.raises(Fenced):
        store.write([Span(TOPIC, 0, epoch, 5, 6)], accepted([order()]), [])
    assert counts(admin) == (0, 0, 0)


def test_one_lost_partition_of_a_batch_is_named_and_the_rest_can_be_written(
    stores: tuple[ProjectionStore, ProjectionStore], admin: psycopg.Connection[Any]
) -> None:
    """T15."""
    worker, successor = stores
    mine, lost = worker.claim(TOPIC, 0)[1], worker.claim(TOPIC, 1)[1]
    successor.claim(TOPIC, 1)
    spans = [Span(TOPIC, 0, mine, 0, 1), Span(TOPIC, 1, lost, 0, 1)]
    events = accepted([order()]) + accepted([order()], partition=1)
    with pytest.raises(Fenced) as fenced:
        worker.write(spans, events, [])
    assert fenced.value.places == ((TOPIC, 1),)
    assert counts(admin) == (0, 0, 0)
    assert worker.write(spans[:1], events[:1], []).combined == 1


def test_a_claim_waits_for_a_paused_writer_to_be_ended(provisioned: Profile, schema: str) -> None:
    """F2: its transaction has a limit, so its successor is not held up for ever."""
    settings = provisioned.settings("combine")
    paused, successor = (
        ProjectionStore(connect(settings, schema=schema), catalogue(), transaction_limit_s=1.5)
        for _ in range(2)
    )
    _, epoch = paused.claim(TOPIC, 0)

    def pause_in_a_transaction() -> None:
        with translated(settings), paused.connection.transaction():
            paused.connection.execute("UPDATE offsets SET next_offset = 9")
            assert successor.claim(TOPIC, 0) == (0, epoch + 1)
            paused.connection.execute("SELECT 1")

    with pytest.raises(StoreUnavailable):
        pause_in_a_transaction()
    for each in (paused, successor):
        each.connection.close()


def test_any_order_and_any_batches_give_one_hash(provisioned: Profile) -> None:
    """T4, F5: repeated events and warnings among them."""
    events = corpus(120, seed=3) + [
        warning(WARNING, number, transition=("raised", "withdrawn")[number % 2])
        for number in range(1, 6)
    ]
    hashes = {_hash_of(provisioned, events, Random(seed)) for seed in range(4)}
    assert len(hashes) == 1


def test_what_a_reaction_took_back_on_the_way_is_not_in_the_hash(provisioned: Profile) -> None:
    """F5: another order of arrival leads the reaction by other windows to the same warning."""
    events = corpus(40, seed=4)
    straight = [*events, warning(WARNING, 1)]
    passing = "5b0b7c9e-0000-5000-8000-00000000000a"
    detour = [
        *events,
        warning(passing, 2),
        warning(passing, 3, transition="withdrawn"),
        {**warning(WARNING, 1), "revision": 4},
    ]
    assert _hash_of(provisioned, straight, Random(1)) == _hash_of(provisioned, detour, Random(2))
    assert _hash_of(provisioned, straight, Random(1)) != _hash_of(provisioned, events, Random(2))


def _hash_of(profile: Profile, events: Sequence[Event], random: Random) -> str:
    schema = f"t_{secrets.token_hex(4)}"
    arriving = [*events, *random.sample(list(events), 30)]
    random.shuffle(arriving)
    with connect(profile.settings("admin"), schema="public") as owner:
        migrate(owner, schema=schema)
        stores = open_stores(profile.settings("combine"), schema=schema)
        store, at = stores[0], 0
        _, epoch = store.claim(TOPIC, 0)
        while arriving:
            size = random.randrange(1, 40)
            batch, arriving = arriving[:size], arriving[size:]
            store.write([Span(TOPIC, 0, epoch, at, at + len(batch))], accepted(batch), [])
            at += len(batch)
        told = state_hash(store.connection)
        for each in stores:
            each.connection.close()
        drop(owner, schema=schema)
    return told


@pytest.mark.parametrize("together", [True, False])
def test_of_two_events_with_one_id_the_first_counts_however_they_are_batched(
    store: ProjectionStore, admin: psycopg.Connection[Any], together: bool
) -> None:
    """T4: a replay may cut the batches elsewhere."""
    first = order({"state": "open"}, case_ref="C", event_id=event_id(1))
    second = order({"state": "closed"}, case_ref="C", event_id=event_id(1), occurred_at=AT + MINUTE)
    _, epoch = store.claim(TOPIC, 0)
    if together:
        written = store.write([Span(TOPIC, 0, epoch, 0, 2)], accepted([first, second]), [])
        assert (written.combined, written.repeated) == (1, 1)
    else:
        store.write([Span(TOPIC, 0, epoch, 0, 1)], accepted([first]), [])
        store.write([Span(TOPIC, 0, epoch, 1, 2)], accepted([second]), [])
    assert admin.execute("SELECT state, events FROM case_parts").fetchall() == [("open", 1)]


def test_a_late_revision_of_a_warning_changes_nothing(
    store: ProjectionStore, admin: psycopg.Connection[Any]
) -> None:
    _, epoch = store.claim(TOPIC, 0)
    for at, revision in enumerate((5, 3)):
        told = accepted([warning(WARNING, revision)])
        store.write([Span(TOPIC, 0, epoch, at, at + 1)], told, [])
    assert admin.execute("SELECT revision FROM warnings").fetchall() == [(5,)]
    assert counts(admin)[1] == 0


def test_a_case_is_joined_across_departments_with_its_history(
    store: ProjectionStore, admin: psycopg.Connection[Any]
) -> None:
    events = [
        order({"state": "open"}, case_ref="C", occurred_at=AT),
        grid_case({"state": "filed"}, case_ref="C", occurred_at=AT + MINUTE),
        mediation({"state": "applied"}, case_ref="C", occurred_at=AT + 2 * MINUTE),
    ]
    _, epoch = store.claim(TOPIC, 0)
    store.write([Span(TOPIC, 0, epoch, 0, 3)], accepted(events), [])
    [row] = read_model(admin, catalogue(), "cases", prefix="", as_of=MOMENT, case_ref="C")
    assert (row["case_ref"], row["state"], row["events"]) == ("C", "applied", 3)
    assert set(row["parts"]) == {"hotline.order", "grid.case", "mediation.case"}


def test_one_case_goes_from_the_hotline_to_the_grid_a_mediation_and_the_court(
    store: ProjectionStore, admin: psycopg.Connection[Any]
) -> None:
    """Who handles it, until when, and whether it is done, at each moment of its history."""
    hour = 60 * MINUTE
    urgent = {"urgency": "utility", "unit": "U-ROADS"}
    told: list[tuple[Event, tuple[Any, ...]]] = [
        (order(urgent, occurred_at=AT), ("open", "city", "hotline", "U-ROADS", "on_time", 0)),
        (
            order(urgent, occurred_at=AT + 20 * hour, transition="returned"),
            ("open", "city", "hotline", "U-ROADS", "due_soon", 1),
        ),
        (
            grid_case({"unit": "U-GRID", "due_at": AT + 90 * hour}, occurred_at=AT + 21 * hour),
            ("open", "community", "grid", "U-GRID", "due_soon", 1),
        ),
        (
            order(urgent, occurred_at=AT + 25 * hour, transition="closed"),
            ("open", "community", "grid", "U-GRID", "on_time", 1),
        ),
        (
            mediation({"centre_level": "village_outpost"}, occurred_at=AT + 26 * hour),
            ("open", "community", "justice", None, "on_time", 1),
        ),
        (
            grid_case({"due_at": AT + 90 * hour}, occurred_at=AT + 30 * hour, transition="closed"),
            ("open", "community", "justice", None, "on_time", 1),
        ),
        (
            mediation(
                {"centre_level": "village_outpost", "escalated_to": "town_position"},
                occurred_at=AT + 40 * hour,
                transition="escalated",
            ),
            ("open", "town", "justice", None, "on_time", 1),
        ),
        (
            mediation(occurred_at=AT + 50 * hour, transition="agreed"),
            # the hotline was late
            ("closed", "town", "justice", None, "closed_late", 1),
        ),
        (
            confirmation(occurred_at=AT + 60 * hour),
            ("open", "county", "court", None, "on_time", 1),
        ),
        (
            confirmation(occurred_at=AT + 70 * hour, transition="confirmed"),
            ("closed", "county", "court", None, "closed_late", 1),
        ),
    ]
    _, epoch = store.claim(TOPIC, 0)
    for at, (event, expected) in enumerate(told):
        event["meta"]["case_ref"] = "C"
        store.write([Span(TOPIC, 0, epoch, at, at + 1)], accepted([event]), [])
        now = datetime.fromtimestamp(event["meta"]["occurred_at"] / 1e6, UTC)
        [row] = read_model(admin, catalogue(), "cases", prefix="", as_of=now, case_ref="C")
        names = ("status", "level", "department", "unit", "timeliness", "returned")
        assert tuple(row[name] for name in names) == expected
        assert (len(row["history"]), row["events"]) == (at + 1, at + 1)


def test_cases_are_found_by_their_deadlines_the_earliest_first(
    store: ProjectionStore, admin: psycopg.Connection[Any]
) -> None:
    hour = 60 * MINUTE
    soon = {"due_at": AT + 4 * hour}
    events = [
        order({"due_at": AT + 2 * hour}, case_ref="late"),
        order({"due_at": AT + hour}, case_ref="later"),
        order(soon, case_ref="soon"),
        order(case_ref="in a week"),
        order({"due_at": AT + hour}, case_ref="done"),
        order({"due_at": AT + hour}, case_ref="done", transition="closed", occurred_at=AT + hour),
    ]
    _, epoch = store.claim(TOPIC, 0)
    store.write([Span(TOPIC, 0, epoch, 0, len(events))], accepted(events), [])
    asked = partial(
        read_model, admin, catalogue(), "cases", prefix="", as_of=MOMENT + timedelta(hours=3)
    )
    assert [row["case_ref"] for row in asked(due="overdue")] == ["later", "late"]
    assert [row["case_ref"] for row in asked(due="overdue", limit=1)] == ["later"]
    assert [row["case_ref"] for row in asked(due="due_soon")] == ["soon"]
    assert len(asked()) == 5
