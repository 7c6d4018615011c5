"""The reaction as it runs: the Faust worker between the real Kafka and PostgreSQL."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from itertools import permutations
from typing import Any

import psycopg
import pytest

from maplebridge.producers import uuid7
from maplebridge.projections.store import connect
from maplebridge.schemas import Event
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true, key_of
from tests.processors.made_events import (
    AT,
    MINUTE,
    alert,
    catalogue,
    communities,
    corrected,
    grid_case,
    order,
    retraction,
    warning,
)

CORE = catalogue().get("hotline.order").core_topic
WARNINGS = catalogue().get("reaction.warning").topic
SETTLED_S = 1.5


def gas(community: str, minute: int, **changes: Any) -> Event:
    number = f"n{minute}-{secrets.token_hex(4)}"
    fields = {"category": "gas", "order_no": number}
    return order(fields, community=community, occurred_at=AT + minute * MINUTE, **changes)


def warnings_of(
    connection: psycopg.Connection[Any], communities_: Iterable[str]
) -> list[tuple[str, int, bool]]:
    """Return (community, events, withdrawn) of the projection."""
    return connection.execute(
        "SELECT community, events, withdrawn FROM warnings WHERE community = ANY(%s)"
        " ORDER BY community, withdrawn",
        (list(communities_),),
    ).fetchall()


def settle(connection: psycopg.Connection[Any], kafka: Kafka) -> None:
    """Publish three orders elsewhere and wait for their warning: what came before is done."""
    marker = communities()[-1]
    before = len(warnings_of(connection, [marker]))
    far = secrets.randbelow(10_000) * 200 - 3_000_000
    kafka.publish(gas(marker, far + minute) for minute in (0, 1, 2))
    await_true(lambda: len(warnings_of(connection, [marker])) > before)
    time.sleep(SETTLED_S)


@pytest.fixture
def connection(city: Profile) -> Any:
    with connect(city.settings("admin")) as made:
        yield made


def test_three_urgent_orders_raise_one_warning_in_whatever_order_they_arrive(
    kafka: Kafka, connection: psycopg.Connection[Any]
) -> None:
    """F5: late earlier orders move it, history and repetition raise none."""
    places = communities()[4:10]
    arrivals = dict(zip(places, permutations((0, 10, 30)), strict=True))
    quiet, moved = communities()[10], places[0]
    since = kafka.ends([WARNINGS])
    first = {
        place: [gas(place, minute) for minute in minutes] for place, minutes in arrivals.items()
    }
    for step in range(3):
        kafka.publish(orders[step] for orders in first.values())
    kafka.publish(gas(quiet, minute, backfill=True) for minute in (0, 1, 2))
    kafka.publish(gas(communities()[11], minute) for minute in (0, 10, 31))
    await_true(lambda: len(warnings_of(connection, places)) == 6)
    settle(connection, kafka)
    assert warnings_of(connection, places) == [(place, 3, False) for place in places]
    assert warnings_of(connection, [quiet, communities()[11]]) == []

    late = gas(moved, -5)
    kafka.publish([late])
    expected = [(moved, 4, False), (moved, 3, True)]
    await_true(lambda: warnings_of(connection, [moved]) == expected)

    for orders in first.values():
        for event in orders:
            value = kafka.codec.encode(catalogue().get("hotline.order"), event)
            kafka.write(CORE, value, key=key_of(event))
    kafka.publish([late])
    settle(connection, kafka)
    assert len(warnings_of(connection, places)) == 7
    told = [kafka.codec.decode(each[3] or b"").event for each in kafka.read(since)]
    steps = [each["meta"]["transition"] for each in told if each["meta"]["community"] in places]
    assert sorted(steps) == ["raised"] * 7 + ["withdrawn"]


def test_orders_taken_back_or_corrected_leave_their_windows(
    kafka: Kafka, connection: psycopg.Connection[Any]
) -> None:
    """F5: also if the retraction comes first; a correction moves the warning with the order."""
    gone, moved, early, kept = communities()[14:18]
    new = communities()[18]
    orders = {
        place: [gas(place, minute) for minute in (0, 1, 2)] for place in (gone, moved, early, kept)
    }
    kafka.publish([retraction(orders[early][1])])
    settle(connection, kafka)
    kafka.publish(event for each in orders.values() for event in each)
    kafka.publish([retraction(orders[kept][0], department="grid")])
    await_true(lambda: len(warnings_of(connection, [gone, moved, kept])) == 3)
    kafka.publish([retraction(orders[gone][2]), corrected(orders[gone][0], {"category": "road"})])
    kafka.publish(corrected(each, community=new) for each in orders[moved])
    await_true(
        lambda: warnings_of(connection, [gone, moved]) == [(gone, 3, True), (moved, 3, True)]
    )
    settle(connection, kafka)
    assert warnings_of(connection, [new, early, kept]) == sorted(
        [(new, 3, False), (kept, 3, False)]
    )


def said(
    connection: psycopg.Connection[Any], community: str
) -> list[tuple[str, str, str, int, bool]]:
    """Return (rule, category, severity, events, withdrawn) of the projection."""
    return connection.execute(
        "SELECT rule, category, severity, events, withdrawn FROM warnings WHERE community = %s"
        " ORDER BY rule, category, severity",
        (community,),
    ).fetchall()


def test_rules_on_several_event_types_do_not_meet(
    kafka: Kafka, connection: psycopg.Connection[Any]
) -> None:
    """Orders, alerts and grid cases about gas: each rule counts its own, in any order."""
    place, quiet = communities()[19:21]

    def alerts(kind: str, community: str, *minutes: int, **changes: Any) -> list[Event]:
        return [
            alert({"kind": kind}, community=community, occurred_at=AT + m * MINUTE, **changes)
            for m in minutes
        ]

    def cases(community: str, *minutes: int) -> list[Event]:
        return [
            grid_case(
                {"class_code": "emergency", "case_no": f"G{m}-{secrets.token_hex(4)}"},
                community=community,
                occurred_at=AT + m * MINUTE,
            )
            for m in minutes
        ]

    first, second = cases(place, 50, 0)
    again = {**first, "meta": first["meta"] | {"event_id": uuid7(), "transition": "filed"}}
    gases = alerts("gas", place, 12, 0, 5)
    kafka.publish([*gases, first, second, again, *alerts("bridge", place, 40, 0)])
    kafka.publish(gas(place, minute) for minute in (2, 1))
    # too few, too short, of two kinds, taken on and not raised, history
    kafka.publish([*alerts("traffic", quiet, 0, 1, 2, 3), *alerts("bridge", quiet, 0, 9)])
    kafka.publish([*alerts("gas", quiet, 0), *alerts("fire", quiet, 1)])
    kafka.publish(alerts("lift", quiet, 0, 1, 2, transition="acknowledged"))
    kafka.publish([*alerts("rail", quiet, 0, 1, backfill=True), *cases(quiet, 0, 61)])
    expected = [
        ("grid-emergencies", "emergency", "yellow", 2, False),
        ("sensor-bridge", "bridge", "yellow", 2, False),
        ("sensor-gas", "gas", "orange", 3, False),
    ]
    await_true(lambda: said(connection, place) == expected)
    settle(connection, kafka)
    assert said(connection, place) == expected
    assert said(connection, quiet) == []

    kafka.publish([retraction(gases[1]), retraction(first), retraction(again)])
    await_true(
        lambda: (
            said(connection, place)
            == [
                ("grid-emergencies", "emergency", "blue", 2, True),
                expected[1],
                ("sensor-gas", "gas", "blue", 3, True),
                ("sensor-gas", "gas", "yellow", 2, False),
            ]
        )
    )


def test_a_lost_database_connection_loses_no_order(
    kafka: Kafka, connection: psycopg.Connection[Any]
) -> None:
    """F4: what was read but not stored is read again."""
    place = communities()[12]
    settle(connection, kafka)
    connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mb_react'"
    )
    kafka.publish(gas(place, minute) for minute in (0, 1, 2))
    await_true(lambda: warnings_of(connection, [place]) == [(place, 3, False)])


def test_a_warning_comes_to_its_projection_by_the_record_and_not_twice(
    kafka: Kafka, connection: psycopg.Connection[Any]
) -> None:
    """T4: a relay that sent it twice changes nothing."""
    place = communities()[13]
    told = warning("b7e151c9-5f0e-5b6c-9a0e-6d61706c6599", 1, community=place)
    kafka.publish([told, told])
    await_true(lambda: warnings_of(connection, [place]) == [(place, 3, False)])
    events = connection.execute(
        "SELECT count(*) FROM events WHERE event_id = %s", (told["meta"]["event_id"],)
    ).fetchone()
    assert events == (1,)
