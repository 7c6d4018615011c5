"""Fixtures of the tests of producers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from maplebridge.access_policy.signatures import SigningKey
from maplebridge.producers import Department
from maplebridge.settings import Profile, Settings
from tests.access_policy.test_broker_servers import site
from tests.processors.conftest import kafka, lanes
from tests.producers.bus import Bus

__all__ = ["bus", "hotline", "kafka", "lanes", "site"]


@pytest.fixture(scope="session")
def bus(provisioned: Profile) -> Bus:
    return Bus(provisioned)


@pytest.fixture
def hotline(bus: Bus, tmp_path: Path) -> Iterator[Department]:
    with Department("hotline", settings=bus.settings("dept-hotline", tmp_path)) as department:
        yield department


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Those of a department whose servers are all down."""
    return Settings(
        home=tmp_path,
        principal="dept-hotline",
        secret="of nobody",
        kafka_bootstrap="127.0.0.1:1",
        signing_key=SigningKey.generate().encode(),
    )
