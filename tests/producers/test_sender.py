"""The sender outlives every answer, and says so where it does not."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from maplebridge.access_policy.keytransport import BrokerPrivateKey, epoch_of
from maplebridge.access_policy.signatures import SigningKey
from maplebridge.errors import (
    InputError,
    KafkaUnavailable,
    KeyBrokerUnavailable,
    MapleBridgeError,
    RegistryUnavailable,
    SenderFailed,
)
from maplebridge.processors.subscriber import Subscriber
from maplebridge.producers import Department
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.sender import Sender
from maplebridge.schemas import RegistryClient
from maplebridge.settings import Settings
from tests.producers.bus import Bus
from tests.producers.cut_logins import SASL_AUTHENTICATE, SASL_HANDSHAKE, cut_at
from tests.producers.orders import envelope, order

TYPE = "hotline.order"
NONSENSE = [b"<html>", b"[]", b"7", b"null", b"{}", b'{"id": "x", "schema": 7}', b"[" * 100_000]


@contextmanager
def nonsense(body: bytes) -> Iterator[str]:
    """Answer everything with 200 and `body`; give the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def alone(home: Path, **changes: object) -> Settings:
    values: dict[str, object] = {
        "home": home,
        "principal": "dept-hotline",
        "secret": "of nobody",
        "kafka_bootstrap": "127.0.0.1:1",
        "registry_url": "http://127.0.0.1:1",
        "key_broker_public_key": BrokerPrivateKey.generate(epoch_of(datetime.now(UTC)))
        .public()
        .encode(),
        "signing_key": SigningKey.generate().encode(),
    }
    return Settings.model_validate({**values, **changes})


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("body", NONSENSE)
def test_an_answer_that_is_no_registrys_is_told_as_such(body: bytes) -> None:
    with nonsense(body) as url:
        registry = RegistryClient(url)
        for ask in (
            lambda: registry.id_of("topic-value", {"type": "string"}),
            lambda: registry.schema(1),
            lambda: registry.compatibility("topic-value"),
        ):
            with pytest.raises(RegistryUnavailable, match="makes no sense"):
                ask()
        registry.close()


def test_an_address_that_is_no_url_is_refused_when_the_department_opens(tmp_path: Path) -> None:
    settings = alone(tmp_path)
    wrong = settings.model_copy(update={"registry_url": "http://127.0.0.1:port"})
    with pytest.raises(InputError, match="MAPLEBRIDGE_REGISTRY_URL"):
        Department("hotline", settings=wrong).open()


def test_with_nonsense_from_the_registry_and_the_broker_events_wait_and_the_cause_is_told(
    tmp_path: Path,
) -> None:
    with nonsense(b"<html>") as url:
        for name, changes, error in (
            ("registry", {"registry_url": url}, RegistryUnavailable),
            ("broker", {"key_broker_url": url, "key_broker_public_key": ""}, KeyBrokerUnavailable),
        ):
            department = Department("hotline", settings=alone(tmp_path / name, **changes)).open()
            department.publish(TYPE, order(), **envelope())
            with pytest.raises(error, match="makes no sense"):
                department.flush(2)
            assert department.waiting == 1
            department.close(0)


def test_a_defect_is_told_and_the_sender_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failing(_: Sender) -> None:
        raise ZeroDivisionError

    department = Department("hotline", settings=alone(tmp_path)).open()
    with monkeypatch.context() as patch:
        patch.setattr(Sender, "_step", failing)
        until(lambda: "ZeroDivisionError" in caplog.text)
        department.publish(TYPE, order(), **envelope())
        with pytest.raises(SenderFailed, match="ZeroDivisionError"):
            department.flush(1)
    until(lambda: _told_by(department) is not SenderFailed)
    assert department.waiting == 1
    department.close(0)


def _told_by(department: Department) -> type[MapleBridgeError]:
    parts = department._parts
    assert parts is not None
    return type(parts.sender.why_waiting())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_sender_that_has_ended_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ending(_: Sender) -> None:
        raise SystemExit

    monkeypatch.setattr(Sender, "_step", ending)
    department = Department("hotline", settings=alone(tmp_path)).open()
    department.publish(TYPE, order(), **envelope())
    began = time.monotonic()
    with pytest.raises(SenderFailed, match="has ended"):
        department.flush(60)
    assert time.monotonic() - began < 30
    with pytest.raises(SenderFailed, match="1 event waits"):
        _ = department.waiting
    department.close(0)


def test_a_delivery_awaited_in_a_loop_that_was_closed_harms_nobody(tmp_path: Path) -> None:
    department = Department("hotline", settings=alone(tmp_path)).open()
    delivery = department.publish(TYPE, order(), **envelope())

    async def wait(given: Delivery) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_settled(given), 0.05)

    asyncio.run(wait(delivery))
    delivery.tell()
    department.close(0)


async def _settled(delivery: Delivery) -> None:
    await delivery


@pytest.mark.parametrize("request_key", [SASL_HANDSHAKE, SASL_AUTHENTICATE])
def test_a_login_that_a_stopping_broker_cuts_off_is_an_outage_and_no_wrong_secret(
    bus: Bus, tmp_path: Path, request_key: int
) -> None:
    """F3."""
    settings = bus.settings("dept-hotline", tmp_path)
    with cut_at(request_key, settings.kafka_bootstrap) as address:
        settings = settings.model_copy(update={"kafka_bootstrap": address})
        hotline = Department("hotline", settings=settings).open()
        hotline.publish(TYPE, order(), **envelope())
        with pytest.raises(KafkaUnavailable, match=r"waits? in the spool"):
            hotline.flush(3)
        hotline.close(0)
        app = bus.settings("app-city-dashboard", tmp_path, kafka_bootstrap=address)
        reader = Subscriber("city-dashboard", purpose="service_improvement", settings=app)
        with reader, pytest.raises(KafkaUnavailable):
            poll_for(reader, 20)


def poll_for(reader: Subscriber, seconds: int) -> None:
    for _ in range(seconds):
        reader.poll(1)
