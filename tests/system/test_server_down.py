"""With a server down, each command says which one and what to do, and the city goes on after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from maplebridge import Department, Subscriber
from maplebridge.errors import KafkaUnavailable, KeyBrokerUnavailable, RegistryUnavailable
from tests.system.stack_user import DASHBOARD, EXAMPLES, TOWN, User, order, write_lines

SECONDS = 15
UNAVAILABLE, NOT_RUNNING = 5, 6
IMPORT = (
    "import",
    EXAMPLES / "hotline" / "orders.csv",
    "--mapping",
    EXAMPLES / "hotline" / "orders.yaml",
)
WATCH = ("watch", "mediation.case", *TOWN, "--no-follow", "--limit", 1)
QUERY = ("query", "warnings", *DASHBOARD)
AUDIT = ("audit", "search"), ("audit", "verify"), ("audit", "export")
REPLAYS = (
    ("projection", "rebuild"),
    ("projection", "verify"),
    ("backup", "made"),
    ("restore", "made"),
)

NEEDING: dict[str, list[tuple[object, ...]]] = {
    "kafka": [("publish",), WATCH, ("acl", "sync"), *REPLAYS],
    # what a department publishes waits for no registry: its schemas' ids are remembered
    "registry": [("schema", "register"), *REPLAYS],
    "postgresql": [QUERY, *AUDIT, ("projection", "status"), ("deadletter", "list"), *REPLAYS],
    "key-broker": [WATCH],
}
NAMES = {
    "kafka": "kafka",
    "registry": "registry",
    "postgresql": "postgresql",
    "key-broker": "key",
}


@contextmanager
def _stopped(user: User, server: str) -> Iterator[None]:
    user.supervisor.stop_service(server)
    try:
        yield
    finally:
        ran = user.run("up", timeout_s=120)
        assert ran.code == 0, ran.said


def _whole(command: tuple[object, ...], folder: Path) -> tuple[object, ...]:
    if command == ("publish",):
        file = write_lines(folder / "one.jsonl", order(time.time_ns()))
        return ("publish", "hotline.order", file)
    if command == IMPORT:
        return (*IMPORT, "--rejects", folder / "rejects.csv")
    if command == ("audit", "export"):
        return (*command, folder / "log.jsonl")
    return command


@pytest.mark.parametrize("server", NEEDING)
def test_every_command_that_needs_a_stopped_server_names_it_and_what_to_do(
    user: User, server: str, tmp_path: Path
) -> None:
    faults = []
    with _stopped(user, server):
        for command in NEEDING[server]:
            ran = user.run(*_whole(command, tmp_path))
            message, _, todo = ran.err.partition("\n")
            fits = (
                ran.code in (UNAVAILABLE, NOT_RUNNING)
                and NAMES[server] in message.lower()
                and "maplebridge" in todo
                and "Traceback" not in ran.said
                and ran.seconds < SECONDS
            )
            if not fits:
                faults.append((command[:2], ran))
        status = user.run("status", "--json")
    assert not faults
    assert status.code == NOT_RUNNING
    assert status.last[server]["state"] == "stopped"
    assert status.last[server]["address"]


def _publish(department: Department, number: int) -> None:
    line = order(number)
    fields = line.pop("fields")
    line["occurred_at"] = datetime.now(UTC) - timedelta(hours=1)
    department.publish("hotline.order", fields, **line)


def _combined_when_nothing_waits(user: User) -> int:
    """Return how many events are combined once every spool is empty."""
    for department in ("hotline", "grid"):
        assert user.run("spool", "drain", department).code == 0
    last, now = -1, int(user.totals()["combined"])
    while last != now:
        time.sleep(1)
        last, now = now, int(user.totals()["combined"])
    return now


def _in_time(call: Callable[[], object], error: type[Exception]) -> None:
    began = time.monotonic()
    with pytest.raises(error):
        call()
    assert time.monotonic() - began < SECONDS


def test_the_sdk_says_that_kafka_is_down_and_all_it_took_goes_out_when_it_is_back(
    user: User,
) -> None:
    settings = user.profile.settings("dept-hotline")
    before = _combined_when_nothing_waits(user)
    with Department("hotline", settings=settings) as department:
        _publish(department, time.time_ns())
        department.flush()
        with _stopped(user, "kafka"):
            _publish(department, time.time_ns())
            _in_time(lambda: department.flush(3), KafkaUnavailable)
            grid = Department("grid", settings=user.profile.settings("dept-grid")).open()
            _publish_grid(grid)
            _in_time(lambda: grid.close(3), KafkaUnavailable)
        _publish(department, time.time_ns())
        department.flush()
    drained = user.run("spool", "drain", "grid", "--json")
    assert drained.code == 0, drained.said
    assert drained.last == {"sent": 1}
    assert user.wait_for_combined(before + 4)["combined"] == before + 4


def test_published_lines_wait_in_the_spool_and_are_told_of(user: User, tmp_path: Path) -> None:
    before = user.totals()["combined"]
    with _stopped(user, "kafka"):
        one = write_lines(tmp_path / "one.jsonl", order(time.time_ns()))
        ran = user.run("publish", "hotline.order", one, "--json")
        assert ran.code == UNAVAILABLE
        assert "spool drain" in ran.objects[-1]["todo"]
        assert ran.objects[-2] == {"rows": 1, "published": 1, "rejected": 0, "waiting": 1}
        two = write_lines(tmp_path / "two.jsonl", order(time.time_ns()))
        assert user.run("publish", "hotline.order", two, "--no-wait").code == 0
        status = user.run("spool", "status", "hotline", "--json").last
        assert (status["waiting"], status["refused"]) == (2, 0)
        assert status["by_type"] == {"hotline.order": 2}
        assert user.run("spool", "list", "hotline").out == ""
        for command in ("retry", "discard"):
            assert user.run("spool", command, "hotline", "--all", "--json").code == 0
            assert user.run("spool", command, "hotline", "no-such-id").code == 3
        assert user.run("spool", "drain", "hotline").code == UNAVAILABLE
    assert user.run("spool", "drain", "hotline", "--json").last == {"sent": 2}
    assert user.wait_for_combined(before + 2)["combined"] == before + 2


def test_a_subscriber_says_that_kafka_is_down_and_goes_on_when_it_is_back(user: User) -> None:
    settings = user.profile.settings("app-town-mediation")
    group = f"town-mediation.down-{time.time_ns()}"
    with Subscriber(
        "town-mediation", purpose="dispute_resolution", settings=settings, group=group
    ) as subscriber:
        assert _first(subscriber)
        # with views in hand the key broker is asked, and says first that Kafka is down
        while not subscriber.at_end:
            subscriber.poll(1.0)
        with _stopped(user, "kafka"):
            _in_time(lambda: [subscriber.poll(1.0) for _ in range(SECONDS)], KafkaUnavailable)
        with Department("hotline", settings=user.profile.settings("dept-hotline")) as department:
            _publish(department, time.time_ns())
        assert _first(subscriber)


def _first(subscriber: Subscriber) -> bool:
    """Tell whether a view comes within a minute."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if subscriber.poll(1.0):
                return True
        except (KafkaUnavailable, KeyBrokerUnavailable):  # until it knows the grants again
            continue
    return False


