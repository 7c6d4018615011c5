"""The real servers, with a lane of the bulk lane's own per test."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator

import pytest

from maplebridge.projections.migrate import migrate
from maplebridge.projections.store import Place, connect
from maplebridge.settings import Profile
from tests.processors.lanes import RECORD_TOPICS, Kafka, Lane, opened


@pytest.fixture(scope="session")
def kafka(provisioned: Profile) -> Iterator[Kafka]:
    with opened(provisioned) as made:
        yield made


@pytest.fixture
def lanes(kafka: Kafka) -> Iterator[Callable[..., Lane]]:
    made: list[Lane] = []

    def make(since: dict[Place, int] | None = None) -> Lane:
        schema = f"t_{secrets.token_hex(4)}"
        admin = kafka.profile.settings("admin")
        with connect(admin, schema="public") as owner:
            migrate(owner, schema=schema)
        lane = Lane(
            kafka, schema, connect(admin, schema=schema), since or kafka.ends(RECORD_TOPICS)
        )
        made.append(lane)
        lane.begin()
        return lane

    yield make
    for lane in made:
        lane.close()


@pytest.fixture
def lane(lanes: Callable[..., Lane]) -> Lane:
    return lanes()
