"""The city that the documents tell of."""

from __future__ import annotations

import pytest

from maplebridge.access_policy.policy import Policies
from maplebridge.documents.city import City, city_of
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
from maplebridge.settings import Profile
from tests.producers.bus import Bus


@pytest.fixture(scope="session")
def told() -> City:
    return city_of(Policies(load_catalogue(), load_regions()), load_code_lists())


@pytest.fixture(scope="session")
def bus(provisioned: Profile) -> Bus:
    return Bus(provisioned)
