"""A server's disk is full: it stops or refuses and says so, and goes on when there is room.

The servers and services of a city of their own, whose Kafka and PostgreSQL have small disks.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from maplebridge.access_policy.audit.leaf import Leaf
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.audit.store import connect as connect_audit
from maplebridge.city import up
from maplebridge.errors import (
    AuditUnavailable,
    KafkaUnavailable,
    KeyBrokerUnavailable,
)
from maplebridge.localstack import Progress, Stack
from maplebridge.localstack.layout import claim
from maplebridge.producers import Department
from maplebridge.projections.store import connect
from maplebridge.rebuild import verify
from maplebridge.settings import Profile
from tests.city.test_deliver import committed, views_of
from tests.conftest import OwnPorts
from tests.disks.small_disks import Disk, disks
from tests.processors.lanes import await_true
from tests.processors.made_events import communities
from tests.producers.orders import envelope, order
from tests.system.stack_user import TOWN, User

AT = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass(frozen=True)
class SmallCity:
    """A city that runs on small disks."""

    stack: Stack
    profile: Profile
    kafka: Disk
    postgresql: Disk

    @property
    def user(self) -> User:
        return User(self.stack.home)

    def publish(self, home: Path, count: int) -> tuple[Department, list[str]]:
        """Return the department, open, and the ids of what its spool took."""
        settings = self.profile.settings("dept-hotline").model_copy(update={"home": home})
        hotline = Department("hotline", settings=settings).open()
        run = f"full-{time.time_ns()}"
        ids: list[str] = []
        for first in range(0, count, 250):
            told = [
                {
                    "event_type": "hotline.order",
                    "fields": order(order_no=f"{run}-{number}"),
                    **envelope(
                        case_ref=f"{run}/{number}", occurred_at=AT + timedelta(minutes=number)
                    ),
                }
                for number in range(first, min(first + 250, count))
            ]
            ids += [each.event_id for each in hotline.publish_many(told)]
        return hotline, ids

    def combined(self, ids: Sequence[str]) -> int:
        with connect(self.profile.settings("admin")) as connection:
            row = connection.execute(
                "SELECT count(*) FROM events WHERE event_id = ANY(%s)", [list(ids)]
            ).fetchone()
        return int(row[0]) if row else 0

    def log(self, name: str) -> str:
        return self.stack.supervisor.log_path(name).read_text("utf-8", "replace")

    def await_log(self, name: str, sentence: str) -> None:
        """Wait until a service's log holds the sentence."""
        deadline = time.monotonic() + 60
        while sentence not in self.log(name):
            assert time.monotonic() < deadline, f"{name} does not say {sentence!r}"
            time.sleep(0.1)

    def told(self, name: str) -> tuple[str, str]:
        """Return a server's state and what `maplebridge status` says beside it."""
        found = self.user.run("status", "--json").last[name]
        return found["state"], found["detail"]


@pytest.fixture(scope="module")
def small_city(
    tmp_path_factory: pytest.TempPathFactory, own_ports: OwnPorts
) -> Iterator[SmallCity]:
    home = tmp_path_factory.mktemp("small") / "home"
    claim(home)
    stack = Stack(home, ports=own_ports(3))
    folders = stack.data_folders()
    try:
        with disks(folders["kafka"], folders["postgresql"]) as (kafka, postgresql):
            try:
                yield SmallCity(stack, up(stack, Progress()), kafka, postgresql)
            finally:
                stack.down()
    finally:
        stack.down(wipe=True)


@pytest.fixture
def small(small_city: SmallCity) -> Iterator[SmallCity]:
    """The city, whole and with room, whatever the test before left."""
    yield small_city
    for disk in (small_city.kafka, small_city.postgresql):
        disk.make_room()
    up(small_city.stack, Progress())


def check_all(small: SmallCity, ids: Sequence[str]) -> None:
    """Check L and D: each event is combined, once, and a clean replay comes to the same."""
    await_true(lambda: small.combined(ids) == len(ids))
    with connect(small.profile.settings("admin")) as connection:
        assert connection.execute("SELECT count(*) FROM dead_letters").fetchone() == (0,)
    assert verify(small.profile).difference is None


def tells_of(disk: Disk, detail: str) -> bool:
    told = (
        rf"its disk is full \(\d MB free\): make room at {re.escape(str(disk.folder))}, then run "
    )
    return re.match(told, detail) is not None


def doctor_says(small: SmallCity) -> str:
    ran = small.user.run("doctor", "--json")
    assert ran.code == 6
    assert ran.last["disk"]["state"] == "fail"
    return str(ran.last["disk"]["detail"])


def test_kafka_with_a_full_disk_stops_says_so_and_loses_nothing(
    small: SmallCity, tmp_path: Path
) -> None:
    """F8: events wait in the department's spool, and the services for Kafka; L and D hold."""
    hotline, before = small.publish(tmp_path, 500)
    hotline.close()
    small.kafka.fill()
    hotline, ids = small.publish(tmp_path, 3_000)
    await_true(lambda: small.stack.supervisor.find("kafka") is None)
    with pytest.raises(KafkaUnavailable, match="events wait in the spool"):
        hotline.flush(1)
    state, detail = small.told("kafka")
    assert state == "crashed"
    assert tells_of(small.kafka, detail)
    assert doctor_says(small).endswith(f" MB free at {small.kafka.folder}")
    silent = f"Kafka at {small.profile.kafka_bootstrap} does not answer"
    small.await_log("combine", f"{silent}; combine waits for it")
    small.await_log("deliver", f"deliver waits: {silent}")
    small.kafka.make_room()
    up(small.stack, Progress())
    hotline.flush(30)
    hotline.close()
    check_all(small, before + ids)


