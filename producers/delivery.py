"""What became of a published event."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import KafkaError, Message

from maplebridge.errors import MapleBridgeError


@dataclass(frozen=True, slots=True)
class Receipt:
    """Where Kafka keeps an event, durably."""

    topic: str
    partition: int
    offset: int


class Carrier(Protocol):
    """What brings events from the spool to Kafka."""

    @property
    def has_ended(self) -> bool: ...

    def awaited(self, delivery: Delivery) -> None: ...
    def settled(self, delivery: Delivery, error: KafkaError | None) -> None: ...
    def wait(self, ready: Callable[[], bool], timeout_s: float) -> bool: ...
    def why_waiting(self) -> MapleBridgeError: ...


class Delivery:
    """An event on its way to Kafka; ask `result`, or await it, whether it arrived."""

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_carrier",
        "_error",
        "_offset",
        "_partition",
        "event_id",
        "seq",
        "size",
        "topic",
    )

    def __init__(self, event_id: str, topic: str, carrier: Carrier) -> None:
        self.event_id = event_id
        self.topic = topic
        self.seq = 0
        self.size = 0
        self._carrier = carrier
        self._partition = -1
        self._offset = -1
        self._error: MapleBridgeError | None = None
        self._callbacks: list[Callable[[], object]] | None = None

    @property
    def done(self) -> bool:
        """True once Kafka has acknowledged the event, or it was refused for good."""
        return self._offset >= 0 or self._error is not None

    @property
    def error(self) -> MapleBridgeError | None:
        """Why it was refused; None while it waits or is on its way, and after it arrived."""
        return self._error

    def result(self, timeout_s: float = 30.0) -> Receipt:
        """Wait for Kafka's acknowledgement.

        Raises what the event was refused for: AccessDenied, ContractRefused, EventTooLarge.
        Raises Unavailable if it still waits after `timeout_s`, or when the department is
        closed; it stays in the spool then.
        """
        if not self._carrier.wait(lambda: self.done, timeout_s):
            raise self._carrier.why_waiting()
        return self._receipt()

    def __await__(self) -> Generator[Any, None, Receipt]:
        """Wait for Kafka's acknowledgement until the department is closed.

        Raises as `result` does.
        """
        loop = asyncio.get_running_loop()
        arrived = loop.create_future()

        def tell() -> None:
            if not arrived.done():
                arrived.set_result(None)

        def wake() -> None:
            # a loop that was closed meanwhile has nobody who waits
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(tell)

        if self._callbacks is None:
            self._callbacks = []
        self._callbacks.append(wake)
        try:
            self._carrier.awaited(self)
            # it may have been settled before the callback was there
            if self.done or self._carrier.has_ended:
                tell()
            yield from arrived
        finally:
            # who gave up waiting leaves nothing behind
            self._callbacks.remove(wake)
        if not self.done:
            raise self._carrier.why_waiting()
        return self._receipt()

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """Take Kafka's report; called by its client alone."""
        if error is None:
            self._partition, self._offset = message.partition() or 0, message.offset() or 0
        self._carrier.settled(self, error)

    def refused(self, error: MapleBridgeError) -> None:
        """Called by the sender alone."""
        self._error = error

    def tell(self) -> None:
        """Wake who awaits it; called by the sender alone."""
        # a copy: those who were told take their own away meanwhile
        for each in tuple(self._callbacks or ()):
            each()

    def _receipt(self) -> Receipt:
        if self._error is not None:
            raise self._error
        return Receipt(self.topic, self._partition, self._offset)

    def __repr__(self) -> str:
        state = "refused" if self._error else "arrived" if self.done else "on its way"
        return f"Delivery({self.event_id}, {self.topic}, {state})"
