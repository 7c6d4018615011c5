"""What an app runs: its own topic, the sealed fields opened with released keys."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from maplebridge.access_policy.acl import app_principal, out_topic
from maplebridge.access_policy.keyclient import KeyClient, request_for
from maplebridge.access_policy.keys import FieldKey, KeyRequest, Withheld
from maplebridge.errors import AccessDenied, KafkaUnavailable, TokenInvalid
from maplebridge.processors.opening import Openers
from maplebridge.processors.views import nested
from maplebridge.producers.kafka_errors import is_login_refused, translate
from maplebridge.schemas import AvroCodec, Catalogue, Contract, load_catalogue, load_schema
from maplebridge.settings import Settings
from maplebridge.tls import explained

BATCH = 200
PROBE_S = 2.0
ALTERED = "sealed-field-altered"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class View:
    """One event as the app may see it.

    fields: nested as in the contract, sealed fields opened; times are microseconds
    since 1970 in UTC. hidden: each path not shown whole, with the rule that hid it (a
    path among the fields too is generalised or masked by that rule), or
    `sealed-field-altered` where its sealed field does not open as the department made it.
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
        self._openers = Openers(self._catalogue)
        self._views = AvroCodec(load_schema("out/view.v1"), 0)
        self._keys = KeyClient(settings)
        self._consumer = Consumer(
            settings.kafka_config(
                **{
                    "group.id": group or app,
                    "enable.auto.commit": False,
                    "enable.auto.offset.store": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "enable.partition.eof": True,
                    "fetch.wait.max.ms": 50,
                    # it tells of a lost connection here alone, never among the messages
                    "error_cb": self._on_error,
                }
            )
        )
        self._trouble: KafkaError | None = None
        self._ends: set[tuple[str | None, int | None]] = set()
        self._next: dict[tuple[str, int], int] = {}
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
        """Leave the group; `with` does it."""
        self._consumer.close()
        self._keys.close()

    @property
    def at_end(self) -> bool:
        """True once every partition this reader has was read to its end."""
        assigned = {(each.topic, each.partition) for each in self._consumer.assignment()}
        return bool(assigned) and assigned <= self._ends

    def poll(self, timeout_s: float = 1.0) -> list[View]:
        """Return the views that came within `timeout_s`, at most 200, for this purpose.

        Raises AccessDenied if Kafka refuses the topic (no policy gives the app one) or the
        key broker the app, KafkaUnavailable, KeyBrokerUnavailable; the next call then
        begins with the same records.
        """
        try:
            messages = self._consumer.consume(BATCH, timeout_s)
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc
        if not messages:
            self._check_connection()
        taken = [message for message in messages if message.error() is None]
        try:
            for message in messages:
                self._note(message)
            records = [self._views.decode(message.value() or b"") for message in taken]
            views = self._open_all([each for each in records if each["purpose"] == self.purpose])
        except BaseException:
            self._rewind(taken)
            raise
        self._next |= {
            (message.topic() or "", message.partition() or 0): (message.offset() or 0) + 1
            for message in taken
        }
        return views

    def commit(self) -> None:
        """Remember how far the app has come; call it when what was polled is dealt with."""
        try:
            held = {(each.topic, each.partition) for each in self._consumer.assignment()}
            offsets = [
                TopicPartition(*place, offset)
                for place, offset in self._next.items()
                if place in held
            ]
            if offsets:
                self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc
        self._next.clear()

    def __iter__(self) -> Iterator[View]:
        """Yield views for ever, committing what was dealt with."""
        while True:
            views = self.poll()
            yield from views
            if views:
                self.commit()

    def _on_error(self, error: KafkaError) -> None:
        if is_login_refused(error) or error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._trouble = error

    def _check_connection(self) -> None:
        """Ask Kafka whether it is there, if there was trouble; raises what a caller is told."""
        trouble, self._trouble = self._trouble, None
        if trouble is None:
            return
        try:
            self._consumer.list_topics(timeout=PROBE_S)
        except KafkaException as exc:
            # until it answers, every call that gets nothing says so
            self._trouble = trouble
            error = translate(
                trouble if is_login_refused(trouble) else exc.args[0],
                address=self._settings.kafka_bootstrap,
                principal=self._settings.principal,
            )
            raise explained(error, tls_ca=self._settings.tls_ca) from exc

    def _rewind(self, messages: Sequence[Message]) -> None:
        """Go back to the first of `messages`: none may be lost for an error."""
        first: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (message.topic() or "", message.partition() or 0)
            first.setdefault(place, message.offset() or 0)
        for place, offset in first.items():
            self._ends.discard(place)
            try:
                self._consumer.seek(TopicPartition(*place, offset))
            except KafkaException as exc:
                # it is another reader's by now, who begins at what was committed
                log.warning("%s[%d]: %s", *place, exc.args[0].name())

    def _note(self, message: Message) -> None:
        """Take in what Kafka says beside records; raises what cannot be waited out."""
        error = message.error()
        place = (message.topic(), message.partition())
        if error is None:
            self._ends.discard(place)
        elif error.code() == KafkaError._PARTITION_EOF:
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

    def _open_all(self, records: Sequence[dict[str, Any]]) -> list[View]:
        asked = [self._requests(record) for record in records]
        wanted = {request for requests in asked for request in requests.values() if request}
        released = self._keys.release(self.purpose, wanted) if wanted else {}
        return [
            self._open(record, requests, released)
            for record, requests in zip(records, asked, strict=True)
        ]

    def _requests(self, record: Mapping[str, Any]) -> dict[str, KeyRequest | None]:
        """Return what to ask for each sealed field, None where it is no sealed field at all."""
        contract = self._catalogue.get(record["event_type"])
        return {
            path: _request(value["token"], contract, path)
            for path, value in record["fields"].items()
            if isinstance(value, dict)
        }

    def _open(
        self,
        record: Mapping[str, Any],
        requests: Mapping[str, KeyRequest | None],
        released: Mapping[KeyRequest, FieldKey | Withheld],
    ) -> View:
        fields, hidden = dict(record["fields"]), dict(record["hidden"])
        for path, request in requests.items():
            token = fields.pop(path)["token"]
            key = released[request] if request else None
            if isinstance(key, Withheld):
                hidden[path] = key.rule
                continue
            try:
                if key is None:
                    raise TokenInvalid("not a sealed field.")
                fields[path] = self._openers.open(
                    token,
                    department=record["department"],
                    event_type=record["event_type"],
                    event_id=record["event_id"],
                    path=path,
                    key=key,
                )
            except TokenInvalid:
                # one forged field must not keep the app from all that comes after it
                log.warning("%s of event %s was altered", path, record["event_id"])
                hidden[path] = ALTERED
        return View(
            event_id=record["event_id"],
            event_type=record["event_type"],
            department=record["department"],
            purpose=record["purpose"],
            policy_version=record["policy_version"],
            fields=nested(fields),
            hidden=hidden,
        )


def _request(token: bytes, contract: Contract, path: str) -> KeyRequest | None:
    grade = contract.field(path).grade
    try:
        return request_for(token, event_type=contract.event_type, path=path, grade=grade)
    except TokenInvalid:
        return None
