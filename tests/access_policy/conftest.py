from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from maplebridge.access_policy.audit import make_signing_key, migrate, signing_key_path
from maplebridge.access_policy.audit.store import connect
from maplebridge.localstack import Stack
from tests.access_policy.audits import Audit
from tests.access_policy.witnesses import WitnessProcess, witness_process


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


@pytest.fixture
def two(audit: Audit, tmp_path: Path) -> Iterator[list[WitnessProcess]]:
    log = make_signing_key(signing_key_path(audit.home))
    with ExitStack() as stack:
        yield [
            stack.enter_context(witness_process(tmp_path / name, name=name, log=log))
            for name in ("w.court", "w.justice")
        ]
