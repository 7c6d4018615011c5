"""Overdue anchoring on the running city: nothing leaves, nothing is lost, and it goes on."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from maplebridge.city import up
from maplebridge.errors import KeyBrokerUnavailable
from maplebridge.localstack import Progress, Stack
from maplebridge.producers import Department
from maplebridge.projections.store import connect
from maplebridge.settings import Profile
from tests.access_policy.witnesses import WitnessProcess, witness_process
from tests.city.test_deliver import committed, views_of
from tests.processors.lanes import Kafka, await_true
from tests.processors.made_events import AT, communities, mediation
from tests.system.stack_user import TOWN, User

APPS = ("city-dashboard", "town-mediation", "data-officer")
"""The first needs no key and no token, so it can be asked while none is released."""
HERE = communities()[20]
LIMIT_S = 5.0
MANY = 60
NAME = "枫甲乙"


@pytest.fixture
def user(city: Profile, stack: Stack) -> User:
    return User(stack.home)


@pytest.fixture
def witness(city: Profile, stack: Stack, user: User, tmp_path: Path) -> Iterator[WitnessProcess]:
    """A witness of the city, whose quorum is 1 and whose limit is five seconds."""
    with witness_process(tmp_path / "w", name="w.court", log=user.profile.audit_public_key) as made:
        assert user.run("witness", "add", made.key, made.url).code == 0
        restart(stack)
        ran = user.run("audit", "require", "--quorum", 1, "--overdue-s", LIMIT_S, "--json")
        assert ran.last == {"quorum": 1, "overdue_s": LIMIT_S}
        yield made
        assert user.run("audit", "require", "--quorum", 0, "--overdue-s", 0).code == 0
        assert user.run("witness", "remove", "w.court").code == 0
    restart(stack)


@pytest.fixture
def case(city: Profile) -> str:
    """A case with a sealed name, on its way to the centre; nobody has asked for its key."""
    with Department("justice", settings=city.settings("dept-justice")) as justice:
        event_id = justice.publish(
            "mediation.case",
            {
                "case_no": "M1",
                "kind": "people",
                "centre_level": "town_position",
                "dispute_type": "neighbour",
                "source": "walk_in",
                "state": "applied",
                "party_count": 1,
                "parties": [{"role": "applicant", "name": NAME}],
            },
            community=HERE,
            transition="applied",
            occurred_at=datetime(2026, 3, 2, 1, tzinfo=UTC),
            case_ref=f"CASE-{uuid.uuid4().hex}",
            purpose="dispute_resolution",
            legal_basis="statutory_duty",
        ).event_id
    await_true(lambda: len(views_of(city, "city-dashboard", {event_id})) == 1)
    return event_id


def restart(stack: Stack) -> None:
    stack.supervisor.stop_service("audit")
    up(stack, Progress())


def is_witnessed(user: User) -> bool:
    told = user.run("audit", "verify", "--json").last
    return bool(told["witnessed"] == told["leaves"])


@pytest.mark.parametrize("killed", ["audit", "witness"])
def test_while_anchoring_is_overdue_nothing_is_released_and_then_each_view_once(
    city: Profile,
    stack: Stack,
    user: User,
    kafka: Kafka,
    witness: WitnessProcess,
    case: str,
    killed: str,
) -> None:
    """T12, T13, F11: no view, no key, no row, while the service or its witness is dead."""

    def kill() -> None:
        if killed == "witness":
            witness.kill()
            return
        running = stack.supervisor.find("audit")
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)

    start: Callable[[], object] = (
        witness.start if killed == "witness" else lambda: up(stack, Progress())
    )
    query = ("query", "cases", *TOWN, "--limit", 1)
    assert user.run(*query).code == 0
    await_true(lambda: is_witnessed(user))
    kill()
    # a reading within the limit: its own leaf is what waits from now on
    assert user.run(*query).code == 0
    time.sleep(LIMIT_S + 1)

    ran = user.run(*query)
    assert ran.code == 5
    assert "nothing is released" in ran.err
    assert "maplebridge witness list" in ran.err
    with pytest.raises(KeyBrokerUnavailable, match="nothing is released"):
        views_of(city, "town-mediation", {case})
    held = {app: len(committed(city, f"mb.out.{app}")) for app in APPS}
    events = [
        mediation({"parties": []}, community=HERE, occurred_at=AT + number)
        for number in range(MANY)
    ]
    ids = {each["meta"]["event_id"] for each in events}
    kafka.publish(events)
    with connect(city.settings("admin")) as connection:
        await_true(lambda: connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,))
    await_true(lambda: "nothing is released" in "\n".join(stack.supervisor.log_tail("deliver")))
    assert {app: len(committed(city, f"mb.out.{app}")) for app in APPS} == held

    start()
    for app in APPS:
        await_true(lambda app=app: len(views_of(city, app, ids)) >= MANY)  # type: ignore[misc]
        delivered = [view.event_id for view in views_of(city, app, ids)]
        assert len(delivered) == len(set(delivered)) == MANY
    assert user.run(*query).code == 0
    (opened,) = views_of(city, "town-mediation", {case})
    assert opened.fields["parties"][0]["name"] == NAME
    await_true(lambda: is_witnessed(user))
