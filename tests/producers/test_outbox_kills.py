"""Whatever is killed, every committed row of the outbox is in the projections, and counted once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import psutil
import psycopg
import pytest

from maplebridge.localstack import Progress, Stack, Supervisor
from maplebridge.localstack.postgresql import NAME as POSTGRESQL
from maplebridge.localstack.postgresql import PostgresServer
from maplebridge.producers.outbox.event_ids import event_id_of
from maplebridge.settings import Profile
from tests.processors.lanes import Lane
from tests.producers.department_database import DepartmentDatabase, insert, make_database

ROWS = 1_000
KILLS = 10
KILL_POSTGRESQL = (2, 6)
KILL_KAFKA = 4
PATIENCE_S = 120


class Server:
    """The PostgreSQL of the department alone."""

    def __init__(self, profile: Profile, home: Path) -> None:
        self.profile = profile.model_copy(
            update={"home": home, "postgres_port": profile.postgres_port + 7}
        )
        self.supervisor = Supervisor(home)
        self._server = PostgresServer(self.supervisor)

    def up(self) -> None:
        with Progress().stage(POSTGRESQL) as stage:
            self._server.up(self.profile, stage)

    def kill(self) -> None:
        kill(self.supervisor, POSTGRESQL)

    def down(self) -> None:
        self.supervisor.stop_service(POSTGRESQL)


def kill(supervisor: Supervisor, name: str) -> None:
    """Kill a server with its children: another one cannot start beside those."""
    running = supervisor.find(name)
    assert running is not None
    process = psutil.Process(running.pid)
    family = [process, *process.children(recursive=True)]
    for each in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    # a server does not start while its lock file names a process, were it a dead one
    process.wait(20)


@pytest.fixture
def server(provisioned: Profile, tmp_path: Path) -> Iterator[Server]:
    made = Server(provisioned, tmp_path / "department")
    made.up()
    try:
        yield made
    finally:
        made.down()


class Application(threading.Thread):
    """The department's own program: commits, rolls back, and tries again when cut off."""

    def __init__(self, database: DepartmentDatabase) -> None:
        super().__init__(daemon=True)
        self._database = database
        self._tried = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while self._tried < ROWS:
                with contextlib.suppress(psycopg.OperationalError):
                    self._write()
                time.sleep(0.05)
        except BaseException as failure:
            self.failure = failure

    def _write(self) -> None:
        with self._database.connect(connect_timeout=2) as connection:
            while self._tried < ROWS:
                self._tried += 1
                # cut off at its commit, nobody knows whether it is there: the next one is new
                row_id = str(uuid.uuid4())
                insert(connection, f"kill/{row_id}", row_id=row_id)
                if self._tried % 7 == 3:
                    connection.rollback()
                else:
                    connection.commit()
                time.sleep(0.002)


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start relays as processes; none outlives the test."""
    started: list[subprocess.Popen[bytes]] = []

    def make(
        database: DepartmentDatabase, file: Path, home: Path, *more: str
    ) -> subprocess.Popen[bytes]:
        started.append(popen(database, file, home, *more))
        return started[-1]

    yield make
    for relay in started:
        relay.kill()
        relay.wait()


def popen(
    database: DepartmentDatabase, file: Path, home: Path, *more: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "maplebridge", "relay", str(file), "--home", str(home), *more],
        env={
            **os.environ,
            "MAPLEBRIDGE_RELAY_DSN": database.dsn(database.relay),
            "PGPASSWORD": database.password,
        },
        stdout=subprocess.DEVNULL,
    )


def waiting(database: DepartmentDatabase) -> int:
    try:
        return int(database.rows("SELECT count(*) FROM outbox_relay_queue")[0][0])
    except psycopg.OperationalError:
        return -1


@pytest.mark.timeout(600)
def test_every_committed_row_is_counted_once_however_the_relay_and_the_servers_die(
    stack: Stack,
    provisioned: Profile,
    server: Server,
    lanes: Callable[..., Lane],
    start: Start,
    tmp_path: Path,
) -> None:
    """F1, F3, F4: SIGKILL of the relay at ten seeded points, of PostgreSQL and of Kafka between."""
    random = Random(20260418)
    lane = lanes()
    database = make_database(server.profile)
    plan = database.plan(tmp_path)
    database.install(plan)
    application = Application(database)
    application.start()
    for number in range(KILLS):
        relay = start(database, plan.path, provisioned.home)
        await_relayed(database, relay, random.randrange(20, 90))
        time.sleep(random.random() * 0.05)
        if number in KILL_POSTGRESQL:
            server.kill()
        if number == KILL_KAFKA:
            kill(stack.supervisor, "kafka")
        relay.kill()
        assert relay.wait() == -signal.SIGKILL
        if number in KILL_POSTGRESQL:
            server.up()
        if number == KILL_KAFKA:
            stack.up()
    application.join(PATIENCE_S)
    assert not application.is_alive()
    assert application.failure is None
    last = start(database, plan.path, provisioned.home, "--once")
    assert last.wait(PATIENCE_S) == 0
    assert waiting(database) == 0
    assert database.rows("SELECT * FROM outbox_relay_reject") == []

    committed = database.rows("SELECT id, payload ->> 'case_ref' FROM outbox")
    assert len(committed) > ROWS * 0.8
    written = lane.combine()
    found = lane.rows("SELECT event_id::text, case_ref FROM events")
    assert sorted(found) == sorted(expected(committed))
    assert written.dead_lettered == 0
    assert lane.rows("SELECT sum(events)::int FROM community_hour_tallies") == [(len(committed),)]


def await_relayed(database: DepartmentDatabase, relay: subprocess.Popen[bytes], count: int) -> None:
    """Wait until so many rows have left the queue; new ones keep coming."""
    gone = "SELECT (SELECT count(*) FROM outbox) - (SELECT count(*) FROM outbox_relay_queue)"
    before = database.rows(gone)[0][0]
    deadline = time.monotonic() + 30
    while database.rows(gone)[0][0] < before + count:
        assert relay.poll() is None
        if time.monotonic() > deadline or waiting(database) == 0:
            return
        time.sleep(0.005)


def expected(committed: list[tuple[Any, ...]]) -> list[tuple[str, str]]:
    """Return (event id, case) of each row: the id that the row has in every run."""
    return [
        (event_id_of(row_id, "hotline", "hotline.order"), case_ref)
        for row_id, case_ref in committed
    ]
