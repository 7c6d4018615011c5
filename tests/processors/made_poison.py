"""Records that no department may send, of every kind that there is."""

from __future__ import annotations

import copy
import secrets
import time
from typing import Any

from maplebridge.access_policy.signatures import SigningKey
from maplebridge.schemas import AvroCodec, Event, RegistryClient
from tests.processors.lanes import Kafka, key_of
from tests.processors.made_events import catalogue, corrected, grid_case, order
from tests.processors.signing import signed

HOTLINE = catalogue().get("hotline.order")
CANARY = "13800138000-canary"
Poison = tuple[str, str, bytes | None, bytes | None]
"""expected reason (a part of it), path, key, value"""


def foreign_id(registry: RegistryClient) -> int:
    """Register what is no contract: the order with its phone graded L1."""
    schema: dict[str, Any] = copy.deepcopy(HOTLINE.schema)
    next(f for f in schema["fields"] if f["name"] == "caller_phone")["confluent:tags"] = ["L1"]
    return registry.register(f"test-{secrets.token_hex(4)}-value", schema)


def poison(kafka: Kafka) -> list[Poison]:
    def coded(event: Event, key: bytes | None = None) -> tuple[bytes, bytes]:
        return key or key_of(event), kafka.signed(event, record_key=key)

    good = order()
    key, value = coded(good)
    registry = RegistryClient(kafka.profile.registry_url)
    foreign = AvroCodec(HOTLINE.schema, foreign_id(registry))
    registry.close()
    unsigned = kafka.codec.encode(HOTLINE, good)
    forger = SigningKey.decode(kafka.profile.signing_keys["dept-grid"])
    forged = signed(
        kafka.codec, HOTLINE, good, forger, topic=HOTLINE.topic, record_key=key_of(good)
    )
    nobody = SigningKey.generate()
    stranger = signed(
        kafka.codec, HOTLINE, good, nobody, topic=HOTLINE.topic, record_key=key_of(good)
    )
    altered = value.replace(b"help", b"hulp")
    named = corrected(good, corrects=good["meta"]["event_id"].upper())
    ahead = int(time.time() * 1_000_000) + 3600 * 1_000_000
    return [
        ("empty", "", key, None),
        ("not framed", "", key, b""),
        ("not framed", "", None, b"not framed"),
        ("not in the registry", "", key, b"\x00\x7f\xff\xff\xff" + value[5:]),
        ("not one of the pinned", "", key, foreign.encode(good)),
        ("not Avro", "", key, value[: len(value) // 2]),
        ("left over", "", key, value + b"\x00"),
        ("larger than", "", key, value + bytes(1_000_001)),
        ("on another topic", "", *coded(grid_case())),
        ("not the topic's department", "meta.department", *coded(order(department="grid"))),
        ("not a UUID", "meta.event_id", *coded(order(event_id=CANARY))),
        ("unknown community", "meta.community", *coded(order(community="1"))),
        ("unknown transition", "meta.transition", *coded(order(transition="x"))),
        ("the record's key", "meta.case_ref", *coded(good, b"another key")),
        ("ahead", "meta.occurred_at", *coded(order(occurred_at=ahead, case_ref="POISON"))),
        ("before the calendar", "meta.occurred_at", *coded(order(occurred_at=-(2**62)))),
        ("not sealed", "caller_phone", *coded(order({"caller_phone": CANARY.encode()}))),
        ("not signed", "proof", key, unsigned),
        ("signed by another department", "proof.key_id", key, forged),
        ("a key that is not enrolled", "proof.key_id", key, stranger),
        ("signature does not cover it", "proof", key, altered),
        ("not a UUID", "meta.corrects", *coded(named)),
        ("not a text", "unit", *coded(order({"unit": "a\0b"}))),
        ("not a text", "state", *coded(order({"state": "x" * 9000}))),
        ("not a text", "meta.case_ref", *coded(order(case_ref="x" * 9000))),
    ]
