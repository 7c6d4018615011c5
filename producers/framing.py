"""From what lies in the spool to Kafka's records: framed, signed in batches, with headers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from maplebridge.access_policy.signatures import BatchSigner, event_leaf
from maplebridge.errors import ContractRefused
from maplebridge.producers.headers import CloudEventsHeaders, Headers
from maplebridge.producers.schema_ids import SchemaIds
from maplebridge.producers.spool import Spool, Spooled
from maplebridge.schemas.codec import ProofWriter, frame_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Record(NamedTuple):
    """One record for Kafka."""

    event: Spooled
    topic: str
    value: bytes
    headers: Headers


class _Way(NamedTuple):
    topic: str
    frame: bytes
    headers: CloudEventsHeaders


class Framer:
    """Makes records; used by the sender alone."""

    def __init__(
        self, department: str, spool: Spool, schema_ids: SchemaIds, signer: BatchSigner
    ) -> None:
        self._department = department
        self._spool = spool
        self._schema_ids = schema_ids
        self._signer = signer
        self._proofs = ProofWriter()
        self._ways: dict[int, _Way] = {}

    def refused(self, events: Sequence[Spooled]) -> dict[int, ContractRefused]:
        """Return the streams whose schema the registry does not have, with its answer.

        Raises RegistryUnavailable if it must be asked and does not answer.
        """
        found: dict[int, ContractRefused] = {}
        for number in {event.stream for event in events} - self._ways.keys():
            stream = self._spool.stream_of(number)
            try:
                frame = frame_of(self._schema_ids.of(stream))
            except ContractRefused as exc:
                found[number] = exc
            else:
                headers = CloudEventsHeaders(stream.ce_type, self._department)
                self._ways[number] = _Way(stream.topic, frame, headers)
        return found

    def records(self, events: Sequence[Spooled]) -> list[Record]:
        """Return the records of 1 to 256 events of known streams, signed together."""
        ways = [self._ways[event.stream] for event in events]
        unproven = [way.frame + event.body[:-1] for way, event in zip(ways, events, strict=True)]
        leaves = [
            event_leaf(way.topic, event.key.encode(), value)
            for way, event, value in zip(ways, events, unproven, strict=True)
        ]
        proofs = self._proofs.encode_batch(self._signer.prove(leaves))
        return [
            Record(
                event,
                way.topic,
                value + proof,
                way.headers.of(event.event_id, _EPOCH + event.occurred_at * _MICROSECOND),
            )
            for event, way, value, proof in zip(events, ways, unproven, proofs, strict=True)
        ]
