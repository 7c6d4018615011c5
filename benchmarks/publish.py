"""Publishing, measured against a bare loop on the same events.

Ours: `Department.publish` on `hotline.order`, three fields sealed (name, phone, address):
validated, keyed, sealed, encoded, with headers and delivery reports, its masters made,
kept and announced. The bare loop: fastavro's writer, the same HKDF and AEAD calls and
`produce` with the same settings, and nothing else. Both go round by round, in turn, to
Kafka's acknowledgement of the last event; the ratio is the median of the rounds'.

The events are a hotline's: an order has four, under one case reference; every caller
has two orders from one community, so every eighth event makes a master.
"""

from __future__ import annotations

import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import Producer
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from fastavro import parse_schema, schemaless_writer

from maplebridge.producers import Department
from maplebridge.producers.kafka_config import producer_config
from maplebridge.schemas import Contract, RegistryClient
from maplebridge.schemas.codec import HEADER, MAGIC, plain_types
from maplebridge.settings import Settings

EVENT_TYPE = "hotline.order"
ROUNDS = 9
_TRANSITIONS = ("received", "dispatched", "replied", "closed")
_STATES = ("open", "dispatched", "replied", "closed")
_SEALED = ("caller_name", "caller_phone", "address")
_WARM_UP = 2_000
_POLL_EVENTS = 500


@dataclass(frozen=True)
class Sample:
    """One event to publish, and whom it is about."""

    community: str
    case_ref: str
    transition: str
    caller: int
    fields: dict[str, Any]


def run(settings: Settings, *, events: int = 50_000, limit_s: float = 120.0) -> dict[str, float]:
    """Publish `events` each way, to the topic of hotline.order, or fewer if `limit_s` is over.

    settings: those of the department hotline. Its key store is not touched: the masters
    of the benchmark live in a folder of their own.
    Returns events_per_s and limit_events_per_s (medians), ratio, rss_mb (peak), rounds.
    """
    deadline = time.monotonic() + limit_s
    with tempfile.TemporaryDirectory(prefix="maplebridge-bench-") as folder:
        own = settings.model_copy(update={"home": Path(folder)})
        with Department("hotline", settings=own) as department:
            bare = BareLoop(own, department.contract(EVENT_TYPE))
            communities = sorted(department.regions.communities)
            samples = make_samples(communities)
            _timed(lambda batch: publish(department, batch), list(islice(samples, _WARM_UP)))
            _timed(bare.publish, list(islice(samples, _WARM_UP)))
            ours_s, bare_s = _rounds(department, bare, samples, events // ROUNDS, deadline)
    return {
        "events_per_s": round(median(ours_s)),
        "limit_events_per_s": round(median(bare_s)),
        "ratio": round(median(o / b for o, b in zip(ours_s, bare_s, strict=True)), 3),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "rounds": len(ours_s),
    }


def _rounds(
    department: Department,
    bare: BareLoop,
    samples: Iterator[Sample],
    size: int,
    deadline: float,
) -> tuple[list[float], list[float]]:
    """Return events per second of each round, ours and the bare loop's."""
    ours: list[float] = []
    limit: list[float] = []
    for number in range(ROUNDS):
        one, other = list(islice(samples, size)), list(islice(samples, size))
        if number % 2:
            limit.append(_timed(bare.publish, other))
        ours.append(_timed(lambda batch: publish(department, batch), one))
        if not number % 2:
            limit.append(_timed(bare.publish, other))
        if time.monotonic() > deadline:
            break
    return ours, limit


def _timed(work: Callable[[list[Sample]], None], batch: list[Sample]) -> float:
    began = time.perf_counter()
    work(batch)
    return len(batch) / (time.perf_counter() - began)


def publish(department: Department, batch: list[Sample]) -> None:
    """Publish a batch with Maple Bridge, to the last acknowledgement."""
    for sample in batch:
        department.publish(
            EVENT_TYPE,
            sample.fields,
            community=sample.community,
            transition=sample.transition,
            occurred_at=datetime.now(UTC),
            case_ref=sample.case_ref,
            purpose="case_handling",
            legal_basis="statutory_duty",
            backfill=True,
        )
    department.flush()


class BareLoop:
    """The least that seals three fields of an event and sends it."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
        schema_id = registry.id_of(f"{contract.topic}-value", contract.schema)
        registry.close()
        self._topic = contract.topic
        self._frame = HEADER.pack(MAGIC, schema_id)
        self._schema = parse_schema(plain_types(contract.schema))
        self._kafka = Producer(producer_config(settings))
        self._hash = SHA256()
        self._keys: dict[tuple[str, object], bytes] = {}

    def publish(self, batch: list[Sample]) -> None:
        for number, sample in enumerate(batch):
            key = sample.case_ref.encode()
            self._kafka.produce(self._topic, self._encode(sample), key)
            if number % _POLL_EVENTS == 0:
                self._kafka.poll(0)
        self._kafka.flush()

    def _encode(self, sample: Sample) -> bytes:
        now = time.time_ns() // 1000
        event_id = os.urandom(18).hex()
        meta = {
            "event_id": event_id,
            "event_type": EVENT_TYPE,
            "schema_version": 1,
            "department": "hotline",
            "community": sample.community,
            "occurred_at": now,
            "recorded_at": now,
            "case_ref": sample.case_ref,
            "transition": sample.transition,
            "purpose": "case_handling",
            "legal_basis": "statutory_duty",
            "backfill": True,
            "key_refs": {"subject:caller": event_id[:32]},
        }
        event = {**sample.fields, "meta": meta}
        for name in _SEALED:
            context = f"{event_id}{name}"
            event[name] = self._seal(sample.fields[name], context, name, sample.caller)
        buffer = BytesIO()
        buffer.write(self._frame)
        schemaless_writer(buffer, self._schema, event)
        return buffer.getvalue()

    def _seal(self, text: str, context: str, name: str, who: object) -> bytes:
        key = self._keys.get((name, who))
        if key is None:
            key = self._keys[name, who] = HKDFExpand(self._hash, 32, name.encode()).derive(
                os.urandom(32)
            )
        salt, bound = os.urandom(16), context.encode()
        both = HKDF(self._hash, 64, salt, hashlib.sha256(bound).digest()).derive(key)
        value = text.encode()
        head = bytes(24) + salt + both[32:]
        padded = value.ljust(32 if len(value) < 32 else 128, b"\0")
        return head + AESGCM(both[:32]).encrypt(bytes(12), padded, head + bound)


def make_samples(communities: list[str]) -> Iterator[Sample]:
    """Yield made-up events without end; no two runs share a case."""
    run_id = os.urandom(4).hex()
    order = 0
    while True:
        caller = order // 2
        community = communities[caller * 7 % len(communities)]
        for transition, state in zip(_TRANSITIONS, _STATES, strict=True):
            fields = {
                "order_no": f"B{order:08d}",
                "channel": "phone",
                "demand_type": "help",
                "category": "noise",
                "urgency": "general",
                "unit": "U1",
                "state": state,
                "caller_name": f"虚构{caller}",
                "caller_phone": f"1{caller:010d}",
                "address": f"虚构路{caller % 300}号",
            }
            yield Sample(community, f"bench-{run_id}/{order}", transition, caller, fields)
        order += 1
