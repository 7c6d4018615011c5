"""A home whose whole city speaks TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import OwnPorts
from tests.system.stack_user import User


@pytest.fixture(scope="package")
def tls_user(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[User]:
    """A user whose whole city speaks TLS; the tests of TLS and of onboarding share it."""
    user = User(tmp_path_factory.mktemp("tls") / "home")
    user.settle(own_ports(1))
    try:
        began = user.run("up", "--tls", timeout_s=240)
        assert began.code == 0, began.said
        yield user
    finally:
        user.run("down", "--wipe")
