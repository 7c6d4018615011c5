"""Combining, measured against a bare loop on the same records.

Ours: the worker of the bulk lane with every check, dedupe, cases, tallies and outbox.
The bare loop: `consume`, fastavro and one COPY-based upsert of the same tallies, and
nothing else. Both read the same topics from the beginning, in turn, each round in a
process of its own; the ratio is the median of the rounds'.

The events are those of the demo day, published by `Department` with sealed fields and
signed in batches of 256. signature_share is the processor time that judging spends on
signatures, by the clock of its thread around each check and less what reading that clock
costs, over the time of the whole run.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from statistics import median
from typing import Any
from unittest.mock import patch

from confluent_kafka import Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader

from maplebridge.demo.generator import Day
from maplebridge.demo.run import publish_day
from maplebridge.processors.combine import BATCH, POLL_S
from maplebridge.processors.judge import Judge
from maplebridge.projections.folds import HOUR_US, TallyKey
from maplebridge.projections.migrate import drop, migrate
from maplebridge.projections.store import Place, connect
from maplebridge.projections.tables import SQL
from maplebridge.schemas import RegistryClient, load_catalogue, load_regions
from maplebridge.schemas.codec import plain_types
from maplebridge.settings import Profile, Settings
from maplebridge.wiring import SWITCH_INTERVAL_S, make_combine, open_stores

ROUNDS = 3
SCHEMA = "bench"
LIMIT_S = 600.0
_CLOCK_TRIES = 100_000


def run(profile: Profile, *, events: int = 100_000) -> dict[str, float]:
    """Publish `events` once, then combine them each way in turn.

    Returns events_per_s and limit_events_per_s (medians), ratio, rss_mb (peak of ours), and
    signature_share (median).
    """
    publish_day(profile, Day(load_regions(), count=events).events())
    ends = record_ends(profile.settings("combine"))
    count = sum(ends.values())
    ours_s, bare_s, shares, rss = [], [], [], 0.0
    for _ in range(ROUNDS):
        seconds, _ = _alone(_bare, profile, ends)
        bare_s.append(count / seconds)
        seconds, used = _alone(_ours, profile, ends)
        ours_s.append(count / seconds)
        rss = max(rss, used)
        share, _ = _alone(_signatures, profile, ends)
        shares.append(share)
    ratios = [ours / bare for ours, bare in zip(ours_s, bare_s, strict=True)]
    return {
        "events_per_s": round(median(ours_s)),
        "limit_events_per_s": round(median(bare_s)),
        "ratio": round(median(ratios), 3),
        "signature_share": round(median(shares), 3),
        "rss_mb": round(rss, 1),
        "events": count,
        "rounds": ROUNDS,
    }


def _alone(
    work: Callable[[Profile, dict[Place, int]], tuple[float, float]],
    profile: Profile,
    ends: dict[Place, int],
) -> tuple[float, float]:
    """Run one round in a fresh process, so that its memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, profile, ends).result(LIMIT_S)


def _ours(profile: Profile, ends: dict[Place, int]) -> tuple[float, float]:
    """Return (seconds, peak resident MB) of the project's own lane."""
    admin = profile.settings("admin")
    with connect(admin, schema="public") as owner:
        drop(owner, schema=SCHEMA)
        migrate(owner, schema=SCHEMA)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    stores = open_stores(admin, schema=SCHEMA)
    combine = make_combine(profile.settings("combine"), stores, ends=ends)
    began = time.perf_counter()
    combine.run(threading.Event())
    return time.perf_counter() - began, _peak_mb()


def _signatures(profile: Profile, ends: dict[Place, int]) -> tuple[float, float]:
    """Return (share, peak resident MB) of a run in which every signature check is timed."""
    spent_s = 0.0
    check = Judge.check_signature

    def timed(*given: Any) -> None:
        nonlocal spent_s
        began = time.thread_time()
        check(*given)
        spent_s += time.thread_time() - began

    with patch.object(Judge, "check_signature", timed):
        seconds, used = _ours(profile, ends)
    spent_s -= sum(ends.values()) * _clock_s()
    return spent_s / seconds, used


def _clock_s() -> float:
    """Return what reading the thread's clock around a call adds to the call's own time."""
    spent_s = 0.0
    for _ in range(_CLOCK_TRIES):
        began = time.thread_time()
        spent_s += time.thread_time() - began
    return spent_s / _CLOCK_TRIES


def _bare(profile: Profile, ends: dict[Place, int]) -> tuple[float, float]:
    """Return (seconds, peak resident MB) of the bare loop."""
    admin = profile.settings("admin")
    with connect(admin, schema="public") as owner:
        drop(owner, schema=SCHEMA)
        migrate(owner, schema=SCHEMA)
    registry = RegistryClient(profile.registry_url, tls_ca=profile.tls_ca)
    schemas = {
        registry.id_of(f"{each.topic}-value", each.schema): (
            each.event_type,
            each.tally,
            parse_schema(plain_types(each.schema)),
        )
        for each in load_catalogue()
    }
    consumer = _consumer(profile.settings("combine"))
    consumer.assign([TopicPartition(*place, 0) for place in sorted(ends)])
    left = sum(ends.values())
    with connect(admin, schema=SCHEMA) as connection:
        for statement in SQL["staging"].split(";"):
            connection.execute(statement)
        began = time.perf_counter()
        while left > 0:
            tallies: dict[TallyKey, int] = {}
            messages = consumer.consume(BATCH, POLL_S)
            for message in messages:
                key = _tally(message.value() or b"", schemas)
                tallies[key] = tallies.get(key, 0) + 1
            left -= len(messages)
            with connection.transaction(), connection.cursor() as cursor:
                with cursor.copy(SQL["copy_tallies"]) as copy:
                    for key, number in tallies.items():
                        copy.write_row((*key, number))
                cursor.execute(SQL["add_tallies"])
        seconds = time.perf_counter() - began
    consumer.close()
    return seconds, _peak_mb()


def _tally(value: bytes, schemas: dict[int, tuple[str, str, Any]]) -> TallyKey:
    event_type, tally, schema = schemas[int.from_bytes(value[1:5], "big")]
    buffer = BytesIO(value)
    buffer.seek(5)
    event: Any = schemaless_reader(buffer, schema, None)
    meta = event["meta"]
    occurred_at = meta["occurred_at"]
    hour = occurred_at - occurred_at % HOUR_US
    transition, unit = meta["transition"], event.get("unit") or ""
    return meta["community"], hour, event_type, transition, event[tally], unit


def _consumer(settings: Settings) -> Consumer:
    return Consumer(
        settings.kafka_config(
            **{
                "group.id": "combine-bench",
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "fetch.max.bytes": 16_000_000,
                "queued.max.messages.kbytes": 65_536,
                "fetch.wait.max.ms": 50,
            }
        )
    )


def record_ends(settings: Settings) -> dict[Place, int]:
    """Return where each partition of the departments' topics ends now."""
    consumer = _consumer(settings)
    found: dict[Place, int] = {}
    for topic in (topic for each in load_catalogue().published for topic in each.topics):
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            marks = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            found[topic, partition] = marks[1] if marks else 0
    consumer.close()
    return found


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
