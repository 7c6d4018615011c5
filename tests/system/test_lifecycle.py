"""`up`, `down` and what befalls a stack in between, as its user sees it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from maplebridge.localstack.postgresql import PostgresServer
from tests.conftest import OwnPorts
from tests.system.stack_user import User, order, write_lines

NOT_RUNNING = 6


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts) -> Iterator[User]:
    """A user with a stack that nothing else uses."""
    user = User(tmp_path_factory.mktemp("lifecycle") / "home")
    user.settle(own_ports(5))
    try:
        ran = user.run("up", "--json", timeout_s=120)
        assert ran.code == 0, ran.said
        yield user
    finally:
        user.run("down", "--wipe")


def _all_of(user: User) -> list[psutil.Process]:
    """Return every process of the stack, also of PostgreSQL's, which may lie elsewhere."""
    outside = PostgresServer(user.supervisor).folder
    return [*_of_home(user.home), *_of_home(outside)]


def _of_home(home: Path) -> list[psutil.Process]:
    """Return every process whose command line or environment names the home."""
    found = []
    for process in psutil.process_iter():
        try:
            named = [*process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
        if any(str(home) in each for each in named):
            found.append(process)
    return found


def _pids(user: User) -> dict[str, int]:
    return {name: each["pid"] for name, each in user.run("status", "--json").last.items()}


def test_up_twice_is_harmless(own: User) -> None:
    before = _pids(own)
    ran = own.run("up", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert {name: each["pid"] for name, each in ran.last.items()} == before
    assert None not in before.values()


def test_a_killed_service_is_reported_with_what_to_do_and_up_mends_it(own: User) -> None:
    before = _pids(own)
    psutil.Process(before["relay"]).kill()
    time.sleep(0.2)
    status = own.run("status", "--json")
    assert status.code == NOT_RUNNING
    assert status.last["relay"]["state"] == "crashed"
    assert "maplebridge up" in status.last["relay"]["detail"]
    assert "crashed" in own.run("status").out
    assert own.run("up").code == 0
    after = _pids(own)
    assert after.pop("relay") != before.pop("relay")
    assert after == before


def test_after_a_restart_of_the_machine_up_brings_all_back_and_nothing_is_lost(
    own: User, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "o.jsonl", *(order(number) for number in range(5)))
    assert own.run("publish", "hotline.order", file).code == 0
    for process in _all_of(own):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(_all_of(own), timeout=10)
    status = own.run("status", "--json")
    assert status.code == NOT_RUNNING
    assert {each["state"] for each in status.last.values()} == {"crashed"}
    ran = own.run("up", timeout_s=120)
    assert ran.code == 0, ran.said
    assert own.wait_for_combined(5)["combined"] == 5
    status = own.run("status", "--json")
    ended = [name for name, each in status.last.items() if each["state"] != "running"]
    assert not ended, [own.supervisor.log_tail(name, 30) for name in ended]


def test_down_leaves_no_process_and_up_starts_where_it_ended(own: User) -> None:
    ran = own.run("down", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert set(ran.last["stopped"]) >= {"kafka", "registry", "postgresql", "combine", "deliver"}
    assert _all_of(own) == []
    assert own.run("status").code == NOT_RUNNING
    assert "Nothing was running." in own.run("down").out
    assert own.run("up", "--servers-only", timeout_s=120).code == 0
    assert own.totals()["combined"] == 5


def test_down_and_wipe_leaves_no_file(own: User) -> None:
    outside = PostgresServer(own.supervisor).folder
    ran = own.run("down", "--wipe")
    assert ran.code == 0, ran.said
    assert not own.home.exists()
    assert not outside.exists()
    assert _all_of(own) == []
