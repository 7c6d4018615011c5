"""The key broker's public key ends with its week; a department asks for the next one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from maplebridge.access_policy.broker.epochs import ensure_epoch
from maplebridge.access_policy.broker.http import create_app
from maplebridge.access_policy.broker.intake import Announcement, Intake
from maplebridge.access_policy.keytransport import TOPIC as KEYS_TOPIC
from maplebridge.access_policy.keytransport import epoch_of
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.errors import KeyBrokerUnavailable
from maplebridge.producers import Department
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.settings import Settings
from tests.access_policy.test_broker_servers import Site
from tests.producers.bus import Bus, Record
from tests.producers.orders import envelope, order

TYPE = "hotline.order"
WEEK = timedelta(days=7)
CODEC = AvroCodec(load_schema("control/keys.master.created.v1"), 0)


def now() -> datetime:
    return datetime.now(UTC)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(site: Site, port: int) -> Iterator[None]:
    """Run the key broker's HTTP."""
    app = create_app(site.broker(lambda record: None))
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield
    finally:
        server.should_exit = True
        thread.join()


def set_clock(department: Department, clock: Callable[[], datetime]) -> None:
    """Move the clock by which an open department knows which week it is."""
    assert department._parts is not None
    department._parts.sender._announcer._broker_key._now = clock


def publish(department: Department, number: int) -> Any:
    """Publish an order of somebody new, in a new case: two new masters."""
    fields = order(caller_phone=f"1000000{number:04d}")
    return department.publish(TYPE, fields, **envelope(case_ref=f"week/{number}"))


def announced(records: list[Record]) -> list[str]:
    return [CODEC.decode(each.value)["epoch"] for each in records]


@pytest.fixture
def settings(bus: Bus, site: Site, tmp_path: Path) -> Settings:
    """A department whose bundle is of last week, and a key broker that is down."""
    last = ensure_epoch(site.admin, site.files(), now=now() - WEEK)
    return bus.settings(
        "dept-hotline",
        tmp_path / "hotline",
        key_broker_public_key=last.encode(),
        key_broker_url=f"http://127.0.0.1:{free_port()}",
    )


def port_of(settings: Settings) -> int:
    return int(settings.key_broker_url.rpartition(":")[2])


def test_when_the_week_is_over_masters_wait_for_the_brokers_new_key(
    bus: Bus, site: Site, settings: Settings
) -> None:
    """F10: the process goes on, and so does the broker, which makes the new epoch itself."""
    since = bus.ends(KEYS_TOPIC)
    with Department("hotline", settings=settings) as hotline:
        set_clock(hotline, lambda: now() - WEEK)
        publish(hotline, 1).result(10)
        set_clock(hotline, now)
        waits = publish(hotline, 2)
        with pytest.raises(KeyBrokerUnavailable, match="1 event waits"):
            waits.result(3)
        assert announced(bus.read(KEYS_TOPIC, since)) == [epoch_of(now() - WEEK)]
        with serving(site, port_of(settings)):
            waits.result(20)
        publish(hotline, 3).result(10)
    records = bus.read(KEYS_TOPIC, since)
    this_week = epoch_of(now())
    assert announced(records) == [epoch_of(now() - WEEK), this_week, this_week]
    intake = Intake(
        site.settings,
        site.broker(lambda record: None).vault,
        decode=CODEC.decode,
        signatures=SignatureVerifier(SigningKeyDirectory(bus.profile.settings("key-broker"))),
    )
    at = int(now().timestamp() * 1_000_000)
    intake.take([Announcement(r.topic, r.partition, r.offset, r.key, r.value, at) for r in records])
    assert (intake.counts.masters, intake.counts.refused) == (6, 0)


def test_what_the_broker_gave_this_week_serves_another_process_while_it_is_away(
    bus: Bus, site: Site, settings: Settings
) -> None:
    with serving(site, port_of(settings)), Department("hotline", settings=settings) as hotline:
        publish(hotline, 4).result(10)
    since = bus.ends(KEYS_TOPIC)
    with Department("hotline", settings=settings) as hotline:
        publish(hotline, 5).result(10)
    assert announced(bus.read(KEYS_TOPIC, since)) == [epoch_of(now())]
    department = Department("hotline", settings=settings).open()
    try:
        set_clock(department, lambda: now() + WEEK)
        with pytest.raises(KeyBrokerUnavailable):
            publish(department, 6).result(2)
    finally:
        department.close(0)


def test_a_department_whose_clock_is_a_week_ahead_uses_the_key_that_the_broker_names(
    bus: Bus, site: Site, settings: Settings
) -> None:
    """F9."""
    since = bus.ends(KEYS_TOPIC)
    with serving(site, port_of(settings)), Department("hotline", settings=settings) as hotline:
        set_clock(hotline, lambda: now() + WEEK)
        publish(hotline, 7).result(10)
        publish(hotline, 8).result(10)
    assert announced(bus.read(KEYS_TOPIC, since)) == [epoch_of(now())] * 2
