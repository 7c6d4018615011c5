"""A replay from zero gives the state that is, and says nothing to anybody."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

import pytest

from maplebridge.errors import InputError
from maplebridge.projections.store import connect, offsets_of, state_hash
from maplebridge.projections.switch import switch_tables
from maplebridge.projections.verify import Difference
from maplebridge.rebuild import SCHEMA, rebuild, verify
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import catalogue, corpus

COUNT = "SELECT count(*) FROM events"


@pytest.fixture(autouse=True)
def no_warning_climbs(city: Profile) -> None:
    """Warnings of other tests climb as time passes, and what they say would be seen here."""
    with connect(city.settings("admin")) as live:
        live.execute("UPDATE window_climbs SET waiting = false")


def test_a_replay_gives_the_live_hash_and_sends_nothing(city: Profile, kafka: Kafka) -> None:
    """F5: with repeated and refused records among them, while the live lane stands."""
    events = corpus(400, seed=31, live_ids=True)
    arriving = [*events, *Random(31).choices(events, k=100)]
    topic = catalogue().get("grid.case").topic
    record = [contract.topic for contract in catalogue()]
    kafka.publish(arriving)
    kafka.write(topic, b"not framed", key=b"broken")
    kafka.flush()
    with connect(city.settings("admin")) as live:

        def caught_up() -> bool:
            ends = {place: end for place, end in kafka.ends(record).items() if end}
            if not offsets_of(live, "combine").items() >= ends.items():
                return False
            # asked last: what was combined until now is what the relay must have sent
            return live.execute("SELECT count(*) FROM outbox").fetchone() == (0,)

        await_true(caught_up)
        sent = [*(f"mb.dlq.{name}" for name in record), *(c.core_topic for c in catalogue())]
        before = kafka.ends(sent)
        told = verify(city)
        assert told.difference is None
        assert told.live_hash == told.replayed_hash
        assert told.records == sum(offsets_of(live, "combine").values()) >= 501
        assert kafka.ends(sent) == before
        assert live.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        schemas = live.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,))
        assert schemas.fetchall() == []
        assert verify(city).replayed_hash == told.replayed_hash


def test_a_live_state_that_went_wrong_is_found_and_replaced_while_it_answers(
    city: Profile, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka.publish(corpus(50, seed=32, live_ids=True))
    kafka.flush()
    with connect(city.settings("admin")) as live:
        record = [contract.topic for contract in catalogue()]

        def caught_up() -> bool:
            ends = {place: end for place, end in kafka.ends(record).items() if end}
            return offsets_of(live, "combine").items() >= ends.items()

        await_true(caught_up)
        sound = state_hash(live)
        ((case_ref, event_type),) = live.execute(
            "UPDATE case_parts SET events = events + 1 WHERE (case_ref, event_type) ="
            " (SELECT case_ref, event_type FROM case_parts ORDER BY 1 DESC, 2 LIMIT 1)"
            " RETURNING case_ref, event_type"
        ).fetchall()
        wrong = state_hash(live)
        told = verify(city)
        assert told.difference == Difference("case_parts", (case_ref, event_type), True, True)
        assert (told.live_hash, told.replayed_hash) == (wrong, sound)

        # killed with all but the switch done, it leaves the live tables as they are
        with monkeypatch.context() as patch:
            patch.setattr("maplebridge.rebuild.switch_tables", interrupted)
            with pytest.raises(KeyboardInterrupt):
                rebuild(city)
        assert state_hash(live) == wrong

        refused: list[bool] = []

        def switched(*given: Any, **named: Any) -> bool:
            done = switch_tables(*given, **named)
            refused.append(not done)
            return done

        monkeypatch.setattr("maplebridge.rebuild.switch_tables", switched)
        with (
            connect(city.settings("query")) as reader,
            connect(city.settings("query")) as other,
            ThreadPoolExecutor() as pool,
        ):
            with reader.transaction():
                reader.execute(COUNT)
                rebuilding = pool.submit(rebuild, city)
                deadline = time.monotonic() + 60
                while len(refused) < 2:
                    # whoever asks waits behind the switch for as long as that waits for a reader
                    began = time.monotonic()
                    other.execute(COUNT)
                    assert time.monotonic() - began < 4
                    assert time.monotonic() < deadline
                assert not rebuilding.done()
            done = rebuilding.result()
        assert refused[-1] is False
        assert (done.state_hash, done.changed) == (sound, True)
        assert state_hash(live) == sound
        kafka.publish(corpus(20, seed=33, live_ids=True))
        kafka.flush()
        await_true(caught_up)
        assert verify(city).difference is None


def interrupted(*_: object, **__: object) -> bool:
    raise KeyboardInterrupt


def test_one_at_a_time_replays_the_record(city: Profile) -> None:
    with connect(city.settings("admin"), schema="public") as other:
        other.execute("SELECT pg_advisory_lock(hashtext('maplebridge.rebuild'))")
        with pytest.raises(InputError, match="being rebuilt or verified"):
            verify(city)
    assert verify(city).difference is None
