"""A department's connection to Kafka: one idempotent producer, made anew when it is done for."""

from __future__ import annotations

from collections.abc import Callable

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from maplebridge.errors import InputError, KafkaUnavailable, MapleBridgeError
from maplebridge.producers.headers import Headers
from maplebridge.producers.kafka_config import producer_config
from maplebridge.producers.kafka_errors import is_login_refused, translate
from maplebridge.settings import Settings
from maplebridge.tls import explained

Report = Callable[[KafkaError | None, Message], None]

_DOWN = (KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._AUTHENTICATION)
_QUEUE_FULL_S = 0.05
_LETTING_GO_S = 1.0


class KafkaLine:
    """Used by the sender's thread alone; reports come while it polls."""

    def __init__(self, settings: Settings) -> None:
        self.address = settings.kafka_bootstrap
        self._principal = settings.principal
        self._tls_ca = settings.tls_ca
        self._config = {**producer_config(settings), "error_cb": self._on_error}
        self._kafka = self._make()
        self._refused: KafkaError | None = None
        self._down: KafkaError | None = None
        self.fatal: KafkaError | None = None

    def produce(
        self, topic: str, value: bytes, key: bytes | str, headers: Headers | None, report: Report
    ) -> None:
        """Hand a record to Kafka's client; raises KafkaException if it does not take it."""
        while True:
            try:
                self._kafka.produce(topic, value, key, headers=headers, on_delivery=report)
            except BufferError:
                self._kafka.poll(_QUEUE_FULL_S)
            else:
                return

    def poll(self, timeout_s: float) -> int:
        """Take in reports; return how many came."""
        return int(self._kafka.poll(timeout_s))

    def heard(self) -> None:
        """Kafka has acknowledged something: it is there."""
        self._refused = self._down = None

    def renew(self) -> None:
        """Let go of the producer and of all it holds, and make another."""
        self.let_go()
        self.fatal = None
        self._kafka = self._make()

    def let_go(self) -> None:
        self._kafka.purge()
        self._kafka.flush(_LETTING_GO_S)

    def trouble(self) -> MapleBridgeError | None:
        """Return why nothing arrives, as far as Kafka's client has said."""
        cause = self._refused or self.fatal or self._down
        return None if cause is None else self.translated(cause, "")

    def silence(self) -> KafkaUnavailable:
        """Return the error of having heard nothing for too long."""
        return KafkaUnavailable(self.address, "no acknowledgement")

    def explained(self, error: MapleBridgeError) -> MapleBridgeError:
        """Return the error with what TLS has to do with it; knocks at Kafka's address once."""
        return explained(error, tls_ca=self._tls_ca)

    def translated(self, error: KafkaError, topic: str) -> MapleBridgeError:
        cause = self.fatal or error if error.code() == KafkaError._FATAL else error
        return translate(cause, address=self.address, principal=self._principal, topic=topic)

    def _make(self) -> Producer:
        try:
            return Producer(self._config)
        except KafkaException as exc:
            raise InputError(
                f"Kafka's client cannot work with the settings ({exc.args[0].str()}).",
                todo="Check MAPLEBRIDGE_PRINCIPAL, MAPLEBRIDGE_SECRET and MAPLEBRIDGE_KAFKA_*.",
            ) from exc

    def _on_error(self, error: KafkaError) -> None:
        if is_login_refused(error):
            self._refused = error
        elif error.fatal():
            # this producer is done for; whatever is sent now fails of the first cause
            self.fatal = self.fatal or error
        elif error.code() in _DOWN:
            self._down = error
