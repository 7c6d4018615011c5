"""What an administrator does about refused records: look, send again, discard.

A record stays in its topic for ever, so what is shown and sent again is the record
itself, byte for byte, and not the copy among the dead letters. Its signature still says
who published it; only the broker's timestamp is new.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from maplebridge.errors import (
    ContractRefused,
    EventInvalid,
    InputError,
    KafkaUnavailable,
    RegistryUnavailable,
)
from maplebridge.processors.refused import LETTER_MAX_BYTES
from maplebridge.projections.letters import (
    DISCARDED,
    OPEN,
    RETRIED,
    Letter,
    LetterPlace,
    act,
    letter_at,
)
from maplebridge.schemas import Codec, Contract, Event
from maplebridge.settings import Settings

TIMEOUT_S = 15.0
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Shown:
    """A refused record as it may be looked at: sizes and names, no content of a field.

    headers: name -> the value where it is one the bus itself makes, else its length.
    fields: (path, grade, what stands there), empty if it cannot be decoded.
    """

    letter: Letter
    contract: str
    key_bytes: int | None
    value_bytes: int | None
    headers: dict[str, str]
    fields: list[tuple[str, str, str]]


class DeadLetters:
    """Handles refused records; settings: those of the administrator."""

    def __init__(
        self, settings: Settings, connection: psycopg.Connection[Any], codec: Codec
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._codec = codec

    def show(self, place: LetterPlace) -> Shown:
        """Raises InputError if there is no such letter, KafkaUnavailable."""
        letter = letter_at(self._connection, place)
        record = self._record(place)
        key, value = record.key(), record.value()
        contract, event = self._decoded(value)
        return Shown(
            letter,
            contract.ce_type if contract else "",
            None if key is None else len(key),
            None if value is None else len(value),
            {name: self._header(name, content) for name, content in _headers(record)},
            list(_described(contract, event)) if contract and event else [],
        )

    def retry(self, place: LetterPlace, *, by: str) -> bool:
        """Send a refused record to its topic again; False if that was done before.

        A second time is harmless: the bus ignores an event whose id it knows.
        Raises InputError if it was discarded or is too large, KafkaUnavailable.
        """
        letter = letter_at(self._connection, place)
        if letter.state == RETRIED:
            return False
        if letter.state == DISCARDED:
            raise InputError(
                f"{place} was discarded by {letter.acted_by}.",
                todo="Publish the event anew from the department's system.",
            )
        record = self._record(place)
        if len(record.value() or b"") > LETTER_MAX_BYTES:
            raise InputError(
                f"{place} was cut when it was set aside: it is larger than"
                f" {LETTER_MAX_BYTES:,} bytes, and would be refused again.",
                todo="Discard it, and publish a smaller event.",
            )
        self._send(record)
        act(self._connection, place, "retried", by=by, note="")
        return True

    def discard(self, place: LetterPlace, *, by: str, reason: str) -> bool:
        """Record that nothing will be done about a letter; False if that was done before.

        Raises InputError if it was sent again already.
        """
        letter = letter_at(self._connection, place)
        if letter.state == RETRIED:
            raise InputError(
                f"{place} was sent again by {letter.acted_by}.",
                todo="If it was refused again, discard the new letter.",
            )
        act(self._connection, place, "discarded", by=by, note=reason)
        return letter.state == OPEN

    def _record(self, place: LetterPlace) -> Message:
        consumer = Consumer(
            self._settings.kafka_config(
                **{"group.id": f"{self._settings.principal}.letters", "enable.auto.commit": False}
            )
        )
        try:
            consumer.assign([TopicPartition(place.topic, place.partition, place.offset)])
            deadline = time.monotonic() + TIMEOUT_S
            while time.monotonic() < deadline:
                message = consumer.poll(0.2)
                if message is None:
                    continue
                if message.error() is not None:
                    raise KafkaException(message.error())
                if message.offset() != place.offset:
                    raise InputError(
                        f"{place} is no longer in its topic.", todo="Publish the event anew."
                    )
                return message
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc
        finally:
            consumer.close()

    def _send(self, record: Message) -> None:
        failed: list[KafkaError] = []
        producer = Producer(
            self._settings.kafka_config(
                **{"enable.idempotence": True, "message.max.bytes": self._settings.record_max_bytes}
            )
        )
        producer.produce(
            record.topic() or "",
            record.value(),
            record.key(),
            partition=record.partition() or 0,
            headers=list(_headers(record)),
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        if producer.flush(TIMEOUT_S) or failed:
            detail = failed[0].name() if failed else "no acknowledgement"
            raise KafkaUnavailable(self._settings.kafka_bootstrap, detail)

    def _decoded(self, value: bytes | None) -> tuple[Contract | None, Event | None]:
        try:
            decoded = self._codec.decode(value or b"")
        except (EventInvalid, ContractRefused, RegistryUnavailable):
            return None, None
        return decoded.contract, decoded.event

    def _header(self, name: str, content: bytes | None) -> str:
        """Return what the bus itself would have written; anyone may write anything else."""
        if content is None:
            return "nothing"
        text = content.decode("utf-8", "replace")
        catalogue = self._codec.catalogue
        own = (
            (name == "ce_id" and _UUID.fullmatch(text) is not None)
            or (name == "ce_type" and any(text == each.ce_type for each in catalogue))
            or (name == "ce_source" and text.removeprefix("/departments/") in catalogue.departments)
        )
        return text if own else f"{len(content)} bytes"


def _headers(record: Message) -> list[tuple[str, bytes | None]]:
    """Raises InputError if a header's name is no text: it cannot be sent again as it was."""
    try:
        return cast("list[tuple[str, bytes | None]]", list(record.headers() or ()))
    except UnicodeDecodeError:
        raise InputError(
            "a header of the record has a name that is no text.", todo="Publish the event anew."
        ) from None


def _described(contract: Contract, event: Event) -> Iterator[tuple[str, str, str]]:
    """Yield path, grade and kind of every field; of a list, how many there are."""
    for spec in contract.fields:
        array, inside, _ = spec.path.partition("[].")
        if inside:
            yield spec.path, f"L{spec.grade}", f"in {len(event[array])} items"
            continue
        value: Any = event
        for name in spec.path.split("."):
            value = value[name]
        yield spec.path, f"L{spec.grade}", _kind(value)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "yes or no"
        case int() | float():
            return "a number"
        case str():
            return f"text of {len(value)} characters"
        case bytes():
            return f"{len(value)} bytes"
    return "1 entry" if len(value) == 1 else f"{len(value)} entries"
