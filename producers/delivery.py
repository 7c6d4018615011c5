"""What became of a published event."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from confluent_kafka import KafkaError, Message

from maplebridge.errors import KafkaUnavailable, MapleBridgeError

_PUMP_S = 0.05


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where Kafka keeps an event, durably."""

    topic: str
    partition: int
    offset: int


class Pump(Protocol):
    """What moves events on and takes in Kafka's reports."""

    address: str

    def push(self, delivery: Delivery | None = None) -> None: ...
    def pump(self, timeout_s: float) -> None: ...
    def settled(self, delivery: Delivery, error: KafkaError | None) -> None: ...


class Delivery:
    """An event on its way to Kafka; ask `result` whether it arrived."""

    __slots__ = ("_error", "_offset", "_partition", "_pump", "event_id", "topic")

    def __init__(self, event_id: str, topic: str, pump: Pump) -> None:
        self.event_id = event_id
        self.topic = topic
        self._pump = pump
        self._partition = -1
        self._offset = -1
        self._error: MapleBridgeError | None = None

    @property
    def done(self) -> bool:
        """True once Kafka has acknowledged the event, or it has failed."""
        return self._offset >= 0 or self._error is not None

    @property
    def error(self) -> MapleBridgeError | None:
        """Why it failed; None while it is on its way and after it arrived."""
        return self._error

    def result(self, timeout_s: float = 30.0) -> Receipt:
        """Wait for Kafka's acknowledgement.

        Raises what the event failed of: KafkaUnavailable, AccessDenied, EventTooLarge;
        KafkaUnavailable too if nothing was heard within `timeout_s`.
        """
        deadline = time.monotonic() + timeout_s
        if not self.done:
            self._pump.push(self)
        while not self.done:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise KafkaUnavailable(
                    self._pump.address, f"no acknowledgement within {timeout_s:g} s"
                )
            self._pump.pump(min(left_s, _PUMP_S))
        if self._error is not None:
            raise self._error
        return Receipt(self.topic, self._partition, self._offset)

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take Kafka's report; called by its client alone."""
        if error is None:
            self._partition, self._offset = message.partition() or 0, message.offset() or 0
        self._pump.settled(self, error)

    def failed(self, error: MapleBridgeError) -> None:
        """Called by the lane alone."""
        self._error = error

    def __repr__(self) -> str:
        state = "failed" if self._error else "arrived" if self.done else "on its way"
        return f"Delivery({self.event_id}, {self.topic}, {state})"
