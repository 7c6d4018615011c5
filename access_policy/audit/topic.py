"""The audit log on Kafka: its records on `mb.control.access`, and an export made of them.

One partition, kept for ever: leaves in the order of their indexes, each checkpoint after the
leaves it covers. The relay may send a record twice, so a reader takes each once; two leaves
of one index that differ are damage.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from maplebridge.access_policy.acl import ACCESS_TOPIC
from maplebridge.access_policy.audit.source import export_lines
from maplebridge.access_policy.audit.store import StoredCheckpoint, StoredLeaf
from maplebridge.access_policy.merkle import leaf_hash
from maplebridge.access_policy.signed_note import split_note
from maplebridge.errors import AuditCorrupt, EventInvalid, KafkaUnavailable
from maplebridge.schemas import AvroCodec, load_schema
from maplebridge.settings import Settings

SCHEMA = "control/access.recorded.v1"
TIMEOUT_S = 30.0
POLL_S = 0.05
_BATCH = 5000


def leaf_record(index: int, body: str) -> tuple[bytes, dict[str, Any]]:
    """Return the key and the value of a leaf's record."""
    empty = {"note": None, "frontier": b"", "tail": b""}
    return b"leaf-%d" % index, {"index": index, "leaf": body, **empty}


def checkpoint_record(stored: StoredCheckpoint) -> tuple[bytes, dict[str, Any]]:
    """Return the key and the value of a checkpoint's record."""
    return b"checkpoint-%d" % stored.size, {
        "index": stored.size,
        "leaf": None,
        "note": stored.note,
        "frontier": stored.frontier,
        "tail": stored.tail,
    }


def write_topic_export(settings: Settings, path: Path, *, topic: str = ACCESS_TOPIC) -> int:
    """Write the log as Kafka has it to `path`, as `write_export` does; return the leaves.

    settings: those of a principal that may read the topic. Raises KafkaUnavailable;
    AuditCorrupt if a record is none of the log, or two of one index differ.
    """
    checkpoints = dict[tuple[int, str], StoredCheckpoint]()
    taken = _Leaves()
    leaves = path.with_suffix(".leaves")
    try:
        with leaves.open("w", encoding="utf-8") as file:
            for record in _records(settings, topic):
                if record["leaf"] is None:
                    _take_checkpoint(checkpoints, record)
                    continue
                for line in export_lines(taken.take(record["index"], record["leaf"]), []):
                    file.write(line + "\n")
        taken.end()
        with path.open("w", encoding="utf-8") as file, leaves.open(encoding="utf-8") as lines:
            ordered = sorted(checkpoints.values(), key=lambda each: each.size)
            file.writelines(f"{line}\n" for line in export_lines([], ordered))
            file.writelines(lines)
    finally:
        leaves.unlink(missing_ok=True)
    return len(taken.hashes)


class _Leaves:
    """Brings leaves into the order of their indexes, each once.

    They come so, but for what the relay sent again after some of a batch failed.
    """

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self._early: dict[int, StoredLeaf] = {}

    def take(self, index: int, body: str) -> Iterator[StoredLeaf]:
        """Yield the leaves that can be told now; raises AuditCorrupt if one came otherwise."""
        leaf = StoredLeaf(index, leaf_hash(body.encode()), body)
        known = self._early.setdefault(index, leaf).leaf_hash
        if 0 <= index < len(self.hashes):
            known = self.hashes[index]
            del self._early[index]
        if known != leaf.leaf_hash:
            raise AuditCorrupt(f"Kafka holds two leaves {index} that differ.", index=index)
        while (following := self._early.pop(len(self.hashes), None)) is not None:
            self.hashes.append(following.leaf_hash)
            yield following

    def end(self) -> None:
        """Raises AuditCorrupt if a leaf never came."""
        if self._early:
            at = len(self.hashes)
            raise AuditCorrupt(f"Kafka lacks leaf {at}.", index=at)


def _take_checkpoint(
    checkpoints: dict[tuple[int, str], StoredCheckpoint], record: dict[str, Any]
) -> None:
    size, note = record["index"], record["note"]
    if note is None:
        raise AuditCorrupt("a record on Kafka is neither leaf nor checkpoint.")
    # a checkpoint comes again when witnesses have co-signed it: the fuller note holds
    at = (size, split_note(note)[0])
    known = checkpoints.get(at)
    if known is None or len(known.note) < len(note):
        checkpoints[at] = StoredCheckpoint(size, note, record["frontier"], record["tail"])


def _records(settings: Settings, topic: str) -> Iterator[dict[str, Any]]:
    codec = AvroCodec(load_schema(SCHEMA), 0)
    for value in _values(settings, topic):
        try:
            yield codec.decode(value)
        except EventInvalid:
            raise AuditCorrupt("a record on Kafka is none of the audit log.") from None


def _values(settings: Settings, topic: str) -> Iterable[bytes]:
    """Yield what the topic holds now, in order; raises KafkaUnavailable."""
    config = {"group.id": f"{settings.principal}.access", "enable.auto.commit": False}
    consumer = Consumer(settings.kafka_config(**config))
    try:
        place = TopicPartition(topic, 0, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
        consumer.assign([place])
        at, deadline = 0, time.monotonic() + TIMEOUT_S
        while at < end:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            for message in consumer.consume(min(_BATCH, end - at), POLL_S):
                if message.error():
                    raise KafkaException(message.error())
                at = (message.offset() or 0) + 1
                deadline = time.monotonic() + TIMEOUT_S
                yield message.value() or b""
    except KafkaException as exc:
        raise KafkaUnavailable(settings.kafka_bootstrap, exc.args[0].name()) from exc
    finally:
        consumer.close()