def test_with_the_registry_down_known_schemas_go_out_and_new_ones_wait(
    user: User, tmp_path: Path
) -> None:
    settings = user.profile.settings("dept-hotline")
    fresh = user.profile.settings("dept-grid").model_copy(update={"home": tmp_path})
    before = user.totals()["combined"]
    with Department("hotline", settings=settings) as known:
        _publish(known, time.time_ns())
        known.flush()
        with _stopped(user, "registry"):
            # a schema that was looked up once is not asked for again
            _publish(known, time.time_ns())
            known.flush()
            grid = Department("grid", settings=fresh).open()
            _publish_grid(grid)
            _in_time(lambda: grid.close(3), RegistryUnavailable)
    with Department("grid", settings=fresh):
        pass
    user.wait_for_combined(before + 3)


def _publish_grid(department: Department) -> None:
    department.publish(
        "grid.case",
        {
            "case_no": "G1",
            "part_or_event": "event",
            "class_code": "appearance",
            "state": "collected",
        },
        community="330681001001",
        transition="collected",
        occurred_at=datetime.now(UTC),
        purpose="case_handling",
        legal_basis="statutory_duty",
    )


def test_publishing_goes_on_without_the_key_broker_and_reading_after_it(user: User) -> None:
    before = user.totals()["combined"]
    app = user.profile.settings("app-town-mediation")
    with _stopped(user, "key-broker"):
        with Department("hotline", settings=user.profile.settings("dept-hotline")) as department:
            for number in range(20):
                _publish(department, time.time_ns() + number)
        user.wait_for_combined(before + 20)
        group = f"town-mediation.keys-{time.time_ns()}"
        with Subscriber(
            "town-mediation", purpose="dispute_resolution", settings=app, group=group
        ) as subscriber:
            _in_time(lambda: [subscriber.poll(1.0) for _ in range(SECONDS)], KeyBrokerUnavailable)
    with Subscriber(
        "town-mediation", purpose="dispute_resolution", settings=app, group=group
    ) as subscriber:
        assert _first(subscriber)


def test_what_is_published_while_postgresql_is_down_is_combined_after(user: User) -> None:
    before = user.totals()["combined"]
    with Department("hotline", settings=user.profile.settings("dept-hotline")) as department:
        # the registry keeps its schemas in PostgreSQL: one looked up before is not asked for
        _publish(department, time.time_ns())
        department.flush()
        with _stopped(user, "postgresql"):
            for number in range(20):
                _publish(department, time.time_ns() + number)
            department.flush()
    after = user.wait_for_combined(before + 21)
    assert after["combined"] == before + 21


@pytest.mark.parametrize(
    ("server", "occurred_at"),
    [("postgresql", "2026-03-02T10:00:00+08:00"), ("kafka", "2026-03-05T10:00:00+08:00")],
)
def test_after_a_server_was_down_the_reaction_goes_on(
    user: User, tmp_path: Path, server: str, occurred_at: str
) -> None:
    with _stopped(user, server):
        pass
    before = user.totals()["warnings"]
    urgent = {"category": "gas", "urgency": "emergency"}
    lines = [
        {**order(time.time_ns() + number, **urgent), "occurred_at": occurred_at}
        for number in range(3)
    ]
    assert user.run("publish", "hotline.order", write_lines(tmp_path / "o", *lines)).code == 0
    deadline = time.monotonic() + 45
    while user.totals()["warnings"] == before:
        assert time.monotonic() < deadline, user.supervisor.log_tail("react")
