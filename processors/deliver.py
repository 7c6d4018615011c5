"""Deliveries: accepted events to the apps, each by its view plan.

One Kafka transaction takes a batch from the core streams to `mb.out.<app>`, so an
app that reads committed records sees each view once. The audit leaves that cover
the batch are on disk before the transaction is: no audit, no release.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from maplebridge.access_policy.acl import out_topic
from maplebridge.access_policy.audit.leaf import ROWS_MAX, AuditedField, Leaf, cover
from maplebridge.access_policy.audit.log import AuditLog
from maplebridge.access_policy.keyclient import KeyClient
from maplebridge.access_policy.keys import PseudonymRequest, has_token
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import ContractRefused, EventInvalid, KafkaUnavailable
from maplebridge.kafka_log import log_error
from maplebridge.processors.delivery_lanes import Gathering, Lane
from maplebridge.processors.granting import Granted, Granting
from maplebridge.processors.views import Tokens
from maplebridge.schemas import AvroCodec, Codec, Decoded
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 0.1
TRANSACTION_S = 30
STEP_S = 10
COMMIT_S = 1.5
"""How long the commit of what rests on a grant may take; then it is given up and done anew."""
DECIDED_S = 1.0
"""How long after it was decided a batch is committed without asking again what grants hold."""


class _Record(NamedTuple):
    """What is sent, told apart and put in order by the id under which the app knows the event."""

    event_id: str
    topic: str
    key: str
    value: bytes


class Deliver:
    """Fills the topics of all apps on one lane.

    One of each lane runs at a time: its transactional id fences others.
    """

    def __init__(
        self,
        settings: Settings,
        lane: Lane,
        codec: Codec,
        views: AvroCodec,
        policies: Policies,
        audit: AuditLog,
        keys: KeyClient,
    ) -> None:
        self._settings = settings
        self._lane = lane
        self._codec = codec
        self._views = views
        self._policies = policies
        self._granting = Granting(policies, names_events=lane.names_events)
        self._audit = audit
        self._keys = keys
        self._lost: KafkaError | None = None

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set.

        Raises KafkaUnavailable, also while it is not known which grants hold,
        AuditUnavailable, KeyBrokerUnavailable; what was not committed is delivered by the
        next run.
        """
        consumer, producer = self._consumer(), self._producer()
        gathering = Gathering(self._lane)
        try:
            self._begin(consumer, producer)
            while not stop.is_set():
                self._check_connection(producer)
                polled = consumer.consume(gathering.room, POLL_S)
                gathering.take(message for message in polled if not self._fault(message))
                if gathering.is_over(consumer.assignment(), now_s=time.time()):
                    self._deliver(consumer, producer, gathering.release())
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc
        finally:
            consumer.close()

    def _begin(self, consumer: Consumer, producer: Producer) -> None:
        producer.init_transactions(STEP_S)
        # what was lost before the first transaction left nothing behind
        producer.poll(0)
        self._lost = None
        consumer.subscribe([each.core_topic for each in self._codec.catalogue])
        log.info("%s is ready", self._lane.name)

    def _check_connection(self, producer: Producer) -> None:
        """Raise KafkaException if the producer lost Kafka: it must not begin a transaction.

        librdkafka remembers the group's coordinator by a broker that it gives up when Kafka
        restarts, and then waits for that broker without end (librdkafka issues 5456, 5511).
        """
        producer.poll(0)
        if self._lost is not None:
            raise KafkaException(self._lost)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN):
            self._lost = error
        else:
            log_error(error)

    def _consumer(self) -> Consumer:
        return Consumer(
            self._settings.kafka_config(
                **{
                    "group.id": self._lane.name,
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "session.timeout.ms": 10_000,
                    "fetch.wait.max.ms": 50,
                    "enable.partition.eof": self._lane.round_s > 0,
                }
            )
        )

    def _producer(self) -> Producer:
        return Producer(
            self._settings.kafka_config(
                **{
                    "transactional.id": self._lane.name,
                    "transaction.timeout.ms": TRANSACTION_S * 1000,
                    "compression.type": "lz4",
                    "message.max.bytes": self._settings.record_max_bytes,
                    "linger.ms": 5,
                    "error_cb": self._on_error,
                    # Kafka closes idle connections: that is no loss, a refused one is
                    "log.connection.close": False,
                }
            )
        )

    def _fault(self, message: Message) -> bool:
        error = message.error()
        if error is None or error.code() == KafkaError._PARTITION_EOF:
            return False
        if error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise KafkaException(error)
        log.warning("Kafka: %s", error.name())
        return True

    def _deliver(self, consumer: Consumer, producer: Producer, messages: Sequence[Message]) -> None:
        decided_at = time.monotonic()
        self._granting.learn()
        granted = [
            each for decoded in self._readable(messages) for each in self._granting.grants(decoded)
        ]
        self._audit_all(granted)
        tokens = self._tokens(granted)
        records = [
            self._record(each, tokens.get((each.plan.app, each.plan.purpose), {}))
            for each in granted
        ]
        if not self._lane.names_events:
            # tokens are in another order for each app
            records.sort()
        producer.begin_transaction()
        for record in records:
            producer.produce(record.topic, key=record.key, value=record.value)
        self._send_offsets(consumer, producer, _after(messages))
        if time.monotonic() - decided_at > DECIDED_S:
            # a round takes its time, and a grant may have been revoked meanwhile
            self._check_grants(granted)
        rests = any(each.plan.grants for each in granted)
        producer.commit_transaction(COMMIT_S if rests else TRANSACTION_S)

    def _check_grants(self, granted: Sequence[Granted]) -> None:
        """Raise KafkaException if a grant that a row rests on holds no longer.

        The next run decides anew.
        """
        for each in {id(each.plan): each for each in granted if each.plan.grants}.values():
            plan, decoded = each.plan, each.decoded
            now = self._policies.plan(
                plan.app,
                plan.purpose,
                decoded.contract,
                decoded.event["meta"]["community"],
                restricted=plan.restricted,
            )
            if now != plan:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def _send_offsets(
        self, consumer: Consumer, producer: Producer, offsets: list[TopicPartition]
    ) -> None:
        """Add the offsets to the transaction; raises KafkaException, also if Kafka is lost.

        The call may not return (see `_check_connection`), so it has a thread that can be
        left behind with its producer: the next run's producer fences it.
        """
        group = consumer.consumer_group_metadata()
        done = threading.Event()
        failed: list[KafkaException] = []

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(offsets, group, STEP_S)
            except KafkaException as exc:
                failed.append(exc)
            done.set()

        threading.Thread(target=send, name="deliver-offsets", daemon=True).start()
        deadline = time.monotonic() + STEP_S
        while not done.wait(POLL_S):
            self._check_connection(producer)
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        if failed:
            raise failed[0]

    def _readable(self, messages: Sequence[Message]) -> Iterator[Decoded]:
        for message in messages:
            try:
                yield self._codec.decode(message.value() or b"")
            except (EventInvalid, ContractRefused) as error:
                log.error("an event of the core stream cannot be read: %s", error)

    def _audit_all(self, granted: Sequence[Granted]) -> None:
        """Put on disk who gets what, before it leaves; raises AuditUnavailable."""
        groups: dict[int, list[Granted]] = defaultdict(list)
        for each in granted:
            groups[id(each.plan)].append(each)
        leaves = [
            self._leaf(group[start : start + ROWS_MAX])
            for group in groups.values()
            for start in range(0, len(group), ROWS_MAX)
        ]
        if leaves:
            self._audit.append(leaves)

    def _leaf(self, rows: Sequence[Granted]) -> Leaf:
        plan, projection = rows[0].plan, rows[0].projection
        consumer = self._policies.consumers.get(plan.app)
        grants = sorted(set(plan.grants.values()))
        return Leaf(
            at=time.time_ns() // 1000,
            action="access.delivered",
            who=self._settings.principal,
            on_behalf_of=plan.app,
            purpose=plan.purpose,
            legal_basis=consumer.legal_basis if consumer else "",
            grant=",".join(grants),
            decision="permit",
            rule=plan.row_rule,
            policy_version=plan.policy_version,
            resource=plan.event_type,
            fields=tuple(
                AuditedField(path, plan.grades[path], plan.forms[path])
                for path in plan.shown()
                if path in projection.made or path not in projection.hidden
            ),
            rows=len(rows),
            communities=len({row.decoded.event["meta"]["community"] for row in rows}),
            cover=cover(row.decoded.event["meta"]["event_id"] for row in rows),
        )

    def _tokens(self, granted: Sequence[Granted]) -> dict[tuple[str, str], Tokens]:
        """Return by app and purpose the tokens that stand in its views."""
        wanted: dict[tuple[str, str], set[PseudonymRequest]] = defaultdict(set)
        for each in granted:
            asked = each.projection.requests(each.decoded.event)
            if asked:
                wanted[each.plan.app, each.plan.purpose] |= asked
        return {
            (app, purpose): self._keys.pseudonyms(purpose, app, filter(has_token, asked))
            for (app, purpose), asked in wanted.items()
        }

    def _record(self, granted: Granted, tokens: Tokens) -> _Record:
        event, meta = granted.decoded.event, granted.decoded.event["meta"]
        plan, projection = granted.plan, granted.projection
        event_id = projection.event_id(event, tokens)
        value = self._views.encode(
            {
                "event_id": event_id,
                "event_type": meta["event_type"],
                "schema_version": meta["schema_version"],
                "department": meta["department"],
                "purpose": plan.purpose,
                "policy_version": plan.policy_version,
                "plan_id": projection.plan_id,
                "fields": projection.fields(event, tokens),
                "hidden": projection.hidden,
            }
        )
        return _Record(event_id, out_topic(plan.app), projection.record_key(event, tokens), value)


def _after(messages: Iterable[Message]) -> list[TopicPartition]:
    """Return where to go on after `messages`."""
    after: dict[tuple[str, int], int] = {}
    for message in messages:
        after[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
    return [TopicPartition(*place, offset) for place, offset in sorted(after.items())]
