"""The outbox relay: what a transaction decided to send goes to Kafka.

One relay at a time, under an advisory lock. A row goes when the broker has
acknowledged it, never by a high-water mark: identity order is not commit order.
A crash between the two sends a row again; event ids make that harmless.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import Any

import psycopg
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from maplebridge.errors import AccessDenied, KafkaUnavailable
from maplebridge.projections.store import translated
from maplebridge.settings import Settings
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.processors", "relay.sql")
log = logging.getLogger(__name__)

BATCH = 2000
BATCH_BYTES = 32_000_000
POLL_S = 0.05
LOCK_RETRY_S = 1.0
FLUSH_S = 30.0


class Relay:
    """Sends outbox rows over one connection and one idempotent producer."""

    def __init__(self, settings: Settings, connection: psycopg.Connection[Any]) -> None:
        self._settings = settings
        self._connection = connection
        self._producer = Producer(
            settings.kafka_config(
                **{
                    "enable.idempotence": True,
                    "compression.type": "lz4",
                    "linger.ms": 5,
                    "queue.buffering.max.messages": 4 * BATCH,
                    "message.max.bytes": settings.record_max_bytes,
                    "delivery.timeout.ms": int(FLUSH_S * 1000),
                }
            )
        )

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop` is set. Raises KafkaUnavailable or StoreUnavailable."""
        try:
            with translated(self._settings):
                self._begin(stop)
                while not stop.is_set():
                    if self.relay_once() == 0:
                        stop.wait(POLL_S)
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc

    def _begin(self, stop: threading.Event) -> None:
        """Wait until this relay is the one; it is of use, and ready, while it stands by."""
        if self._lock():
            log.info("relay is ready")
            return
        log.info("relay is ready, and stands by: another one sends")
        while not stop.wait(LOCK_RETRY_S) and not self._lock():
            pass

    def relay_once(self) -> int:
        """Send up to one batch of rows; return how many were sent and deleted."""
        wanted = {"limit": BATCH, "bytes": BATCH_BYTES}
        rows = self._connection.execute(SQL["next"], wanted).fetchall()
        if not rows:
            return 0
        acknowledged: list[int] = []
        failed: list[KafkaError] = []
        for row_id, topic, key, value, headers in rows:
            report = partial(_report, row_id, acknowledged, failed)
            self._producer.produce(
                topic, key=key, value=value, headers=headers or {}, on_delivery=report
            )
            self._producer.poll(0)
        deadline = time.monotonic() + FLUSH_S
        while self._producer.flush(1) and time.monotonic() < deadline:
            log.info("waiting for Kafka to acknowledge")
        self._connection.execute(SQL["done"], {"ids": acknowledged})
        if len(acknowledged) < len(rows):
            self._explain(failed)
        return len(acknowledged)

    def _explain(self, failed: list[KafkaError]) -> None:
        for error in failed:
            if error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise AccessDenied(
                    "Kafka refused the relay a topic.", todo="Run `maplebridge acl sync`."
                )
        detail = failed[0].name() if failed else "no acknowledgement"
        raise KafkaUnavailable(self._settings.kafka_bootstrap, detail)

    def _lock(self) -> bool:
        row = self._connection.execute(SQL["lock"]).fetchone()
        return bool(row and row[0])


def _report(
    row_id: int,
    acknowledged: list[int],
    failed: list[KafkaError],
    error: KafkaError | None,
    _: Message,
) -> None:
    if error is None:
        acknowledged.append(row_id)
    else:
        failed.append(error)
