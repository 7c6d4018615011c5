"""A department erases by order: it reads what it is told, destroys its own masters, answers.

What is destroyed, how far the orders are read and what is still to be answered are written
in one transaction of the department's store, so a stop anywhere loses and doubles nothing.
"""

from __future__ import annotations

import logging
import threading
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from maplebridge.access_policy.acl import ERASED_TOPIC, orders_topic
from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.erasure.orders import ACKNOWLEDGED, ORDERED, Order
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.access_policy.signatures import BatchSigner, event_leaf
from maplebridge.errors import EventInvalid, KafkaUnavailable, MapleBridgeError
from maplebridge.kafka_topics import Record, send
from maplebridge.producers.masters import MasterAnnouncer
from maplebridge.producers.schema_ids import SchemaIds
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.schemas.codec import ProofWriter
from maplebridge.settings import Settings
from maplebridge.sql import load_queries

SQL = load_queries("maplebridge.producers", "erasures.sql")
SETTLED_S = 1.0
"""Who publishes for less than this has no connection made for orders."""
_POLL_S = 0.1
_RETRY_S = 5.0
log = logging.getLogger(__name__)


class Erasures:
    """Follows a department's orders in a thread of its own, from `start` to `close`."""

    def __init__(
        self,
        settings: Settings,
        store: DepartmentStore,
        keys: DepartmentKeys,
        announcer: MasterAnnouncer,
        schema_ids: SchemaIds,
        signer: BatchSigner,
    ) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._announcer = announcer
        self._schema_ids = schema_ids
        self._signer = signer
        store.make_tables(SQL["schema"])
        self._decode = AvroCodec(load_schema(ORDERED), 0).decode
        self._place = TopicPartition(orders_topic(store.department), 0)
        self._closing = threading.Event()
        self._owes_answers = True
        self._thread = threading.Thread(target=self._run, name="maplebridge-erasures", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop; harmless to repeat, and before `start`."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    def catch_up(self, timeout_s: float) -> int:
        """Do what was ordered until now, and answer; return how many orders there were.

        Raises KafkaUnavailable if Kafka does not tell the orders within `timeout_s`,
        RegistryUnavailable, DepartmentStoreUnavailable, IntegrityError.
        """
        done, deadline = 0, time.monotonic() + timeout_s
        consumer = self._consumer()
        try:
            while True:
                message = consumer.poll(_POLL_S)
                if message is None:
                    if time.monotonic() > deadline:
                        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                elif _is_end(message):
                    break
                else:
                    done += self._take(message)
            while self._owes_answers:
                self._answer()
                if self._owes_answers and time.monotonic() > deadline:
                    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
                time.sleep(_POLL_S if self._owes_answers else 0)
        except KafkaException as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, exc.args[0].name()) from exc
        finally:
            consumer.close()
        return done

    def _run(self) -> None:
        self._closing.wait(SETTLED_S)
        while not self._closing.is_set():
            try:
                self._follow()
            except MapleBridgeError as error:
                log.warning("erasures wait: %s", error)
            except KafkaException as exc:
                log.warning("erasures wait: %s", exc.args[0].name())
            except Exception:  # whatever it is, publishing goes on beside it
                log.exception("the reader of erasures met a defect")
            self._closing.wait(_RETRY_S)

    def _follow(self) -> None:
        consumer = self._consumer()
        try:
            while not self._closing.is_set():
                message = consumer.poll(_POLL_S)
                if message is not None and not _is_end(message):
                    self._take(message)
                elif self._owes_answers:
                    self._answer()
        finally:
            consumer.close()

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            self._settings.kafka_config(
                **{
                    "group.id": f"{self._settings.principal}.erasures",
                    "enable.auto.commit": False,
                    "enable.partition.eof": True,
                    # a store put back from a backup may have read further than the topic goes
                    "auto.offset.reset": "earliest",
                }
            )
        )
        with self._store.reading() as db:
            (self._place.offset,) = db.execute(SQL["next_offset"]).fetchone()
        consumer.assign([self._place])
        return consumer

    def _take(self, message: Message) -> int:
        """Carry out one order; return 1, or 0 if the record is none."""
        try:
            order = Order(**self._decode(message.value() or b""))
        except (EventInvalid, TypeError):
            log.error("the order at %s cannot be read", message.offset())
            return 0
        self._announcer.use_no_older(order.epoch)
        with self._store.transaction() as db:
            masters = self._keys.destroy(order.key_refs)
            row = {
                "erasure_id": order.erasure_id,
                "next_offset": (message.offset() or 0) + 1,
                "masters": masters,
                "done_at": time.time_ns() // 1000,
            }
            db.execute(SQL["done"], row)
        self._owes_answers = True
        log.info("erasure %s: %d masters destroyed", order.erasure_id, masters)
        return 1

    def _answer(self) -> None:
        """Tell what was done and is not yet told. Raises KafkaUnavailable, RegistryUnavailable.

        Not while an announcement is on its way: an answer says that nothing more comes that
        was wrapped to an older key, and that no copy of the store gives back what is gone.
        """
        # for the masters that are destroyed nothing newer was used
        epoch = self._announcer.use_newest_epoch()
        if self._announcer.is_under_way:
            return
        with self._store.reading() as db:
            rows = db.execute(SQL["unanswered"]).fetchall()
        if not rows:
            self._owes_answers = False
            return
        if any(masters for _, masters, _ in rows):
            self._keys.reencrypt()
            self._store.scrub()
        schema = load_schema(ACKNOWLEDGED)
        codec = AvroCodec(schema, self._schema_ids.plumbing(ERASED_TOPIC, ACKNOWLEDGED, schema))
        key, department = self._store.department.encode(), self._store.department
        for erasure_id, masters, done_at in rows:
            answer = {
                "erasure_id": erasure_id,
                "department": department,
                "done_at": done_at,
                "masters": masters,
                "epoch": epoch,
                "proof": None,
            }
            # its last byte says that it is not signed yet
            unproven = codec.encode(answer)[:-1]
            (proof,) = self._signer.prove([event_leaf(ERASED_TOPIC, key, unproven)])
            value = unproven + ProofWriter().encode(proof)
            send(self._settings, [Record(ERASED_TOPIC, key, value)])
            with self._store.transaction() as db:
                db.execute(SQL["answered"], (erasure_id,))
        self._owes_answers = False


def _is_end(message: Message) -> bool:
    """Tell whether a message says that there is no more; raises KafkaException of an error."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise KafkaException(error)
