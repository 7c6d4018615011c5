"""View plans, measured: applied to an event, against decoding it; and compiled, by the clock.

Applying: what `deliver` does with one decoded event for one app that gets it: whether the record
raised its own grade, the plan and what was made ready of it (both remembered), and the fields
shown. It opens nothing: a sealed field stays sealed. The bare loop decodes the same event's bytes
with the contract's own codec. The two go round by round, in turn, in processor time of the one
thread; a ratio is the median of the rounds'. A contract's ratio is over all apps that get its
events from the policies, each as often; the mixture has as many events of each contract.

Compiling: a plan of every app, purpose agreed with it, contract and kind of record, in a community
of each class that policies tell apart, by the clock, and in processor time, which a busy machine
does not stretch. No server takes part.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from statistics import median, quantiles
from typing import Any

from maplebridge.access_policy.plans import at_stream
from maplebridge.access_policy.policy import Policies
from maplebridge.access_policy.view_changes import community_classes
from maplebridge.processors.views import Projection, is_restricted
from maplebridge.producers import uuid7
from maplebridge.schemas import Contract, Event, load_catalogue, load_regions
from maplebridge.schemas.codec import AvroCodec

ROUNDS = 30
COMMUNITY = "330681001001"
_TOKEN_BYTES = 88 + 32
_ITEMS = 2
"""Of a list, as many as a mediation case has parties."""

Told = dict[str, float | dict[str, float]]
_Way = Callable[[], None]


@dataclass(frozen=True)
class _Pair:
    """Decoding an event so many times, and applying a plan to it as often."""

    events: int
    decode: _Way
    apply: _Way


def run(*, events: int = 3_000) -> Told:
    """Return what applying and compiling plans cost; events: of each contract, over all rounds.

    decode_us, apply_us (an event of the mixture, for one app), ratio (of the mixture), of_type
    (the ratio of each contract), worst (the highest of these); of a plan by the clock cold_p50_ms
    and cold_p99_ms, in processor time cold_cpu_p50_ms, cold_cpu_p99_ms and cold_cpu_max_ms;
    cold_plans, rounds.
    """
    policies = Policies(load_catalogue(), load_regions())
    cold = list(_cold(policies))
    pairs = {
        contract.event_type: pair
        for contract in policies.catalogue
        if (pair := _pair(policies, contract, events // ROUNDS)) is not None
    }
    rounds = _rounds(pairs)
    of_type = {
        name: round(median(each[name][1] / each[name][0] for each in rounds), 3) for name in pairs
    }
    decoding = [sum(decode for decode, _ in each.values()) for each in rounds]
    applying = [sum(apply for _, apply in each.values()) for each in rounds]
    count = sum(pair.events for pair in pairs.values())
    clock, processor = (quantiles(seconds, n=100) for seconds in zip(*cold, strict=True))
    return {
        "decode_us": round(median(decoding) / count * 1e6, 2),
        "apply_us": round(median(applying) / count * 1e6, 2),
        "ratio": round(median(a / d for a, d in zip(applying, decoding, strict=True)), 3),
        "worst": max(of_type.values()),
        "of_type": of_type,
        "cold_p50_ms": round(clock[49] * 1e3, 2),
        "cold_p99_ms": round(clock[98] * 1e3, 2),
        "cold_cpu_p50_ms": round(processor[49] * 1e3, 2),
        "cold_cpu_p99_ms": round(processor[98] * 1e3, 2),
        "cold_cpu_max_ms": round(max(each for _, each in cold) * 1e3, 2),
        "cold_plans": len(cold),
        "rounds": len(rounds),
    }


def _cold(policies: Policies) -> Iterator[tuple[float, float]]:
    """Yield the seconds of each plan that is not remembered: by the clock, of the processor."""
    communities = community_classes(policies)
    for app, consumer in policies.consumers.consumers.items():
        for purpose, contract, community, restricted in product(
            consumer.purposes, policies.catalogue, communities, (False, True)
        ):
            began, used = time.perf_counter(), time.thread_time()
            policies.plan(app, purpose, contract, community, restricted=restricted)
            yield time.perf_counter() - began, time.thread_time() - used


def _pair(policies: Policies, contract: Contract, count: int) -> _Pair | None:
    """Return the two ways for one contract, or None if no app gets its events."""
    codec = AvroCodec(contract.schema, 1)
    value = codec.encode(made(contract))
    event = codec.decode(value)
    community = event["meta"]["community"]
    readers = [
        (app, purpose)
        for app, consumer in policies.consumers.consumers.items()
        for purpose in consumer.purposes
        if policies.stream(app, purpose, contract, community).allowed
    ]
    if not readers:
        return None
    ready: dict[int, Projection] = {}
    for app, purpose in readers:
        plan = policies.plan(app, purpose, contract, community)
        ready[id(plan)] = Projection.of(at_stream(plan))

    def decode() -> None:
        for _ in range(count * len(readers)):
            codec.decode(value)

    def apply() -> None:
        for _ in range(count):
            for app, purpose in readers:
                restricted = is_restricted(contract, event)
                plan = policies.plan(app, purpose, contract, community, restricted=restricted)
                ready[id(plan)].fields(event, {})

    return _Pair(count * len(readers), decode, apply)


def _rounds(pairs: Mapping[str, _Pair]) -> list[dict[str, tuple[float, float]]]:
    """Return the seconds of (decoding, applying) by event type, round by round."""
    for pair in pairs.values():
        pair.decode()
        pair.apply()
    found = []
    for number in range(ROUNDS):
        told = {}
        for name, pair in pairs.items():
            ways = (pair.decode, pair.apply)
            seconds = [0.0, 0.0]
            for at in ((0, 1), (1, 0))[number % 2]:
                began = time.thread_time()
                ways[at]()
                seconds[at] = time.thread_time() - began
            told[name] = (seconds[0], seconds[1])
        found.append(told)
    return found


def made(contract: Contract) -> Event:
    """Return an event that fits the contract's Avro schema, every optional field given.

    Its strings are no codes: nothing here judges them.
    """
    names: dict[str, Any] = {}
    event: Event = _value(contract.schema, names)
    event["meta"] |= {
        "event_id": uuid7(), "community": COMMUNITY, "department": contract.department,
        "event_type": contract.event_type, "case_ref": "ZJ-2026-000001",
        "key_refs": {scope: os.urandom(16).hex() for scope in contract.subjects},
    }  # fmt: skip
    return event


def _value(schema: Any, names: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return _value(next(branch for branch in schema if branch != "null"), names)
    if isinstance(schema, str) and schema in names:
        return _value(names[schema], names)
    kind = schema if isinstance(schema, str) else schema["type"]
    match kind:
        case "record":
            names[f"{schema.get('namespace', 'maplebridge')}.{schema['name']}"] = schema
            return {field["name"]: _value(field["type"], names) for field in schema["fields"]}
        case "array":
            return [_value(schema["items"], names) for _ in range(_ITEMS)]
        case "map":
            return {}
        case "bytes":
            return os.urandom(_TOKEN_BYTES)
        case "fixed":
            return os.urandom(schema["size"])
        case "boolean":
            return False
        case "int" | "long":
            return 1_764_000_000_000_000 if kind == "long" else 7
        case "double" | "float":
            return 12.5
        case "string":
            return "made_up_code"
    raise AssertionError(f"no value is known for {kind}")
