"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.localstack.ports import DEFAULT_PORTS
from maplebridge.provision import provision
from maplebridge.settings import Profile


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, the registry and PostgreSQL in a home and on ports of this test run's own."""
    home: Path = tmp_path_factory.mktemp("stack") / "home"
    # another test run on this machine takes others
    shift = 2000 + os.getpid() % 40 * 100
    ports = {name: port + shift for name, port in DEFAULT_PORTS.items()}
    servers = Stack(home, ports=ports)
    try:
        servers.up()
        yield servers
    finally:
        servers.down(wipe=True)


@pytest.fixture(scope="session")
def provisioned(stack: Stack) -> Profile:
    """The servers with topics, access rules, tables, schemas and keys; no service runs."""
    return provision(stack.profile)


@pytest.fixture(scope="session")
def city(stack: Stack, provisioned: Profile) -> Profile:
    """The whole of Maple Bridge: the servers and every service."""
    return up(stack, Progress())
