"""Processes: found again, told apart, stopped with their children, and heard when they fail."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from maplebridge.errors import StageFailed
from maplebridge.localstack.processes import birth_mark, is_alive, stop
from maplebridge.localstack.supervisor import Supervisor

SLEEP = "import time; print('started', flush=True); time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('deaf', flush=True); time.sleep(60)"
)
PARENT = (
    "import subprocess, sys, time;"
    " child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    " print(child.pid, flush=True); time.sleep(60)"
)


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "home")
    yield made
    for name in made.names():
        made.stop_service(name, patience_s=1.0)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def first_line(supervisor: Supervisor, name: str) -> str:
    for _ in range(200):
        if lines := supervisor.log_tail(name):
            return lines[0]
        time.sleep(0.02)
    raise AssertionError("it printed nothing")


def test_a_process_is_known_again_by_another_supervisor(supervisor: Supervisor) -> None:
    running = supervisor.start_service("worker", python(SLEEP), {})
    again = Supervisor(supervisor.home)
    assert again.find("worker") == running
    assert again.start_service("worker", python(SLEEP), {}) == running
    assert again.names() == ["worker"]


def test_a_stopped_process_is_gone_and_forgotten(supervisor: Supervisor) -> None:
    running = supervisor.start_service("worker", python(SLEEP), {})
    supervisor.stop_service("worker")
    assert not running.alive
    assert supervisor.names() == []


def test_a_process_that_ignores_the_signal_is_killed(supervisor: Supervisor) -> None:
    running = supervisor.start_service("worker", python(STUBBORN), {})
    assert first_line(supervisor, "worker") == "deaf"
    supervisor.stop_service("worker", patience_s=0.3)
    assert not running.alive


@pytest.mark.parametrize("ask", [signal.SIGTERM, signal.SIGKILL])
def test_children_do_not_outlive_their_parent(supervisor: Supervisor, ask: signal.Signals) -> None:
    running = supervisor.start_service("worker", python(PARENT), {}, stop_signal=ask)
    child = int(first_line(supervisor, "worker"))
    assert birth_mark(child) is not None
    supervisor.stop_service("worker")
    assert not running.alive
    assert birth_mark(child) is None


def test_a_recycled_pid_is_never_touched(supervisor: Supervisor) -> None:
    running = supervisor.start_service("worker", python(SLEEP), {})
    path = supervisor.run / "worker.json"
    record = json.loads(path.read_text())
    # as if our process had ended and its number gone to another, born later
    path.write_text(json.dumps({**record, "birth": "another-boot:1"}))
    assert supervisor.find("worker") is None
    assert supervisor.crashed("worker")
    supervisor.stop_service("worker")
    assert psutil.Process(running.pid).is_running()
    assert stop(running.pid, running.birth, patience_s=5.0) is False
    assert not is_alive(running.pid, running.birth)


def test_a_process_that_ends_while_starting_shows_its_last_ten_lines(
    supervisor: Supervisor,
) -> None:
    code = "for n in range(30): print('line', n)\nraise SystemExit(3)"
    with pytest.raises(StageFailed, match="ended while starting") as failure:
        supervisor.start_service("worker", python(code), {}, ready=lambda: False)
    assert failure.value.log_tail == tuple(f"line {n}" for n in range(20, 30))
    assert str(supervisor.log_path("worker")) in failure.value.todo
    assert supervisor.names() == []


def test_a_process_that_never_gets_ready_is_stopped_again(supervisor: Supervisor) -> None:
    with pytest.raises(StageFailed, match="not ready after 0 s"):
        supervisor.start_service(
            "worker", python(SLEEP), {}, ready=lambda: False, ready_timeout_s=0.2
        )
    assert supervisor.names() == []


def test_a_program_that_is_not_there_is_named(supervisor: Supervisor) -> None:
    with pytest.raises(StageFailed, match="nowhere cannot be started"):
        supervisor.start_service("worker", ["/nowhere"], {})


def test_a_service_inherits_no_secret_and_its_log_is_private(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_TOKEN", "s3cret")
    code = "import os; print(sorted(os.environ), flush=True); import time; time.sleep(60)"
    supervisor.start_service("worker", python(code), {"MAPLEBRIDGE_PRINCIPAL": "relay"})
    line = first_line(supervisor, "worker")
    assert "SOME_TOKEN" not in line
    assert "MAPLEBRIDGE_PRINCIPAL" in line
    assert stat.S_IMODE(os.stat(supervisor.log_path("worker")).st_mode) == 0o600


def test_a_wait_ends_when_all_is_given_up(supervisor: Supervisor) -> None:
    supervisor.cancelled.set()
    with pytest.raises(StageFailed, match="given up"):
        supervisor.start_service("worker", python(SLEEP), {}, ready=lambda: False)
    assert supervisor.names() == []


def test_two_commands_at_once_start_a_service_once(supervisor: Supervisor) -> None:
    other = Supervisor(supervisor.home)
    with ThreadPoolExecutor(2) as pool:
        tasks = [
            pool.submit(made.start_service, "worker", python(SLEEP), {})
            for made in (supervisor, other)
        ]
        first, second = (task.result() for task in tasks)
    assert first == second


def test_a_service_that_ran_before_is_not_stopped_by_a_vain_wait(supervisor: Supervisor) -> None:
    running = supervisor.start_service("worker", python(SLEEP), {})
    with pytest.raises(StageFailed, match="not ready"):
        supervisor.start_service(
            "worker", python(SLEEP), {}, ready=lambda: False, ready_timeout_s=0.1
        )
    assert running.alive
