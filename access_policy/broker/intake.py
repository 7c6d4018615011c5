"""The key broker's intake: new masters from `mb.control.keys` into the vault.

At least once and idempotent: Kafka's offset is committed after the database's
transaction, and a key id that came before is kept as it was. What its department did
not sign, and a wrap that cannot be opened, is logged by its place and counted; it
never stops the intake.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from maplebridge.access_policy.broker.vault import Vault
from maplebridge.access_policy.keytransport import TOPIC, NewMaster
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.errors import MapleBridgeError, TokenInvalid, Unavailable
from maplebridge.settings import Settings

GROUP = "key-broker"
_BATCH_MESSAGES = 50
_POLL_S = 0.2
_RETRY_S = 1.0
_log = logging.getLogger(__name__)


class Decode(Protocol):
    """Decodes the value of a record of `mb.control.keys`."""

    def __call__(self, value: bytes, /) -> dict[str, Any]:
        """Return the fields of `keys.master.created`; may raise anything."""
        ...


@dataclass(frozen=True, slots=True)
class Announcement:
    """A record of `mb.control.keys`; at: its broker timestamp, microseconds since 1970."""

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    at: int

    @classmethod
    def of(cls, message: Message) -> Self:
        return cls(
            message.topic() or "",
            message.partition() or 0,
            message.offset() or 0,
            message.key() or b"",
            message.value() or b"",
            message.timestamp()[1] * 1000,
        )

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass
class IntakeCounts:
    """What the intake has met since it started."""

    masters: int = 0
    repeated: int = 0
    refused: int = 0


class Intake:
    """Runs in a thread of its own from `start` to `stop`."""

    def __init__(
        self,
        settings: Settings,
        vault: Vault,
        *,
        decode: Decode,
        signatures: SignatureVerifier,
        topic: str = TOPIC,
        group: str = GROUP,
    ) -> None:
        self._topic = topic
        self._group = group
        self._settings = settings
        self._vault = vault
        self._decode = decode
        self._signatures = signatures
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key-intake", daemon=True)
        self.counts = IntakeCounts()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, timeout_s: float = 2.0) -> None:
        """Ask the thread to end after its batch, and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def take(self, announced: Sequence[Announcement]) -> None:
        """Store the masters of some records.

        Raises StoreUnavailable, or KafkaUnavailable where it does not tell the departments'
        signing keys, and then none of them counts as taken.
        """
        opened: list[NewMaster] = []
        refused = 0
        for each in announced:
            try:
                opened += self._open(each)
            except Unavailable:
                raise
            except Exception as exc:
                # bytes that anyone may send: whatever they break, the next record counts
                refused += 1
                reason = exc.message if isinstance(exc, MapleBridgeError) else type(exc).__name__
                _log.warning("refused the announcement at %s: %s", each, reason)
        added = self._vault.store(opened)
        self.counts.masters += added
        self.counts.repeated += len(opened) - added
        self.counts.refused += refused

    def _open(self, announced: Announcement) -> list[NewMaster]:
        event = self._decode(announced.value)
        department = event["department"]
        self._signatures.check_record(
            department,
            announced.topic,
            announced.key,
            announced.value,
            event["proof"],
            announced.at,
        )
        masters = self._vault.open_wrap(event["wrap"], department=department, epoch=event["epoch"])
        if len(masters) != event["count"]:
            raise TokenInvalid(f"wrap {event['event_id']} does not hold what it announces.")
        return masters

    def _run(self) -> None:
        consumer = Consumer(
            self._settings.kafka_config(
                **{
                    "group.id": self._group,
                    "enable.auto.commit": False,
                    # after a crash the next one gets the partition in seconds
                    "session.timeout.ms": 10_000,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                }
            ),
            logger=_log,
        )
        try:
            consumer.subscribe([self._topic])
            while not self._stopping.is_set():
                self._turn(consumer)
        except Exception:
            _log.exception("the key intake stopped")
        finally:
            consumer.close()

    def _turn(self, consumer: Consumer) -> None:
        messages = []
        for message in consumer.consume(_BATCH_MESSAGES, _POLL_S):
            if error := message.error():
                self._told(error)
            else:
                messages.append(message)
        if not messages:
            return
        announced = [Announcement.of(message) for message in messages]
        while not self._stopping.is_set():
            try:
                self.take(announced)
            except Unavailable as exc:
                _log.warning("the key intake waits: %s", exc.message)
                self._stopping.wait(_RETRY_S)
            else:
                self._commit(consumer)
                return

    def _commit(self, consumer: Consumer) -> None:
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as exc:
            # the records come again, and are known by their key ids
            _log.warning("the key intake could not commit: %s", exc.args[0].name())

    def _told(self, error: KafkaError) -> None:
        _log.warning("the key intake cannot read: %s", error.name())
        self._stopping.wait(_RETRY_S)
