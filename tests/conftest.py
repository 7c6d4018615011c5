"""Fixtures that several folders of tests share."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from maplebridge.localstack import Stack
from maplebridge.localstack.ports import DEFAULT_PORTS
from maplebridge.provision import provision
from maplebridge.settings import Profile

OwnPorts = Callable[[int], dict[str, int]]
_RUNS = 12
_STACKS_OF_A_RUN = 9
_SHARING_A_CITY = ("tests/city", "tests/erasure", "tests/faults", "tests/system", "tests/tls")
_LONGEST = ("city", "disks", "erasure", "faults", "system", "tls")


class ByServers(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
    """Where workers share the tests, a file goes to one of them, and so does a folder whose
    tests share a city that its conftest.py starts."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        folder = file.rpartition("/")[0]
        return folder if folder in _SHARING_A_CITY else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServers:
    return ByServers(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, so that no worker is left with them at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.parent.name not in _LONGEST)


@pytest.fixture(scope="session")
def own_ports() -> Iterator[OwnPorts]:
    """Return the ports of this run's nth stack, 0 to 8: no other run on this machine has them.

    A server that a test stops must find its port free again when it starts it: taken by
    another run's server, that one would be asked in its place.
    """
    with ExitStack() as holding:
        for run in range(_RUNS):
            # held by another run, or another user's file
            with suppress(BlockingIOError, PermissionError):
                path = Path(tempfile.gettempdir()) / f"maplebridge-test-run-{run}.lock"
                fcntl.flock(holding.enter_context(path.open("w")), fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
        else:
            pytest.fail(f"{_RUNS} test runs on one machine leave no ports to another")

        def ports(stack: int) -> dict[str, int]:
            shift = 2000 + (run * _STACKS_OF_A_RUN + stack) * 100
            return {name: port + shift for name, port in DEFAULT_PORTS.items()}

        yield ports


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[Stack]:
    """Kafka, the registry and PostgreSQL in a home and on ports of this test run's own."""
    home: Path = tmp_path_factory.mktemp("stack") / "home"
    servers = Stack(home, ports=own_ports(0))
    try:
        servers.up()
        yield servers
    finally:
        servers.down(wipe=True)


@pytest.fixture(scope="session")
def provisioned(stack: Stack) -> Profile:
    """The servers with topics, access rules, tables, schemas and keys; no service runs."""
    return provision(stack.profile)
