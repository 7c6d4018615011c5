"""One home in which `maplebridge demo --json` ran once; its stack serves most tests here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conftest import OwnPorts
from tests.system.stack_user import Ran, User


@dataclass(frozen=True)
class Demo:
    """The user whose stack is up, and how the demo ended."""

    user: User
    ran: Ran


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[Demo]:
    user = User(tmp_path_factory.mktemp("demo") / "home")
    user.settle(own_ports(4))
    try:
        yield Demo(user, user.run("demo", "--json", timeout_s=240))
    finally:
        user.run("down", "--wipe")


@pytest.fixture(scope="package")
def user(demo: Demo) -> User:
    """A user whose stack runs and holds the demo's day."""
    assert demo.ran.code == 0, demo.ran.said
    return demo.user
