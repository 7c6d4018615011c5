"""A rebuild from zero gives the state that is, and says nothing to anybody."""

from __future__ import annotations

from random import Random

import pytest

from maplebridge.projections.store import connect, offsets_of, state_hash
from maplebridge.rebuild import SCHEMA, rebuild
from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import catalogue, corpus


@pytest.fixture(autouse=True)
def no_warning_climbs(city: Profile) -> None:
    """Warnings of other tests climb as time passes, and what they say would be seen here."""
    with connect(city.settings("admin")) as live:
        live.execute("UPDATE window_climbs SET waiting = false")


def test_a_rebuild_gives_the_live_hash_and_sends_nothing(city: Profile, kafka: Kafka) -> None:
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
        told = rebuild(city)
        assert told.live_hash == told.rebuilt_hash
        assert told.records == sum(offsets_of(live, "combine").values()) >= 501
        assert kafka.ends(sent) == before
        assert live.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
        schemas = live.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (SCHEMA,))
        assert schemas.fetchall() == []
        assert rebuild(city).rebuilt_hash == told.rebuilt_hash


def test_a_rebuild_can_replace_a_live_state_that_went_wrong(city: Profile, kafka: Kafka) -> None:
    kafka.publish(corpus(50, seed=32, live_ids=True))
    kafka.flush()
    with connect(city.settings("admin")) as live:
        record = [contract.topic for contract in catalogue()]

        def caught_up() -> bool:
            ends = {place: end for place, end in kafka.ends(record).items() if end}
            return offsets_of(live, "combine").items() >= ends.items()

        await_true(caught_up)
        sound = state_hash(live)
        live.execute("UPDATE community_hour_tallies SET events = events + 1")
        told = rebuild(city)
        assert told.live_hash != told.rebuilt_hash == sound
        assert state_hash(live) != sound
        assert rebuild(city, replace=True).replaced
        assert state_hash(live) == sound
        kafka.publish(corpus(20, seed=33, live_ids=True))
        kafka.flush()
        await_true(caught_up)
        again = rebuild(city)
        assert again.live_hash == again.rebuilt_hash