def test_postgresql_with_a_full_disk_refuses_then_stops_says_so_and_loses_nothing(
    small: SmallCity, tmp_path: Path
) -> None:
    """F8: first no table can grow, then not the journal either; L and D hold."""
    # without room a new connection may be refused already
    with connect(small.profile.settings("admin")) as early:
        small.postgresql.fill()
        hotline, ids = small.publish(tmp_path, 3_000)
        # Kafka has room: what the department sends is recorded, and waits to be combined
        hotline.close()
        full = f"PostgreSQL at 127.0.0.1:{small.profile.postgres_port} has no room left on its disk"
        small.await_log("combine", f"combine waits: {full}")
        state, detail = small.told("postgresql")
        assert state == "running"
        assert tells_of(small.postgresql, detail)
        assert doctor_says(small).endswith(f" MB free at {small.postgresql.folder}")

        with pytest.raises(psycopg.OperationalError):
            fill_journal(early)
    await_true(lambda: small.stack.supervisor.find("postgresql") is None)
    state, detail = small.told("postgresql")
    assert state == "crashed"
    assert tells_of(small.postgresql, detail)
    assert "No space left on device" in small.log("postgresql")

    small.postgresql.make_room()
    up(small.stack, Progress())
    check_all(small, ids)
    assert small.user.run("audit", "verify").code == 0


def fill_journal(connection: psycopg.Connection[Any]) -> None:
    """Let PostgreSQL begin files of its journal; raises OperationalError when it cannot."""
    for _ in range(200):
        connection.execute("SELECT pg_logical_emit_message(true, 'test', 'fill')")
        connection.execute("SELECT pg_switch_wal()")


@pytest.fixture
def audit_disk(small: SmallCity) -> Iterator[Disk]:
    """A disk that holds the audit log's leaves alone."""
    data = small.postgresql.folder
    with disks(data.with_name(f"{data.name}-audit")) as (disk,):
        owner = (data / "data").stat()
        space = disk.folder / "space"
        space.mkdir()
        for each in (disk.folder, space):
            os.chown(each, owner.st_uid, owner.st_gid)
        with connect_audit(small.profile.settings("admin")) as admin:
            place = sql.Literal(str(space))
            admin.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(place))
            admin.execute("ALTER TABLE audit.leaf SET TABLESPACE small")
        yield disk
        disk.make_room()
        with connect_audit(small.profile.settings("admin")) as admin:
            admin.execute("ALTER TABLE audit.leaf SET TABLESPACE pg_default")
            admin.execute("DROP TABLESPACE small")


def test_with_the_audit_logs_disk_full_nothing_is_released_until_there_is_room(
    small: SmallCity, audit_disk: Disk, tmp_path: Path
) -> None:
    """F8, T13: no view, no key and no row leaves; with room the views go out, each once."""
    case = sealed_case(small, tmp_path)
    await_true(lambda: len(views_of(small.profile, "town-mediation", {case})) == 1)
    with connect_audit(small.profile.settings("admin")) as admin:
        # PostgreSQL learns of the room in pages that services began: the leaves below fill it
        admin.execute("VACUUM audit.leaf")
    audit_disk.fill(left=0)
    with (
        AuditLog(small.profile.settings("deliver")) as log,
        pytest.raises(AuditUnavailable, match="has no room left on its disk"),
    ):
        fill_leaves(log)
    held = committed(small.profile, "mb.out.city-dashboard")

    hotline, ids = small.publish(tmp_path, 300)
    hotline.close()
    full = f"The audit log at 127.0.0.1:{small.profile.postgres_port}/maplebridge_audit has no room"
    small.await_log("deliver", f"deliver waits: {full}")
    await_true(lambda: small.combined(ids) == len(ids))
    with pytest.raises(KeyBrokerUnavailable, match="has no room left on its disk"):
        views_of(small.profile, "town-mediation", {case})
    asked = small.user.run("query", "cases", *TOWN)
    assert asked.code == 5
    assert full in asked.err
    assert asked.out == ""
    assert committed(small.profile, "mb.out.city-dashboard") == held

    audit_disk.make_room()
    await_true(lambda: len(views_of(small.profile, "city-dashboard", set(ids))) >= len(ids))
    delivered = [view.event_id for view in views_of(small.profile, "city-dashboard", set(ids))]
    assert sorted(delivered) == sorted(ids)
    (view,) = views_of(small.profile, "town-mediation", {case})
    assert view.fields["parties"][0]["name"] == "枫甲乙"
    assert small.user.run("audit", "verify").code == 0
    check_all(small, ids)


def sealed_case(small: SmallCity, home: Path) -> str:
    """Publish a mediation case with a sealed name in the centre's town; return its id."""
    settings = small.profile.settings("dept-justice").model_copy(update={"home": home})
    with Department("justice", settings=settings) as justice:
        return justice.publish(
            "mediation.case",
            {
                "case_no": "M1",
                "kind": "people",
                "centre_level": "town_position",
                "dispute_type": "neighbour",
                "source": "walk_in",
                "state": "applied",
                "party_count": 1,
                "parties": [{"role": "applicant", "name": "枫甲乙"}],
            },
            **envelope(community=communities()[20], transition="applied"),
        ).event_id


def fill_leaves(log: AuditLog) -> None:
    """Append small leaves; raises AuditUnavailable when there is no room for another."""
    for number in range(1_000):
        log.append([small_leaf(number)])


def small_leaf(number: int) -> Leaf:
    return Leaf(
        at=number + 1,
        action="access.delivered",
        who="deliver",
        on_behalf_of="nobody",
        purpose="audit",
        legal_basis="",
        decision="permit",
        rule="",
        policy_version="",
        resource="",
        fields=(),
        rows=0,
        communities=0,
        cover=None,
    )
