"""What the logs of services say of an outage: one line when it begins, not one an attempt."""

from __future__ import annotations

import logging
import time

from confluent_kafka import KafkaError

log = logging.getLogger(__name__)

QUIET_S = 60.0
"""What is said again sooner than this goes on, and is no news."""
_LOST = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
    }
)


class OnlyNews(logging.Filter):
    """Passes a warning or an error once, and again after it was not tried for a while."""

    def __init__(self, quiet_s: float = QUIET_S) -> None:
        super().__init__()
        self._quiet_s = quiet_s
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now = time.monotonic()
        self._last = {said: at for said, at in self._last.items() if now - at <= self._quiet_s}
        said = record.name, record.getMessage()
        is_news = said not in self._last
        self._last[said] = now
        return is_news


def log_error(error: KafkaError) -> None:
    """Log what Kafka's client tells; every failed attempt of an outage in the same words."""
    if error.code() in _LOST:
        log.warning("no connection to Kafka; it is tried again")
    else:
        log.error("Kafka: %s", error.str())
