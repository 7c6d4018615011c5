"""Poison goes to the dead letters with its reason, and the partition moves on."""

from __future__ import annotations

import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from maplebridge.processors.relay import Relay
from maplebridge.projections.migrate import migrate
from tests.processors.lanes import Kafka, Lane, key_of
from tests.processors.made_events import (
    AT,
    catalogue,
    event_id,
    mediation,
    order,
)
from tests.processors.made_poison import CANARY, HOTLINE, poison

HEADERS: dict[str, str | bytes | None] = {
    "ce_id": b"x",
    "binary": b"\x00\xff\x01",
    "traceparent": "00-枫".encode(),
}


@pytest.fixture
def outbox(kafka: Kafka) -> Iterator[Callable[[], psycopg.Connection[Any]]]:
    """Connections to projections in a database of their own, with a relay's lock of its own."""
    admin = kafka.profile.settings("admin")
    password = admin.secret.get_secret_value()
    name = f"t_{secrets.token_hex(4)}"
    opened: list[psycopg.Connection[Any]] = []

    def connect() -> psycopg.Connection[Any]:
        opened.append(
            psycopg.connect(
                admin.postgres_dsn(name),
                password=password,
                autocommit=True,
                options="-c search_path=projections",
            )
        )
        return opened[-1]

    with psycopg.connect(
        admin.postgres_dsn("postgres"), password=password, autocommit=True
    ) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        migrate(connect())
        yield connect
        for connection in opened:
            connection.close()
        server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_flood_of_the_same_poison_is_a_few_lines_of_the_log(
    kafka: Kafka, lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    topic, count = HOTLINE.topic, 2000
    for _ in range(count):
        kafka.write(topic, b"not framed", partition=0)
    kafka.flush()
    assert lane.combine().dead_lettered == count
    told = re.findall(rf"(\d+) dead letters in {re.escape(topic)}\[0\], offsets", caplog.text)
    assert sum(map(int, told)) == count
    assert len(told) < 20


def test_every_kind_of_poison_is_set_aside_whole_and_the_partition_moves_on(
    kafka: Kafka, lane: Lane, caplog: pytest.LogCaptureFixture
) -> None:
    """F6, T5, T18: reason, offset, headers and the original bytes; no value in a reason or log."""
    topic, letters = HOTLINE.topic, f"mb.dlq.{HOTLINE.topic}"
    register = order({"state": "open"}, case_ref="POISON", occurred_at=AT)
    kinds = poison(kafka)
    first = kafka.ends([topic])[topic, 0]
    for _, _, key, value in kinds:
        kafka.write(topic, value, key=key, partition=0, headers=HEADERS)
    value = kafka.signed(register)
    kafka.write(topic, value, key=key_of(register), partition=0)
    kafka.flush()
    written = lane.combine()
    assert (written.combined, written.dead_lettered) == (1, len(kinds))
    told_of = re.findall(rf"(\d+) dead letters in {re.escape(topic)}\[0\]", caplog.text)
    assert sum(map(int, told_of)) == len(kinds)
    assert CANARY not in caplog.text

    told = lane.rows('SELECT "offset", reason, path, schema_id FROM dead_letters ORDER BY 1')
    assert [row[0] for row in told] == list(range(first, first + len(kinds)))
    for (_, reason, path, _), (wanted, wanted_path, _, _) in zip(told, kinds, strict=True):
        assert wanted in reason
        assert path == wanted_path
        assert CANARY not in reason
    assert told[3][3] == 0x7FFFFFFF
    assert lane.rows("SELECT state FROM case_parts WHERE case_ref = 'POISON'") == [("open",)]

    since = kafka.ends([letters])
    relay = Relay(kafka.profile.settings("relay"), lane.connection)
    while relay.relay_once():
        pass
    assert lane.rows("SELECT count(*) FROM outbox") == [(0,)]
    by_offset = {int(each[4]["mb_offset"]): each for each in kafka.read(since)}
    for number, (wanted, path, key, value) in enumerate(kinds, first):
        _, _, kept_key, kept_value, headers = by_offset[number]
        assert (kept_key, kept_value) == (key, value)
        assert wanted in headers["mb_reason"].decode()
        assert CANARY.encode() not in headers["mb_reason"] + headers["mb_path"]
        assert headers["mb_path"].decode() == path
        assert headers["mb_partition"] == b"0"
        assert headers["ce_id"] == b"x"
        assert headers["traceparent"].decode() == "00-枫"
        assert headers["binary"] == b"\\x00\\xff\x01"
    assert by_offset[first + 3][4]["mb_schema_id"] == str(0x7FFFFFFF).encode()


def test_a_refused_record_is_refused_again_in_a_replay(
    kafka: Kafka, lanes: Callable[..., Lane]
) -> None:
    """F9: an event dated ahead of its record is never accepted later, when its time has come."""
    lane = lanes()
    soon = order(occurred_at=int((time.time() + 302) * 1_000_000), event_id=event_id(7))
    kafka.publish([soon])
    assert lane.combine().dead_lettered == 1
    time.sleep(2.5)
    assert lanes(lane.since).combine().dead_lettered == 1


def test_the_largest_event_and_its_letter_pass_the_relay(
    kafka: Kafka, outbox: Callable[[], psycopg.Connection[Any]]
) -> None:
    """F6: with key and headers they are larger than the event's own limit."""
    connection = outbox()
    connection.execute(
        "INSERT INTO outbox (topic, key, value, headers) VALUES"
        " ('mb.core.hotline.order', %(key)s, %(event)s, NULL),"
        " ('mb.dlq.mb.dept.hotline.hotline.order', %(key)s, %(letter)s, '{\"mb_reason\": \"x\"}')",
        {"key": bytes(200), "event": bytes(1_000_000), "letter": bytes(4_000_000)},
    )
    relay = Relay(kafka.profile.settings("relay"), connection)
    assert relay.relay_once() == 2


def test_rows_go_out_once_acknowledged_and_only_then(
    kafka: Kafka, outbox: Callable[[], psycopg.Connection[Any]]
) -> None:
    """A relay that died between the two sends again; the second says the same."""
    connection = outbox()
    topic = "mb.core.mediation.case"
    events = [mediation(occurred_at=AT + number) for number in range(50)]
    with connection.cursor().copy("COPY outbox (topic, key, value) FROM STDIN") as copy:
        for event in events:
            value = kafka.codec.encode(catalogue().get("mediation.case"), event)
            copy.write_row((topic, key_of(event), value))
    since = kafka.ends([topic])
    settings = kafka.profile.settings("relay")
    with pytest.raises(psycopg.OperationalError):
        Relay(settings, DiesBeforeDelete(connection)).relay_once()  # type: ignore[arg-type]
    assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (50,)
    relay = Relay(settings, connection)
    assert relay.relay_once() == 50
    assert relay.relay_once() == 0
    assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    ids = {each["meta"]["event_id"] for each in events}
    sent = [
        kafka.codec.decode(each[3] or b"").event["meta"]["event_id"] for each in kafka.read(since)
    ]
    ours = [each for each in sent if each in ids]
    assert (len(ours), set(ours)) == (100, ids)


class DiesBeforeDelete:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, query: str, values: Any = None) -> Any:
        if query.startswith("DELETE"):
            raise psycopg.OperationalError
        return self._connection.execute(query, values)


def test_one_relay_works_at_a_time_and_another_takes_over(
    kafka: Kafka, outbox: Callable[[], psycopg.Connection[Any]]
) -> None:
    connection = outbox()
    settings = kafka.profile.settings("relay")
    stops = [threading.Event(), threading.Event()]
    pids: list[int] = []
    threads: list[threading.Thread] = []
    for stop in stops:
        own = outbox()
        pids.append(own.info.backend_pid)
        threads.append(threading.Thread(target=Relay(settings, own).run, args=(stop,)))
        threads[-1].start()
        time.sleep(0.5)

    def holders() -> list[tuple[Any, ...]]:
        return connection.execute(
            "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchall()

    try:
        assert holders() == [(pids[0],)]
        stops[0].set()
        threads[0].join(20)
        connection.execute("SELECT pg_terminate_backend(%s)", (pids[0],))
        deadline = time.monotonic() + 20
        while holders() != [(pids[1],)] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert holders() == [(pids[1],)]
    finally:
        for stop, thread in zip(stops, threads, strict=True):
            stop.set()
            thread.join(20)
