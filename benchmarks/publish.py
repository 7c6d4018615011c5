"""Publishing, measured against a bare loop on the same events.

Ours: `Department.batch` on `hotline.order`, 500 events a commit, three fields sealed (name,
phone, address): validated, keyed, sealed, encoded, judged against their case, spooled,
signed, with headers and delivery reports, their masters made, kept and announced. The bare
loop: fastavro's writer, the same HKDF and AEAD calls, one Ed25519 signature over the Merkle
root of 256 events and `produce` with the same settings, and nothing else. Both go round by
round, in turn, to Kafka's acknowledgement of the last event; the ratio is the median of the
rounds'. Over two processes, each is a department of its own, both at once.

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
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

from confluent_kafka import Producer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from fastavro import parse_schema, schemaless_writer

from maplebridge.access_policy.merkle import leaf_hash, root_of
from maplebridge.access_policy.signatures import BATCH_MAX_EVENTS
from maplebridge.producers import Department, uuid7
from maplebridge.producers.completion import Completer
from maplebridge.producers.kafka_config import producer_config
from maplebridge.schemas import Contract, RegistryClient, Validator
from maplebridge.schemas.codec import AvroWriter, frame_of, plain_types
from maplebridge.settings import Settings

EVENT_TYPE = "hotline.order"
ROUNDS = 9
_TRANSITIONS = ("received", "dispatched", "replied", "closed")
_STATES = ("open", "dispatched", "replied", "closed")
_SEALED = ("caller_name", "caller_phone", "address")
_WARM_UP = 2_000
_OVERHEAD_ROUNDS = 15


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

    settings: those of the department hotline. Its store is not touched: the masters and the
    spool of the benchmark live in a folder of their own.
    Returns events_per_s and limit_events_per_s (medians), ratio, one_by_one (the ratio with a
    commit for every event), validate_overhead (completing and validating, in parts of
    fastavro's own time), rss_mb (peak), rounds.
    """
    deadline = time.monotonic() + limit_s
    with tempfile.TemporaryDirectory(prefix="maplebridge-bench-") as folder:
        own = settings.model_copy(update={"home": Path(folder)})
        with Department("hotline", settings=own) as department:
            bare = BareLoop(own, department.contract(EVENT_TYPE))
            samples = make_samples(sorted(department.regions.always_communities))
            ways: list[Callable[[list[Sample]], None]] = [
                lambda batch: publish(department, batch),
                lambda batch: publish(department, batch, per_commit=1),
                bare.publish,
            ]
            for way in ways:
                way(list(islice(samples, _WARM_UP)))
            rates = _rounds(ways, samples, events // ROUNDS, deadline)
            overhead = validate_overhead(department, samples)
    return {
        "events_per_s": round(median(ours for ours, _, _ in rates)),
        "limit_events_per_s": round(median(limit for _, _, limit in rates)),
        "ratio": round(median(ours / limit for ours, _, limit in rates), 3),
        "one_by_one": round(median(single / limit for _, single, limit in rates), 3),
        "validate_overhead": round(overhead, 3),
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "rounds": len(rates),
    }


def run_processes(settings: Settings, *, events: int = 50_000) -> dict[str, float]:
    """Publish from one process, and from two at once with a store each.

    Returns events_per_s of one, of two together, and scaling, medians of three rounds.
    """
    rounds = [
        (sum(_in_processes(settings, 1, events // 6)), sum(_in_processes(settings, 2, events // 6)))
        for _ in range(3)
    ]
    return {
        "events_per_s": round(median(one for one, _ in rounds)),
        "two_events_per_s": round(median(two for _, two in rounds)),
        "scaling": round(median(two / one for one, two in rounds), 2),
    }


def _in_processes(settings: Settings, count: int, events: int) -> list[float]:
    """Return the rates of so many processes that publish at the same time."""
    spawned = get_context("spawn")
    start = spawned.Barrier(count)
    with ProcessPoolExecutor(
        count, mp_context=spawned, initializer=_keep_barrier, initargs=(start,)
    ) as pool:
        jobs = [pool.submit(_publish_alone, settings.model_dump(), events) for _ in range(count)]
        return [job.result() for job in jobs]


_barriers: list[Barrier] = []


def _keep_barrier(barrier: Barrier) -> None:
    # a barrier is handed over only while its process is made
    _barriers.append(barrier)


def _publish_alone(settings: dict[str, Any], events: int) -> float:
    with tempfile.TemporaryDirectory(prefix="maplebridge-bench-") as folder:
        own = Settings(**{**settings, "home": Path(folder)})
        with Department("hotline", settings=own) as department:
            samples = make_samples(sorted(department.regions.always_communities))
            publish(department, list(islice(samples, _WARM_UP)))
            batch = list(islice(samples, events))
            _barriers[0].wait()
            return _timed(lambda each: publish(department, each), batch)


def validate_overhead(department: Department, samples: Iterator[Sample]) -> float:
    """Return the time of completing and validating an event, in parts of fastavro's own."""
    contract = department.contract(EVENT_TYPE)
    completer = Completer(contract)
    validator = Validator(contract, department.codes, department.regions)
    writer = AvroWriter(contract.schema)
    sealed = dict.fromkeys(_SEALED, bytes(152))
    ratios = []
    for _ in range(_OVERHEAD_ROUNDS):
        batch = [(_meta(each, uuid7()), each.fields) for each in islice(samples, 200)]
        began = time.perf_counter()
        events = [completer.complete(meta, fields) for meta, fields in batch]
        for event in events:
            validator.check(event)
        checked = time.perf_counter()
        ready = [{**event, **sealed} for event in events]
        encoding = time.perf_counter()
        for event in ready:
            writer.write(event)
        ratios.append((checked - began) / (time.perf_counter() - encoding))
    return median(ratios)


def _rounds(
    ways: list[Callable[[list[Sample]], None]],
    samples: Iterator[Sample],
    size: int,
    deadline: float,
) -> list[list[float]]:
    """Return events per second of each way, round by round, the order turned each time."""
    rates: list[list[float]] = []
    for number in range(ROUNDS):
        found = [0.0] * len(ways)
        for at in range(len(ways)):
            way = (at + number) % len(ways)
            found[way] = _timed(ways[way], list(islice(samples, size)))
        rates.append(found)
        if time.monotonic() > deadline:
            break
    return rates


def _timed(work: Callable[[list[Sample]], None], batch: list[Sample]) -> float:
    began = time.perf_counter()
    work(batch)
    return len(batch) / (time.perf_counter() - began)


def publish(department: Department, events: list[Sample], *, per_commit: int = 500) -> None:
    """Publish events with Maple Bridge, to the last acknowledgement."""
    for at in range(0, len(events), per_commit):
        with department.batch() as batch:
            for sample in events[at : at + per_commit]:
                batch.publish(
                    EVENT_TYPE,
                    sample.fields,
                    community=sample.community,
                    transition=sample.transition,
                    occurred_at=datetime.now(UTC),
                    case_ref=sample.case_ref,
                    purpose="case_handling",
                    legal_basis="statutory_duty",
                )
    department.flush()


def _meta(sample: Sample, event_id: str) -> dict[str, Any]:
    now = time.time_ns() // 1000
    return {
        "event_id": event_id,
        "event_type": EVENT_TYPE,
        "schema_version": 1,
        "department": "hotline",
        "community": sample.community,
        "grid": None,
        "occurred_at": now,
        "recorded_at": now,
        "case_ref": sample.case_ref,
        "transition": sample.transition,
        "corrects": None,
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
        "retention": None,
        "backfill": False,
        "key_refs": {"subject:caller": event_id[:32]},
    }


class BareLoop:
    """The least that seals three fields of an event and sends it."""

    def __init__(self, settings: Settings, contract: Contract) -> None:
        registry = RegistryClient(settings.registry_url, tls_ca=settings.tls_ca)
        schema_id = registry.id_of(f"{contract.topic}-value", contract.schema)
        registry.close()
        self._topic = contract.topic
        self._frame = frame_of(schema_id)
        self._schema = parse_schema(plain_types(contract.schema))
        self._kafka = Producer(producer_config(settings))
        self._hash = SHA256()
        self._keys: dict[tuple[str, object], bytes] = {}
        self._signer = Ed25519PrivateKey.generate()

    def publish(self, events: list[Sample]) -> None:
        for at in range(0, len(events), BATCH_MAX_EVENTS):
            batch = [
                (sample.case_ref.encode(), self._encode(sample))
                for sample in events[at : at + BATCH_MAX_EVENTS]
            ]
            signature = self._signer.sign(root_of(leaf_hash(value) for _, value in batch))
            for key, value in batch:
                self._kafka.produce(self._topic, value + signature, key)
            self._kafka.poll(0)
        self._kafka.flush()

    def _encode(self, sample: Sample) -> bytes:
        event_id = os.urandom(18).hex()
        event = {**sample.fields, "meta": _meta(sample, event_id)}
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
