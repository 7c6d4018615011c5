"""TLS: the whole way of an event, who is refused, and that nothing answers in plain."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from maplebridge import Department, Subscriber
from maplebridge.access_policy.audit.store import connect as connect_audit
from maplebridge.access_policy.keyclient import KeyClient
from maplebridge.certs import issue, make_authority, open_authority
from maplebridge.errors import Unavailable
from maplebridge.projections.store import connect as connect_projections
from maplebridge.schemas import RegistryClient
from maplebridge.settings import Settings
from maplebridge.tls import client_context
from tests.system.stack_user import EXAMPLES, TOWN, User, order, write_lines

ALERT = b"\x15"
"""TLS 1.3, 5.1: the first byte of an alert."""
KAFKA_API_VERSIONS = bytes.fromhex("0000000a001200000000000700000000")
POSTGRESQL_SSL_REQUEST = struct.pack(">II", 8, 80877103)


def test_an_event_goes_the_whole_way(tls_user: User, tmp_path: Path) -> None:
    before = tls_user.totals()["combined"]
    file = write_lines(tmp_path / "orders.jsonl", order(1, caller_phone="10007797823"))
    assert tls_user.run("publish", "hotline.order", file).code == 0
    orders = EXAMPLES / "hotline"
    ran = tls_user.run(
        "import", orders / "orders.csv", "--mapping", orders / "orders.yaml",
        "--rejects", tmp_path / "rejects.csv", "--json",
    )  # fmt: skip
    assert ran.last["published"] == 16
    tls_user.wait_for_combined(before + 17)
    cases = tls_user.run("query", "cases", *TOWN, "--limit", 5, "--json")
    assert cases.code == 0
    assert len([each for each in cases.objects if "case_ref" in each]) == 5
    # through react's warning, deliver's own topic and the key broker's keys
    seen = tls_user.run("watch", "hotline.order", *TOWN, "--limit", 1, "--json")
    assert seen.code == 0, seen.said
    assert tls_user.run("audit", "verify").code == 0


def listening(user: User) -> set[int]:
    states = user.run("status", "--json").last
    parents = [psutil.Process(each["pid"]) for each in states.values()]
    family = [*parents, *(child for each in parents for child in each.children(recursive=True))]
    return {
        connection.laddr.port
        for process in family
        for connection in process.net_connections(kind="tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def said_to(port: int, words: bytes) -> bytes:
    """Return what a port answers to words in plain before it hangs up."""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as plain:
        plain.sendall(words)
        try:
            return plain.recv(200)
        except (TimeoutError, ConnectionResetError):
            return b""


def startup(user: str) -> bytes:
    body = struct.pack(">I", 196608) + f"user\0{user}\0database\0postgres\0\0".encode()
    return struct.pack(">I", len(body) + 4) + body


def test_no_port_of_the_city_answers_in_plain(tls_user: User) -> None:
    """T17: in the protocols of all servers, and each completes a handshake instead."""
    profile = tls_user.profile
    ports = listening(tls_user)
    assert len(ports) == 6
    trusted = client_context(profile.tls_ca)
    http = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for port in ports:
        if port == profile.postgres_port:
            # it says that it wants TLS, before it asks for a password
            answer = said_to(port, startup("mb_admin"))
            assert answer[:1] == b"E"
            assert b"C28000\0" in answer
        else:
            for words in (http, KAFKA_API_VERSIONS, startup("mb_admin")):
                assert said_to(port, words)[:1] in (b"", ALERT), (port, words)
        with socket.create_connection(("127.0.0.1", port), timeout=3) as plain:
            if port == profile.postgres_port:
                plain.sendall(POSTGRESQL_SSL_REQUEST)
                assert plain.recv(1) == b"S"
            with trusted.wrap_socket(plain, server_hostname="localhost") as secured:
                assert secured.version() in ("TLSv1.3", "TLSv1.2")


def to_kafka(settings: Settings) -> None:
    line = order(time.time_ns())
    fields, line["occurred_at"] = line.pop("fields"), datetime.now(UTC)
    department = Department("hotline", settings=settings).open()
    try:
        department.publish("hotline.order", fields, **line)
        department.flush(3)
    finally:
        department.close(0)


def to_registry(settings: Settings) -> None:
    RegistryClient(settings.registry_url, tls_ca=settings.tls_ca).subjects()


def to_key_broker(settings: Settings) -> None:
    with KeyClient(settings) as keys:
        keys.public_key()


def to_postgresql(settings: Settings) -> None:
    connect_projections(settings).close()


def to_audit_log(settings: Settings) -> None:
    connect_audit(settings).close()


def to_own_topic(settings: Settings) -> None:
    with Subscriber("town-mediation", purpose="dispute_resolution", settings=settings) as app:
        for _ in range(5):
            app.poll(0.5)


SERVERS: Mapping[str, tuple[Callable[[Settings], None], str, str]] = {
    "Kafka": (to_kafka, "dept-hotline", "kafka_bootstrap"),
    "Kafka, as an app": (to_own_topic, "app-town-mediation", "kafka_bootstrap"),
    "The schema registry": (to_registry, "admin", "registry_url"),
    "The key broker": (to_key_broker, "dept-hotline", "key_broker_url"),
    "PostgreSQL": (to_postgresql, "combine", "postgres_host"),
    "The audit log": (to_audit_log, "audit", "postgres_host"),
}


def settings_for(user: User, home: Path, principal: str, **other: Any) -> Settings:
    return user.profile.settings(principal).model_copy(update={"home": home, **other})


@pytest.mark.parametrize("server", SERVERS)
def test_another_authority_is_not_trusted(server: str, tls_user: User, tmp_path: Path) -> None:
    contact, principal, _ = SERVERS[server]
    contact(settings_for(tls_user, tmp_path, principal))
    other = make_authority(tmp_path / "certs", name="Another", now=datetime.now(UTC)).path
    with pytest.raises(Unavailable) as refused:
        contact(settings_for(tls_user, tmp_path, principal, tls_ca=other))
    assert refused.value.message.startswith(server.partition(",")[0])
    assert f"not from the authority in {other}" in refused.value.message
    assert "MAPLEBRIDGE_TLS_CA" in refused.value.todo


@pytest.mark.parametrize("server", SERVERS)
def test_a_name_that_is_not_in_the_certificate_is_refused(
    server: str, tls_user: User, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same machine by a name that the certificate does not have."""
    contact, principal, name = SERVERS[server]
    settings = settings_for(tls_user, tmp_path, principal)
    other = "127.1"
    if name == "postgres_host":
        # libpq takes 127.1 for the address: a name that only this test knows
        other = "database.city.example"
        monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")
        known = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more: known("127.0.0.1", *more))
    wrong = str(getattr(settings, name)).replace("127.0.0.1", other)
    with pytest.raises(Unavailable) as refused:
        contact(settings.model_copy(update={name: wrong}))
    assert f"its certificate is not for {other}" in refused.value.message
    assert "certs list" in refused.value.todo


