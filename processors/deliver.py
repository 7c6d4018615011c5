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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
from maplebridge.access_policy.plans import ViewPlan, at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.errors import ContractRefused, EventInvalid, KafkaUnavailable
from maplebridge.kafka_log import log_error
from maplebridge.processors.views import Projection, is_restricted
from maplebridge.projections.standing import RETRACTION
from maplebridge.schemas import AvroCodec, Codec, Decoded
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

BATCH = 1000
POLL_S = 0.1
TRANSACTION_S = 30
STEP_S = 10
DECIDED_S = 1.5
"""How long after it was decided by a grant a batch may still be committed."""


@dataclass(frozen=True, slots=True)
class Granted:
    """One event on its way to one app."""

    decoded: Decoded
    plan: ViewPlan
    projection: Projection

    @property
    def out_key(self) -> str:
        """The case reference where the app may see it, which keeps a case in order."""
        meta = self.decoded.event["meta"]
        shown = self.plan.is_clear("meta.case_ref") and meta["case_ref"] is not None
        return str(meta["case_ref"] if shown else meta["event_id"])


class Deliver:
    """Fills the topics of all apps. One runs at a time: its transactional id fences others."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        views: AvroCodec,
        policies: Policies,
        audit: AuditLog,
        keys: KeyClient,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._views = views
        self._policies = policies
        self._audit = audit
        self._keys = keys
        self._projections: dict[tuple[str, str, int], Projection] = {}
        self._lost: KafkaError | None = None
        self._subscribers: Mapping[str, list[tuple[str, str]]] = {}
        self._grants_revision = -1

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set.

        Raises KafkaUnavailable, also while it is not known which grants hold,
        AuditUnavailable, KeyBrokerUnavailable; what was not committed is delivered by the
        next run.
        """
        consumer, producer = self._consumer(), self._producer()
        try:
            self._begin(consumer, producer)
            while not stop.is_set():
                self._check_connection(producer)
                messages = [m for m in consumer.consume(BATCH, POLL_S) if not self._fault(m)]
                if messages:
                    self._deliver(consumer, producer, messages)
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
        log.info("deliver is ready")

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
                    "group.id": "deliver",
                    "enable.auto.commit": False,
                    "auto.offset.reset": "earliest",
                    "isolation.level": "read_committed",
                    "session.timeout.ms": 10_000,
                    "fetch.wait.max.ms": 50,
                }
            )
        )

    def _producer(self) -> Producer:
        return Producer(
            self._settings.kafka_config(
                **{
                    "transactional.id": "deliver",
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
        if error is None:
            return False
        if error.fatal() or error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            raise KafkaException(error)
        log.warning("Kafka: %s", error.name())
        return True

    def _deliver(self, consumer: Consumer, producer: Producer, messages: Sequence[Message]) -> None:
        decided_at = time.monotonic()
        self._learn_subscribers()
        granted = [each for message in messages for each in self._grants(message)]
        self._audit_all(granted)
        pseudonyms = self._pseudonyms(granted)
        producer.begin_transaction()
        for each in granted:
            department = each.decoded.contract.department
            tokens = pseudonyms.get((each.plan.app, each.plan.purpose, department), {})
            producer.produce(
                out_topic(each.plan.app), key=each.out_key, value=self._view(each, tokens)
            )
        self._send_offsets(consumer, producer, _after(messages))
        if time.monotonic() - decided_at > DECIDED_S and any(each.plan.grants for each in granted):
            # a grant may have been revoked meanwhile: the next run decides anew
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        producer.commit_transaction(TRANSACTION_S)

    def _learn_subscribers(self) -> None:
        """Ask anew who gets what, where other grants hold than before."""
        revision = self._policies.grants.revision
        if revision == self._grants_revision:
            return
        found: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for app in self._policies.consumers.consumers:
            for purpose, event_type in self._policies.subscriptions(app):
                found[event_type].append((app, purpose))
        self._subscribers, self._grants_revision = found, revision

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

    def _grants(self, message: Message) -> Iterable[Granted]:
        try:
            decoded = self._codec.decode(message.value() or b"")
        except (EventInvalid, ContractRefused) as error:
            log.error("an event of the core stream cannot be read: %s", error)
            return
        contract, event = decoded.contract, decoded.event
        restricted = is_restricted(contract, event)
        for app, purpose in self._subscribers.get(contract.event_type, ()):
            plan = self._policies.plan(
                app, purpose, contract, event["meta"]["community"], restricted=restricted
            )
            if plan.row_allowed and self._covers(app, purpose, decoded):
                yield Granted(decoded, plan, self._projection(plan))

    def _covers(self, app: str, purpose: str, decoded: Decoded) -> bool:
        """Tell whether the app may know the event's type: a retraction speaks of another."""
        event = decoded.event
        if decoded.contract.event_type != RETRACTION:
            return True
        try:
            taken_back = self._codec.catalogue.get(event["retracts_type"])
        except ContractRefused:
            return False
        return self._policies.plan(app, purpose, taken_back, event["meta"]["community"]).row_allowed

    def _projection(self, plan: ViewPlan) -> Projection:
        key = (plan.app, plan.purpose, id(plan.shape))
        found = self._projections.get(key)
        if found is None:
            found = self._projections[key] = Projection.of(at_stream(plan))
        return found

    def _audit_all(self, granted: Sequence[Granted]) -> None:
        """Put on disk who gets what, before it leaves; raises AuditUnavailable."""
        groups: dict[tuple[str, str, int], list[Granted]] = defaultdict(list)
        for each in granted:
            groups[each.plan.app, each.plan.purpose, id(each.plan.shape)].append(each)
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
            communities=len({row.plan.community for row in rows}),
            cover=cover(row.decoded.event["meta"]["event_id"] for row in rows),
        )

    def _pseudonyms(
        self, granted: Sequence[Granted]
    ) -> dict[tuple[str, str, str], dict[str, str | None]]:
        """Return the tokens of key references by app, purpose and department."""
        wanted: dict[tuple[str, str], set[tuple[str, str]]] = defaultdict(set)
        for each in granted:
            if each.projection.pseudonyms:
                meta = each.decoded.event["meta"]
                refs = {(meta["department"], ref) for ref in meta["key_refs"].values()}
                wanted[each.plan.app, each.plan.purpose] |= refs
        found: dict[tuple[str, str, str], dict[str, str | None]] = defaultdict(dict)
        for (app, purpose), refs in wanted.items():
            tokens = self._keys.pseudonyms(purpose, app, sorted(refs))
            for (department, ref), token in tokens.items():
                found[app, purpose, department][ref] = token
        return found

    def _view(self, granted: Granted, tokens: dict[str, str | None]) -> bytes:
        meta = granted.decoded.event["meta"]
        plan, projection = granted.plan, granted.projection
        return self._views.encode(
            {
                "event_id": meta["event_id"],
                "event_type": meta["event_type"],
                "schema_version": meta["schema_version"],
                "department": meta["department"],
                "purpose": plan.purpose,
                "policy_version": plan.policy_version,
                "plan_id": projection.plan_id,
                "fields": projection.fields(granted.decoded.event, tokens),
                "hidden": projection.hidden,
            }
        )


def _after(messages: Iterable[Message]) -> list[TopicPartition]:
    """Return where to go on after `messages`."""
    after: dict[tuple[str, int], int] = {}
    for message in messages:
        after[message.topic() or "", message.partition() or 0] = (message.offset() or 0) + 1
    return [TopicPartition(*place, offset) for place, offset in sorted(after.items())]
