"""The department's masters on their way to the key broker."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from confluent_kafka import KafkaError, Message

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keystore import DepartmentKeys, KeyBatch
from maplebridge.access_policy.keytransport import TOPIC
from maplebridge.access_policy.signatures import BatchSigner, event_leaf
from maplebridge.producers.broker_key import BrokerKey
from maplebridge.producers.kafka_line import KafkaLine
from maplebridge.producers.schema_ids import SchemaIds
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.schemas.codec import ProofWriter

_SCHEMA = "control/keys.master.created.v1"


class MasterAnnouncer:
    """Sends new masters, wrapped to the key broker and signed; used by the sender alone."""

    def __init__(
        self,
        store: DepartmentStore,
        keys: DepartmentKeys,
        broker_key: BrokerKey,
        schema_ids: SchemaIds,
        signer: BatchSigner,
    ) -> None:
        self._store = store
        self._keys = keys
        self._broker_key = broker_key
        self._schema_ids = schema_ids
        self._signer = signer
        self._proofs = ProofWriter()
        self._codec: AvroCodec | None = None
        self._under_way: list[KeyBatch] = []
        self._reached = 0
        self._failed: KafkaError | None = None
        self._turning = threading.Lock()

    def use_no_older(self, epoch: str) -> None:
        """Wrap to no older epoch's key, once what is under way is acknowledged."""
        with self._turning:
            self._broker_key.use_no_older(epoch)

    def use_newest_epoch(self) -> str:
        """Wrap to no older epoch's key than to any until now, as `use_no_older`; return it."""
        with self._turning:
            return self._broker_key.use_newest()

    @property
    def is_under_way(self) -> bool:
        """True while announcements are on their way, perhaps wrapped to an older key."""
        with self._turning:
            return bool(self._under_way)

    @property
    def acknowledged(self) -> int:
        """Masters numbered up to this one are known to Kafka."""
        return self._under_way[0].first - 1 if self._under_way else self._reached

    @property
    def newest(self) -> int:
        """The number of the newest master written."""
        return self._keys.last_pending

    @property
    def is_idle(self) -> bool:
        """True while no announcement is on its way, and none is left to be sent."""
        return not self._under_way and self._reached >= self._keys.last_pending

    def take_failure(self) -> KafkaError | None:
        """Return what an announcement failed of, once."""
        failed, self._failed = self._failed, None
        return failed

    def advance(self, kafka: KafkaLine) -> None:
        """Send what is not yet announced, unless something still is on its way.

        Raises RegistryUnavailable, KeyBrokerUnavailable, KeyWithheld, ContractRefused,
        DepartmentStoreUnavailable.
        """
        with self._turning:
            self._advance(kafka)

    def _advance(self, kafka: KafkaLine) -> None:
        if self._under_way or self._reached >= self._keys.last_pending:
            return
        batches = self._keys.pending(after=self._reached)
        if not batches:
            self._reached = self._keys.last_pending
            return
        # a master that others hold must still be the department's own after a power failure
        self._store.make_durable()
        public_key, encode = self._broker_key.current(), self._encoder()
        now = time.time_ns() // 1000
        key = self._keys.department.encode()
        unproven = [
            encode(self._keys.announcement(each, public_key, created_at=now))[:-1]
            for each in batches
        ]
        leaves = [event_leaf(TOPIC, key, each) for each in unproven]
        proofs = self._proofs.encode_batch(self._signer.prove(leaves))
        values = [each + proof for each, proof in zip(unproven, proofs, strict=True)]
        self._under_way = list(batches)
        for batch, value in zip(batches, values, strict=True):
            kafka.produce(TOPIC, value, key, None, self._report_of(batch))

    def begin_again(self) -> None:
        """Forget what is on its way: its producer is done for."""
        self._under_way.clear()

    def _report_of(self, batch: KeyBatch) -> Callable[[KafkaError | None, Message], None]:
        def report(error: KafkaError | None, _: Message) -> None:
            if batch not in self._under_way:
                return
            if error is not None:
                self._failed = error
                self._under_way.clear()
                return
            self._under_way.remove(batch)
            self._reached = max(self._reached, batch.last)
            self._keys.mark_published(batch)

        return report

    def _encoder(self) -> Callable[[dict[str, object]], bytes]:
        """Return what encodes an announcement; its last byte says that it is not signed yet."""
        if self._codec is None:
            schema = load_schema(_SCHEMA)
            self._codec = AvroCodec(schema, self._schema_ids.plumbing(TOPIC, _SCHEMA, schema))
        return self._codec.encode