@pytest.mark.parametrize("server", SERVERS)
def test_a_client_without_the_authority_is_told_that_tls_is_wanted(
    server: str, tls_user: User, tmp_path: Path
) -> None:
    contact, principal, _ = SERVERS[server]
    # a department asks the registry once, and then remembers its answer
    contact(settings_for(tls_user, tmp_path, principal))
    with pytest.raises(Unavailable) as refused:
        contact(settings_for(tls_user, tmp_path, principal, tls_ca=None))
    assert refused.value.message.startswith(server.partition(",")[0])
    assert "it speaks TLS only" in refused.value.message
    assert "MAPLEBRIDGE_TLS_CA" in refused.value.todo


@contextmanager
def served(context: ssl.SSLContext) -> Iterator[int]:
    """Yield the port of a server that does handshakes and nothing else."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            with plain, suppress(OSError):
                context.wrap_socket(plain, server_side=True).close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def test_an_expired_certificate_is_told_apart(tmp_path: Path) -> None:
    """A server of its own with a certificate of yesterday."""
    began = datetime.now(UTC) - timedelta(days=10)
    make_authority(tmp_path, name="Past", now=began)
    authority = open_authority(tmp_path / "authority.pem", tmp_path / "authority.key")
    issue(authority, "registry", ["127.0.0.1"], folder=tmp_path, now=began, days=9)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "registry.pem", tmp_path / "registry.key")
    with served(context) as port, pytest.raises(Unavailable, match="has expired"):
        RegistryClient(f"https://127.0.0.1:{port}", tls_ca=tmp_path / "authority.pem").subjects()


def test_a_plain_login_to_postgresql_is_refused_for_every_role(tls_user: User) -> None:
    profile = tls_user.profile
    for principal in ("admin", "combine", "audit", "key-broker"):
        settings = profile.settings(principal)
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(
                settings.postgres_dsn("postgres").replace("verify-full", "disable"),
                password=settings.secret.get_secret_value(),
            )


def test_up_again_stays_with_tls(tls_user: User) -> None:
    assert tls_user.run("up", "--json").code == 0
    assert tls_user.profile.registry_url.startswith("https://")
