"""A running city of these tests alone: what other tests leave on Kafka is none of its records."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.settings import Profile
from tests.conftest import OwnPorts
from tests.processors.lanes import Kafka, opened


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[Stack]:
    servers = Stack(tmp_path_factory.mktemp("city") / "home", ports=own_ports(6))
    try:
        yield servers
    finally:
        servers.down(wipe=True)


@pytest.fixture(scope="package")
def city(stack: Stack) -> Profile:
    """The whole of Maple Bridge: the servers and every service."""
    return up(stack, Progress())


@pytest.fixture(scope="package")
def kafka(city: Profile) -> Iterator[Kafka]:
    with opened(city) as made:
        yield made
