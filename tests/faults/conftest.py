"""Servers of these tests' own: they are killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from maplebridge.localstack import Stack
from maplebridge.provision import provision
from tests.conftest import OwnPorts
from tests.processors.lanes import Kafka, Lane, made_lanes, opened
from tests.processors.made_poison import Poison, poison


@dataclass(frozen=True)
class Site:
    """Servers, a way to write to Kafka, and poison for it."""

    stack: Stack
    kafka: Kafka
    poison: list[Poison]


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[Site]:
    stack = Stack(tmp_path_factory.mktemp("faults") / "home", ports=own_ports(8))
    try:
        stack.up()
        with opened(provision(stack.profile)) as kafka:
            yield Site(stack, kafka, poison(kafka))
    finally:
        stack.down(wipe=True)


@pytest.fixture
def lanes(site: Site) -> Iterator[Callable[..., Lane]]:
    with made_lanes(site.kafka) as make:
        yield make
