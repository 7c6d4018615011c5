from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from maplebridge.access_policy.audit import migrate
from maplebridge.access_policy.audit.store import connect
from maplebridge.localstack import Stack
from tests.access_policy.audits import Audit


@pytest.fixture
def audit(stack: Stack, tmp_path: Path) -> Iterator[Audit]:
    made = Audit(stack.profile, f"audit_{uuid.uuid4().hex}", tmp_path)
    with connect(made.settings("admin"), database="postgres") as admin:
        admin.execute(f"CREATE DATABASE {made.database}")
        with made.connect("admin") as connection:
            migrate(connection)
            migrate(connection)
        yield made
        admin.execute(f"DROP DATABASE {made.database} WITH (FORCE)")
