"""What an app runs: its own topic, the sealed fields opened with released keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message

from maplebridge.access_policy.acl import app_principal, out_topic
from maplebridge.access_policy.envelope import FieldContext, open_field
from maplebridge.access_policy.keyclient import KeyClient, request_for
from maplebridge.access_policy.keys import FieldKey, KeyRequest, Withheld
from maplebridge.errors import AccessDenied, EventInvalid, KafkaUnavailable
from maplebridge.processors.views import nested
from maplebridge.schemas import AvroCodec, Catalogue, Contract, load_catalogue, load_schema
from maplebridge.schemas.values import read_value
from maplebridge.settings import Settings

BATCH = 200


@dataclass(frozen=True)
class View:
    """One event as the app may see it.

    fields: nested as in the contract, sealed fields opened; times are microseconds
    since 1970 in UTC. hidden: each hidden path with the rule that hid it.
    """

    event_id: str
    event_type: str
    department: str
    purpose: str
    policy_version: str
    fields: Mapping[str, Any]
    hidden: Mapping[str, str]


class Subscriber:
    """Reads `mb.out.<app>` and opens what the app was granted.

    app: the app's name; settings: those of its principal `app-<app>`.
    group: readers with one group share the topic's records; a new group starts at
    the beginning.
    """

    def __init__(
        self,
        app: str,
        *,
        purpose: str,
        settings: Settings,
        group: str | None = None,
        catalogue: Catalogue | None = None,
    ) -> None:
        self.app = app
        self.purpose = purpose
        self._settings = settings
        self._catalogue = catalogue or load_catalogue()
        self._views = AvroCodec(load_schema("out/view.v1"), 0)
        self._keys = KeyClient(settings)
        self._consumer = Consumer(
            settings.kafka_config(
                **{
                    "group.id": group or app,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 50,
                }
            )
        )
        self._ends: set[tuple[str | None, int | None]] = set()
        self._consumer.subscribe([out_topic(app)])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._consumer.close()
        self._keys.close()

    @property
    def at_end(self) -> bool:
        """True once every partition this reader has was read to its end."""
        assigned = {(each.topic, each.partition) for each in self._consumer.assignment()}
        return bool(assigned) and assigned <= self._ends

    def poll(self, timeout_s: float = 1.0) -> list[View]:
        """Return the views that came within `timeout_s`, at most 200, for this purpose.

        Raises AccessDenied if Kafka refuses the topic (no policy gives the app one),
        KafkaUnavailable, KeyBrokerUnavailable, TokenInvalid if a sealed field was altered.
        """
        try:
            messages = self._consumer.consume(BATCH, timeout_s)
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc
        records = [
            self._views.decode(message.value() or b"")
            for message in messages
            if not self._is_event_of_kafka(message)
        ]
        wanted = [record for record in records if record["purpose"] == self.purpose]
        return self._open_all(wanted)

    def commit(self) -> None:
        """Remember how far the app has come; call it when what was polled is dealt with."""
        try:
            self._consumer.commit(asynchronous=False)
        except KafkaException as exc:
            if exc.args[0].code() != KafkaError._NO_OFFSET:
                raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc

    def __iter__(self) -> Iterator[View]:
        """Yield views for ever, committing what was dealt with."""
        while True:
            views = self.poll()
            yield from views
            if views:
                self.commit()

    def _is_event_of_kafka(self, message: Message) -> bool:
        error = message.error()
        place = (message.topic(), message.partition())
        if error is None:
            self._ends.discard(place)
            return False
        if error.code() == KafkaError._PARTITION_EOF:
            self._ends.add(place)
        elif error.code() in (
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
            KafkaError.UNKNOWN_TOPIC_OR_PART,
        ):
            raise AccessDenied(
                f"Kafka refuses {app_principal(self.app)} the topic {out_topic(self.app)}"
                f" ({error.name()}).",
                todo="No policy gives this app events; ask the city's data bureau.",
            )
        elif error.code() == KafkaError._ALL_BROKERS_DOWN or (
            not error.retriable() and error.code() != KafkaError._TRANSPORT
        ):
            raise KafkaUnavailable(self._settings.kafka_bootstrap, error.name())
        return True

    def _open_all(self, records: Sequence[dict[str, Any]]) -> list[View]:
        requests = {
            request: None for record in records for request in self._requests(record).values()
        }
        released = self._keys.release(self.purpose, requests) if requests else {}
        return [self._open(record, released) for record in records]

    def _requests(self, record: Mapping[str, Any]) -> dict[str, KeyRequest]:
        contract = self._catalogue.get(record["event_type"])
        return {
            path: request_for(
                value["token"],
                event_type=contract.event_type,
                path=path,
                grade=contract.field(path).grade,
            )
            for path, value in record["fields"].items()
            if isinstance(value, dict)
        }

    def _open(
        self, record: Mapping[str, Any], released: Mapping[KeyRequest, FieldKey | Withheld]
    ) -> View:
        contract = self._catalogue.get(record["event_type"])
        fields, hidden = dict(record["fields"]), dict(record["hidden"])
        for path, request in self._requests(record).items():
            key = released[request]
            if isinstance(key, Withheld):
                del fields[path]
                hidden[path] = key.rule
            else:
                token = fields[path]["token"]
                fields[path] = _plain(token, contract, record["event_id"], path, key)
        return View(
            event_id=record["event_id"],
            event_type=record["event_type"],
            department=record["department"],
            purpose=record["purpose"],
            policy_version=record["policy_version"],
            fields=nested(fields),
            hidden=hidden,
        )


def _plain(token: bytes, contract: Contract, event_id: str, path: str, key: FieldKey) -> Any:
    spec = contract.field(path)
    if spec.seal is None:
        raise EventInvalid("a plain field came sealed.", path=path)
    context = FieldContext(
        department=contract.department,
        event_type=contract.event_type,
        event_id=event_id,
        path=path,
        logical_type=spec.seal.logical_type,
        scope=spec.seal.key,
        grade=spec.grade,
    )
    return read_value(spec.seal, open_field(token, context=context, key=key))
