"""Enrolled signing keys, as Kafka remembers them on `mb.control.signing`.

The last record of a key id holds: a rotated or revoked key is told again with the
moment from which it holds no longer. Only the city's administrator may write there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from maplebridge.access_policy.acl import SIGNING_TOPIC
from maplebridge.access_policy.signatures import Enrolment
from maplebridge.kafka_topics import Follower, Record, send
from maplebridge.schemas import AvroCodec, RegistryClient, load_schema
from maplebridge.settings import Settings

SCHEMA = "control/keys.signing.enrolled.v1"
REFRESH_S = 5.0
REVOCATION_DELAY_S = 10.0
"""A key ends this much later than it is told, so that every reader knows before it does."""


class SigningKeyDirectory:
    """Enrolments by key id, read from Kafka when one is asked for that is not known.

    Safe to share between threads. Raises KafkaUnavailable where Kafka does not answer, so
    that an event is judged later and never wrongly.
    """

    def __init__(self, settings: Settings) -> None:
        self._codec = AvroCodec(load_schema(SCHEMA), 0)
        self._mutex = threading.Lock()
        self._found: dict[bytes, Enrolment] = {}
        self._followed = Follower(
            settings, SIGNING_TOPIC, group=f"{settings.principal}.signing", begin=self._found.clear
        )
        self._read_at = float("-inf")

    def find(self, key_id: bytes) -> Enrolment | None:
        """Return the enrolment of a key; None if it has none.

        An enrolment is on the topic before its key is used, so a key that is unknown
        after reading to the topic's end is not enrolled.
        """
        with self._mutex:
            stale = time.monotonic() - self._read_at > REFRESH_S
            if stale or key_id not in self._found:
                self._read()
            return self._found.get(key_id)

    def all(self) -> list[Enrolment]:
        """Return every enrolment as it stands now."""
        with self._mutex:
            self._read()
            return list(self._found.values())

    def close(self) -> None:
        """Let go of Kafka; harmless to repeat, and another `find` connects again."""
        self._followed.close()

    def _read(self) -> None:
        self._followed.read(self._learn)
        self._read_at = time.monotonic()

    def _learn(self, record: Record) -> None:
        told = Enrolment(**self._codec.decode(record.value))
        self._found[told.key_id] = told


def enrol(settings: Settings, enrolments: Iterable[Enrolment]) -> None:
    """Write enrolments, each before this returns; settings: those of the administrator.

    Raises KafkaUnavailable, RegistryUnavailable.
    """
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    schema = load_schema(SCHEMA)
    codec = AvroCodec(schema, registry.id_of(f"{SIGNING_TOPIC}-value", schema))
    registry.close()
    names = Enrolment.__dataclass_fields__
    send(
        settings,
        [
            Record(
                SIGNING_TOPIC,
                each.key_id,
                codec.encode({name: getattr(each, name) for name in names}),
            )
            for each in enrolments
        ],
    )
