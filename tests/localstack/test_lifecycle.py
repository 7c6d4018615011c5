"""From nothing to running, through a crash, down, warm up again, and wiped."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from maplebridge.errors import StageFailed
from maplebridge.localstack import Progress, ProgressEvent, Stack
from maplebridge.localstack import stack as stack_module
from maplebridge.localstack.postgresql import PostgresServer
from maplebridge.localstack.stack import SERVERS
from maplebridge.settings import Profile
from tests.conftest import OwnPorts


@pytest.fixture
def own(tmp_path: Path, own_ports: OwnPorts) -> Iterator[Stack]:
    stack = Stack(tmp_path / "own", ports=own_ports(2))
    yield stack
    stack.down(wipe=True)


def processes_of(stack: Stack) -> list[str]:
    """Return the command lines of living processes that name the stack's folders."""
    folders = (str(stack.home), str(PostgresServer(stack.supervisor).folder))
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        alive = process.info["status"] != psutil.STATUS_ZOMBIE
        if alive and any(folder in line for folder in folders):
            found.append(line)
    return found


def killed_leaving_one_behind(stack: Stack) -> psutil.Process:
    """Kill PostgreSQL; return a process of it that holds its memory until it is resumed."""
    server = stack.supervisor.find("postgresql")
    assert server is not None
    left = psutil.Process(server.pid).children()[0]
    left.suspend()
    os.kill(server.pid, signal.SIGKILL)
    while stack.supervisor.find("postgresql") is not None:
        time.sleep(0.01)
    return left


def test_a_stack_lives_crashes_stops_and_leaves_nothing(own: Stack) -> None:
    profiles: list[Profile] = []
    # two commands at once, as two terminals would give them
    starts = [
        threading.Thread(target=lambda: profiles.append(Stack(own.home, ports=own.ports()).up()))
        for _ in range(2)
    ]
    for start in starts:
        start.start()
        # the first one has settled the ports before the second one asks for them
        time.sleep(0.2)
    for start in starts:
        start.join()
    assert len(profiles) == 2
    assert profiles[0] == profiles[1] == Profile.load(own.home)
    pids = {server.name: server.pid for server in own.status()}
    assert all(pids.values())

    assert pids["kafka"] is not None
    os.kill(pids["kafka"], signal.SIGKILL)
    while own.supervisor.find("kafka") is not None:
        time.sleep(0.01)
    assert {s.name: s.state for s in own.status()} == {
        "postgresql": "running",
        "kafka": "crashed",
        "registry": "running",
    }
    assert own.up() == profiles[0]
    again = {server.name: server.pid for server in own.status()}
    assert again["kafka"] != pids["kafka"]
    assert again["postgresql"] == pids["postgresql"]

    assert sorted(own.down()) == sorted(SERVERS)
    assert processes_of(own) == []

    events: list[ProgressEvent] = []
    assert own.up(Progress(events.append)) == profiles[0]
    assert {e.stage: e.state for e in events} == {
        "download": "already",
        **dict.fromkeys(SERVERS, "done"),
    }

    left = killed_leaving_one_behind(own)
    with ThreadPoolExecutor() as pool:
        starting = pool.submit(own.up)
        time.sleep(1)
        assert not starting.done()
        left.resume()
        assert starting.result() == profiles[0]
    assert all(server.state == "running" for server in own.status())

    data = PostgresServer(own.supervisor).folder
    assert data.exists()
    own.down(wipe=True)
    assert processes_of(own) == []
    assert not own.home.exists()
    assert not data.exists()
    assert own.cache.damaged() == []


def test_a_failing_stage_shows_its_last_lines_and_stops_the_others(
    own: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\nfor n in $(seq 12); do echo line $n; done\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(stack_module, "java_program", lambda: broken)
    with pytest.raises(StageFailed) as failure:
        own.up()
    assert failure.value.stage in {"kafka", "registry"}
    assert failure.value.log_tail == tuple(f"line {n}" for n in range(3, 13))
    assert failure.value.todo
    assert own.supervisor.names() == []
    assert processes_of(own) == []
