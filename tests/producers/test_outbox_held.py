"""Who holds the outbox: a relay that lives keeps others out, one that was lost only for a while."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest

from maplebridge.errors import InputError, OutboxHeld
from maplebridge.producers import Department
from maplebridge.producers.outbox import OutboxRelay, OutboxStore, RelayPlan
from maplebridge.settings import Profile
from tests.producers.department_database import DepartmentDatabase, insert, make_database

PATIENCE_S = 30.0


class Proxy:
    """A way to PostgreSQL that can be cut on the near side alone; the server hears nothing."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._near: list[socket.socket] = []
        self._far: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    def cut(self) -> None:
        """Break every connection that there is; new ones can be made."""
        for each in self._near:
            _break(each)

    def close(self) -> None:
        for each in (self._listener, *self._near, *self._far):
            _break(each)
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for each in (self._listener, *self._near, *self._far):
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._near.append(self._listener.accept()[0])
                self._far.append(socket.create_connection(self._target))
                near, far = self._near[-1], self._far[-1]
                self._begin(self._pass, near, far)
                self._begin(self._pass, far, near)

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)

    def _begin(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()


def _break(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def database(provisioned: Profile, tmp_path_factory: pytest.TempPathFactory) -> DepartmentDatabase:
    made = make_database(provisioned)
    made.install(made.plan(tmp_path_factory.mktemp("relay")))
    return made


@pytest.fixture
def plan(database: DepartmentDatabase, tmp_path: Path) -> RelayPlan:
    return database.plan(tmp_path)


@pytest.fixture
def proxy(database: DepartmentDatabase) -> Iterator[Proxy]:
    made = Proxy(database.host, database.port)
    yield made
    made.close()


def store(
    database: DepartmentDatabase, plan: RelayPlan, *, port: int | None = None, silent_s: float = 60
) -> OutboxStore:
    dsn = f"{database.dsn(database.relay)} password={database.password}"
    if port is not None:
        dsn += f" port={port}"
    return OutboxStore(dsn, plan, payload_max_bytes=100_000, silent_s=silent_s)


@contextmanager
def running(work: OutboxRelay) -> Iterator[list[BaseException]]:
    """Let a relay run beside the block; give what it ended with."""
    ended: list[BaseException] = []

    def run() -> None:
        try:
            work.run()
        except BaseException as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        work._stop.set()
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_empty(database: DepartmentDatabase) -> bool:
    return database.rows("SELECT count(*) FROM outbox_relay_queue") == [(0,)]


def add(database: DepartmentDatabase, name: str) -> None:
    with database.connect() as connection:
        insert(connection, name)


def test_a_relay_whose_connection_was_lost_waits_until_it_is_let_go_and_goes_on(
    database: DepartmentDatabase,
    plan: RelayPlan,
    proxy: Proxy,
    hotline: Department,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    work = OutboxRelay(plan, hotline, lambda: store(database, plan, port=proxy.port, silent_s=4.0))
    with running(work) as ended:
        add(database, "before")
        wait_until(lambda: is_empty(database))
        proxy.cut()
        add(database, "after")
        wait_until(lambda: is_empty(database))
        assert ended == []
    told = [record.getMessage() for record in caplog.records]
    (waits,) = [each for each in told if "waits for a lost connection" in each]
    assert "holds the outbox at 127.0.0.1" in waits
    assert told[-1] == "the relay goes on: the outbox is free"
    assert work.progress.relayed == 2


def test_a_relay_whose_connection_is_ended_by_the_database_goes_on(
    database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    work = OutboxRelay(plan, hotline, lambda: store(database, plan))
    with running(work) as ended:
        add(database, "before")
        wait_until(lambda: is_empty(database))
        with psycopg.connect(
            database.dsn(database.relay), password=database.password, autocommit=True
        ) as other:
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND pid <> pg_backend_pid()"
            )
        add(database, "after")
        wait_until(lambda: is_empty(database))
        assert ended == []


def test_a_second_relay_is_refused_while_the_first_lives(
    database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    first, second = (OutboxRelay(plan, hotline, lambda: store(database, plan)) for _ in range(2))
    with running(first) as ended:
        add(database, "one")
        wait_until(lambda: is_empty(database))
        with pytest.raises(InputError, match="another relay is at work"):
            second.run()
        for attempt in (second.run_once, second.retry):
            with pytest.raises(InputError, match="another relay is at work"):
                attempt()
        add(database, "two")
        wait_until(lambda: is_empty(database))
        assert ended == []
    assert second.run_once().relayed == 0


def test_who_holds_it_in_silence_is_waited_for_so_long_and_then_named(
    database: DepartmentDatabase, plan: RelayPlan, hotline: Department
) -> None:
    with store(database, plan) as silent:
        work = OutboxRelay(plan, hotline, lambda: store(database, plan), held_s=2.5)
        began = time.monotonic()
        with pytest.raises(InputError, match="for too long connection") as refused:
            work.run()
        assert 2.5 < time.monotonic() - began < 20
        pid = silent._db.info.backend_pid
        assert f"pg_terminate_backend({pid})" in refused.value.todo
        stopped = OutboxRelay(plan, hotline, lambda: store(database, plan))
        with running(stopped) as ended:
            time.sleep(0.5)
        assert ended == []
        with pytest.raises(OutboxHeld):
            store(database, plan)
    store(database, plan).__exit__()


def test_a_paused_relay_loses_the_outbox_and_finds_it_taken(
    database: DepartmentDatabase, plan: RelayPlan, hotline: Department, provisioned: Profile
) -> None:
    """F2: it is stopped past the limit of silence; another has taken over when it resumes."""
    script = """
import sys
from pathlib import Path
from maplebridge.producers.outbox import OutboxStore, load_plan
from maplebridge.schemas import load_catalogue, load_code_lists, load_regions
plan = load_plan(Path(sys.argv[1]), catalogue=load_catalogue(), codes=load_code_lists(),
                 regions=load_regions())
with OutboxStore(sys.argv[2], plan, payload_max_bytes=100_000, silent_s=3.0) as store:
    rows = store.read(10)
    print(len(rows), flush=True)
    sys.stdin.readline()
    store.conclude(rows, [], delete=False)
"""
    add(database, "paused")
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(plan.path), database.dsn(database.relay)],
        env={**os.environ, "PGPASSWORD": database.password},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.send_signal(signal.SIGSTOP)
        work = OutboxRelay(plan, hotline, lambda: store(database, plan))
        with running(work) as ended:
            wait_until(lambda: is_empty(database))
            add(database, "next")
            process.send_signal(signal.SIGCONT)
            _, complaint = process.communicate(b"\n", timeout=PATIENCE_S)
            wait_until(lambda: is_empty(database))
            assert ended == []
        assert b"StoreUnavailable" in complaint
        assert process.returncode == 1
        assert work.progress.relayed == 2
    finally:
        process.kill()
        process.wait()
