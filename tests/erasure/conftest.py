"""A running city of these tests alone, whose keys they destroy."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.producers import Department
from maplebridge.settings import Profile
from tests.conftest import OwnPorts
from tests.erasure.people import Day, Person, all_open, call, mediate
from tests.erasure.record import opened
from tests.processors.lanes import await_true


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[Stack]:
    servers = Stack(tmp_path_factory.mktemp("erasure") / "home", ports=own_ports(7))
    try:
        yield servers
    finally:
        servers.down(wipe=True)


@pytest.fixture(scope="package")
def city(stack: Stack) -> Profile:
    """The servers and every service."""
    return up(stack, Progress())


@pytest.fixture
def hotline(city: Profile) -> Iterator[Department]:
    with Department("hotline", settings=city.settings("dept-hotline")) as department:
        yield department


@pytest.fixture
def justice(city: Profile) -> Iterator[Department]:
    with Department("justice", settings=city.settings("dept-justice")) as department:
        yield department


@pytest.fixture
def day(city: Profile, hotline: Department, justice: Department) -> Day:
    person, other, tag = Person.made_up(), Person.made_up(), secrets.token_hex(4)
    made = Day(
        person,
        other,
        call(hotline, person, f"own-{tag}"),
        mediate(justice, [person], f"ownm-{tag}"),
        mediate(justice, [person, other], f"shared-{tag}"),
        call(hotline, other, f"others-{tag}"),
        tag,
    )
    ids = (made.own_call, made.own_mediation, made.shared_mediation, made.others_call)
    # their masters are taken in by the key broker's intake
    await_true(lambda: all_open(opened(city), ids))
    return made
