"""Bringing leaves and checkpoints to Kafka, in order and at least once.

How far it has come lies in the database and moves after Kafka's acknowledgement, so that
a crash sends some records again and never leaves one out.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import psycopg
from confluent_kafka import Producer

from maplebridge.access_policy.acl import ACCESS_TOPIC
from maplebridge.access_policy.audit.store import (
    DATABASE,
    connect,
    read_unrelayed,
    statement,
    translated,
)
from maplebridge.access_policy.audit.topic import SCHEMA, checkpoint_record, leaf_record
from maplebridge.errors import KafkaUnavailable, MapleBridgeError
from maplebridge.schemas import AvroCodec, RegistryClient, load_schema
from maplebridge.settings import Settings

EVERY_S = 0.5
TIMEOUT_S = 30.0
_LEAVES_MAX, _CHECKPOINTS_MAX = 5_000, 500
_log = logging.getLogger(__name__)


class AuditRelay:
    """Brings the log to Kafka; one runs at a time, under an advisory lock."""

    def __init__(
        self, settings: Settings, *, database: str = DATABASE, topic: str = ACCESS_TOPIC
    ) -> None:
        self._settings = settings
        self._database = database
        self._topic = topic
        self._sent = dict[int, str]()
        """The newest co-signed checkpoints as they were sent: another witness may come yet."""
        self._said = ""

    def run(self, stop: threading.Event) -> None:
        """Relay until `stop`; what goes wrong is said once, and tried again."""
        while not stop.is_set():
            try:
                self._run(stop)
            except MapleBridgeError as error:
                if str(error) != self._said:
                    _log.warning("audit: %s", error)
                    self._said = str(error)
                stop.wait(EVERY_S)

    def _run(self, stop: threading.Event) -> None:
        registry = RegistryClient(self._settings.registry_url, tls_ca=self._settings.tls_ca)
        try:
            schema = load_schema(SCHEMA)
            codec = AvroCodec(schema, registry.id_of(f"{ACCESS_TOPIC}-value", schema))
        finally:
            registry.close()
        producer = Producer(
            self._settings.kafka_config(**{"enable.idempotence": True, "compression.type": "lz4"})
        )
        with translated(self._settings), self._connect() as connection:
            connection.execute("SELECT pg_advisory_lock(hashtext('maplebridge audit relay'))")
            while not stop.is_set():
                if not self.relay(connection, producer, codec):
                    stop.wait(EVERY_S)

    def _connect(self) -> psycopg.Connection[Any]:
        return connect(self._settings, database=self._database, timeout_s=30)

    def relay(
        self, connection: psycopg.Connection[Any], producer: Producer, codec: AvroCodec
    ) -> int:
        """Send what is new, at most 5,000 leaves; return how many records there were.

        Raises KafkaUnavailable if not all were acknowledged; they are sent again then.
        """
        batch = read_unrelayed(connection, leaves=_LEAVES_MAX, checkpoints=_CHECKPOINTS_MAX)
        records = [leaf_record(index, body) for index, body in batch.leaves]
        records += map(checkpoint_record, batch.checkpoints)
        fuller = [each for each in batch.cosigned if self._sent.get(each.size) != each.note]
        records += map(checkpoint_record, fuller)
        if not records:
            return 0
        failed: list[str] = []
        for key, value in records:
            producer.produce(
                self._topic,
                codec.encode(value),
                key,
                on_delivery=lambda error, _: failed.append(error.name()) if error else None,
            )
        if producer.flush(TIMEOUT_S) or failed:
            raise KafkaUnavailable(
                self._settings.kafka_bootstrap, failed[0] if failed else "no answer"
            )
        place = {"leaves": batch.leaves_end, "checkpoint": batch.checkpoint_end}
        connection.execute(statement("relayed"), place)
        self._sent = {each.size: each.note for each in batch.cosigned}
        self._said = ""
        return len(records)
