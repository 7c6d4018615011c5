"""A running city of these tests alone, whose keys they destroy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.settings import Profile
from tests.conftest import OwnPorts


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[Stack]:
    servers = Stack(tmp_path_factory.mktemp("erasure") / "home", ports=own_ports(7))
    try:
        yield servers
    finally:
        servers.down(wipe=True)


@pytest.fixture(scope="session")
def city(stack: Stack) -> Profile:
    """The servers and every service."""
    return up(stack, Progress())
