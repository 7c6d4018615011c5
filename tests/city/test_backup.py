"""A stack that lost its PostgreSQL tables goes on from a backup where that was made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from typer.testing import CliRunner

from maplebridge.cell_secret import secret_of, secret_path
from maplebridge.city import up
from maplebridge.cli.app import make_app
from maplebridge.errors import InputError
from maplebridge.localstack import Progress, Stack
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import connect, offsets_of
from maplebridge.rebuild import verify
from maplebridge.settings import Profile
from maplebridge.wiring import SERVICES
from tests.city.test_react import gas, warnings_of
from tests.processors.lanes import RECORD_TOPICS, Kafka, await_true
from tests.processors.made_events import catalogue, communities, corpus
from tests.projections.test_backup import RELEASE

PLACE = communities()[36]


def stop(stack: Stack, *names: str) -> None:
    for name in names:
        stack.supervisor.stop_service(name)


def lose_the_tables(city: Profile) -> None:
    with connect(city.settings("admin"), schema="public") as owner:
        drop(owner, schema="projections")
        migrate(owner)


def combined(kafka: Kafka, live: psycopg.Connection[Any]) -> Callable[[], bool]:
    """Return whether all that the departments published is combined."""

    def told() -> bool:
        ends = {place: end for place, end in kafka.ends(RECORD_TOPICS).items() if end}
        return offsets_of(live, "combine").items() >= ends.items()

    return told


def sent_on(live: psycopg.Connection[Any]) -> bool:
    return live.execute("SELECT count(*) FROM outbox").fetchone() == (0,)


def test_a_restored_stack_counts_nothing_twice_and_loses_nothing(
    stack: Stack, city: Profile, kafka: Kafka, tmp_path: Path
) -> None:
    """With records unsent, a reaction behind, and what came after the backup."""
    folder, runner = tmp_path / "backup", CliRunner()
    core = [contract.core_topic for contract in catalogue()]
    order_topic = catalogue().get("hotline.order").core_topic

    def command(name: str) -> Any:
        given = [name, str(folder), "--home", str(city.home), "--json"]
        return runner.invoke(make_app(name), given)

    with connect(city.settings("admin")) as live:
        kafka.publish(corpus(200, seed=71, live_ids=True))
        await_true(combined(kafka, live))
        await_true(lambda: sent_on(live))
        # accepted and sent on, but not seen by the reaction before the backup
        stop(stack, "react")
        since = kafka.ends([order_topic])
        kafka.publish(gas(PLACE, minute) for minute in (0, 1))
        await_true(lambda: sum(kafka.ends([order_topic]).values()) == sum(since.values()) + 2)
        # accepted, not sent on
        stop(stack, "relay")
        unsent = corpus(100, seed=72, live_ids=True)
        kafka.publish(unsent)
        await_true(combined(kafka, live))
        live.execute(RELEASE)
        secret = secret_of(city.home)
        made = json.loads(command("backup").output)
        assert made["waiting"] >= 100
        waiting = live.execute("SELECT topic, key, value FROM outbox ORDER BY id").fetchall()

        # all of this is lost with the tables, and told to Kafka before, after many other warnings
        live.execute("SELECT setval('warning_revision', nextval('warning_revision') + 1000)")
        up(stack, Progress())
        kafka.publish(corpus(150, seed=73, live_ids=True))
        kafka.publish([gas(PLACE, 2)])
        await_true(lambda: warnings_of(live, [PLACE]) == [(PLACE, 3, False)])
        await_true(combined(kafka, live))
        await_true(lambda: sent_on(live))
        assert isinstance(command("restore").exception, InputError)

    stop(stack, *SERVICES)
    lose_the_tables(city)
    secret_path(city.home).unlink()
    sent = kafka.ends(core)
    done = command("restore")
    assert done.exit_code == 0, done.exception
    assert {**json.loads(done.output), "migrations": []} == {**made, "migrations": []}
    assert secret_path(city.home).read_bytes() == secret
    with connect(city.settings("admin")) as live:
        assert live.execute("SELECT period FROM releases WHERE release_id = 'r'").fetchone()
        again = live.execute("SELECT topic, key, value FROM outbox ORDER BY id").fetchall()
        assert again == waiting
        up(stack, Progress())
        await_true(combined(kafka, live))
        await_true(lambda: sent_on(live))
        assert verify(city).difference is None
        # what waited went on, byte for byte
        fresh = Counter(each[3] for each in kafka.read(sent))
        assert fresh >= Counter(bytes(value) for topic, _, value in waiting if topic in core)
        # the reaction has all three again, and tells of a fourth what is newer than all before
        await_true(lambda: held(live) == 3)
        kafka.publish([gas(PLACE, 3)])
        await_true(lambda: warnings_of(live, [PLACE]) == [(PLACE, 4, False)])
        assert verify(city).difference is None


def held(live: psycopg.Connection[Any]) -> int:
    row = live.execute(
        "SELECT count(*) FROM window_causes WHERE community = %s AND category = 'gas'", (PLACE,)
    ).fetchone()
    assert row
    return int(row[0])
