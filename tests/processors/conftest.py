"""The real servers, with a lane of the bulk lane's own per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from maplebridge.settings import Profile
from tests.processors.lanes import Kafka, Lane, made_lanes, opened


@pytest.fixture(scope="session")
def kafka(provisioned: Profile) -> Iterator[Kafka]:
    with opened(provisioned) as made:
        yield made


@pytest.fixture
def lanes(kafka: Kafka) -> Iterator[Callable[..., Lane]]:
    with made_lanes(kafka) as make:
        yield make


@pytest.fixture
def lane(lanes: Callable[..., Lane]) -> Lane:
    return lanes()
