"""Orders to departments to destroy their own masters, and what they answer.

Each department has a topic of orders that it alone reads: told to all, an order would tell
them which references of several departments are one person. Answers are signed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from maplebridge.access_policy.acl import ERASED_TOPIC, orders_topic
from maplebridge.access_policy.signatures import SignatureVerifier
from maplebridge.access_policy.signing_keys import SigningKeyDirectory
from maplebridge.errors import EventInvalid
from maplebridge.kafka_topics import Record, read_to_end, send_together
from maplebridge.schemas import AvroCodec, Event, RegistryClient, load_catalogue, load_schema
from maplebridge.settings import Settings

ORDERED = "control/erasure.ordered.v1"
ACKNOWLEDGED = "control/erasure.acknowledged.v1"


@dataclass(frozen=True)
class Order:
    """A department is to destroy its masters of these references; ordered_at: microseconds.

    epoch: from now on it wraps masters to no older key of the broker.
    """

    erasure_id: str
    department: str
    ordered_at: int
    epoch: str
    key_refs: Sequence[str]


@dataclass(frozen=True)
class Acknowledgement:
    """What a department says it has done; done_at: microseconds since 1970.

    masters: over all its answers. epoch: the newest that it may have wrapped masters to.
    """

    erasure_id: str
    department: str
    done_at: int
    masters: int
    epoch: str


def order(
    settings: Settings, erasure_id: str, orders: Mapping[str, Sequence[str]], *, epoch: str
) -> None:
    """Tell each department which references to erase; an order may come twice.

    All are told or none: what a restored key broker finds ordered is the whole of an erasure.
    settings: the administrator's, who alone may write there. Raises KafkaUnavailable,
    RegistryUnavailable.
    """
    if not orders:
        return
    schema = load_schema(ORDERED)
    registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
    try:
        # one schema on the topics of all departments
        topic = orders_topic(min(orders))
        codec = AvroCodec(schema, registry.id_of(f"{topic}-value", schema))
    finally:
        registry.close()
    now = time.time_ns() // 1000
    told = [Order(erasure_id, each, now, epoch, refs) for each, refs in orders.items()]
    send_together(
        settings,
        [Record(orders_topic(each.department), b"", codec.encode(asdict(each))) for each in told],
        transaction=f"erasure.{erasure_id}",
    )


def orders_given(settings: Settings) -> list[Order]:
    """Return every order that any department ever had; settings: the administrator's.

    Raises KafkaUnavailable.
    """
    decode = AvroCodec(load_schema(ORDERED), 0).decode
    topics = [orders_topic(each) for each in load_catalogue().departments]
    group = f"{settings.principal}.erasure"
    return [Order(**decode(each.value)) for each in read_to_end(settings, topics, group=group)]


def acknowledgements(settings: Settings, erasure_id: str) -> dict[str, list[Acknowledgement]]:
    """Return by department what it answered to an erasure, in order, and has signed.

    Raises KafkaUnavailable.
    """
    decode = AvroCodec(load_schema(ACKNOWLEDGED), 0).decode
    directory = SigningKeyDirectory(settings)
    signatures = SignatureVerifier(directory)
    group = f"{settings.principal}.erasure"
    found: dict[str, list[Acknowledgement]] = {}
    try:
        for record in read_to_end(settings, [ERASED_TOPIC], group=group):
            for each in _acknowledged(decode, signatures, record):
                if each.erasure_id == erasure_id:
                    found.setdefault(each.department, []).append(each)
    finally:
        directory.close()
    return found


def _acknowledged(
    decode: Callable[[bytes], Event], signatures: SignatureVerifier, record: Record
) -> list[Acknowledgement]:
    """Return what a record says, nothing if its department did not say it."""
    try:
        told = decode(record.value)
        proof = told.pop("proof")
        answer = Acknowledgement(**told)
        signatures.check_record(
            answer.department, ERASED_TOPIC, record.key, record.value, proof, record.at
        )
    except (EventInvalid, KeyError, TypeError):
        return []
    return [answer]
