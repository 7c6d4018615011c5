"""A key broker from a copy of before an erasure learns from Kafka what it has forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from maplebridge.city import up
from maplebridge.localstack import Progress, Stack
from maplebridge.producers import Department
from maplebridge.provision import provision
from maplebridge.settings import Profile
from tests.erasure.people import Day, erase, run, told
from tests.erasure.record import opened
from tests.erasure.test_restored_copies import empty_keys


def interrupted(*_: object) -> bool:
    raise KeyboardInterrupt


def test_an_erasure_that_a_restored_key_broker_has_forgotten_is_carried_out_again(
    stack: Stack,
    city: Profile,
    day: Day,
    hotline: Department,
    justice: Department,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """T14: the epoch has not turned, so the copy would open what was destroyed since."""
    told(city, "keys", "backup", str(tmp_path / "keys"))
    before = opened(city)
    erasure_id = erase(city, day.person)["erasure_id"]
    after = opened(city)
    stack.supervisor.stop_service("key-broker")
    empty_keys(city)
    provision(city)
    # whatever stops it, nothing is restored and it can be run again
    with monkeypatch.context() as patch:
        patch.setattr("maplebridge.cli.key_backups.take_up", interrupted)
        assert run(city, "keys", "restore", str(tmp_path / "keys")).exit_code != 0
    assert opened(city).values == {}
    restored = told(city, "keys", "restore", str(tmp_path / "keys"))
    assert set(before.values) > set(after.values)
    assert erasure_id in restored["erased_again"]
    assert restored["forgotten_erasures"] == []
    assert opened(city).values == after.values
    up(stack, Progress())
    (listed,) = (
        each
        for each in map(json.loads, run(city, "erase", "list", "--json").stdout.splitlines())
        if each["erasure_id"] == erasure_id
    )
    assert (listed["state"], listed["officers"]) == ("executed", ["bureau-1", "bureau-2"])
    assert listed["masters_destroyed"] > 0
    assert opened(city).values == after.values
