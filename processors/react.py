"""Reactions: a Faust worker on the accepted events.

Faust moves, PostgreSQL remembers: the agent takes micro-batches and leaves the
rest to one transaction, so a batch that comes twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from typing import Any

import faust
from aiokafka.errors import KafkaError

from maplebridge.errors import ContractRefused, EventInvalid, KafkaUnavailable
from maplebridge.processors.rules import EVENT_TYPE, Order, Place, order_of
from maplebridge.processors.windows_store import WindowStore
from maplebridge.schemas import Codec, CodeList
from maplebridge.settings import Settings

log = logging.getLogger(__name__)

TAKE = 200
WITHIN_S = 0.05
STOP_POLL_S = 0.2


def make_app(settings: Settings, codec: Codec, categories: CodeList, store: WindowStore) -> Any:
    """Return the Faust application; nothing connects before it is started."""
    app = faust.App(
        "react",
        broker=f"kafka://{settings.kafka_bootstrap}",
        broker_credentials=faust.SASLCredentials(
            mechanism="SCRAM-SHA-256",
            username=settings.principal,
            password=settings.secret.get_secret_value(),
        ),
        datadir=settings.home / "react",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        topic_allow_declare=False,
        web_enabled=False,
        stream_wait_empty=False,
    )
    topic = app.topic(
        codec.catalogue.get(EVENT_TYPE).core_topic, value_serializer="raw", key_serializer="raw"
    )

    @app.agent(topic, concurrency=1)
    async def warn(stream: Any) -> None:
        async for values in stream.take(TAKE, within=WITHIN_S):
            found = orders_of(values, codec, categories)
            if found:
                changed = await store.add(found)
                log.info("%d events, %d warnings changed", len(values), changed)

    return app


def orders_of(values: list[bytes], codec: Codec, categories: CodeList) -> dict[Place, list[Order]]:
    """Return the orders that count, by place; what combine accepted can always be read."""
    found: dict[Place, list[Order]] = defaultdict(list)
    for value in values:
        try:
            decoded = codec.decode(value)
        except (EventInvalid, ContractRefused) as error:
            log.error("an event of the core stream cannot be read: %s", error)
            continue
        counted = order_of(decoded.event, categories)
        if counted is not None:
            found[counted[0]].append(counted[1])
    return dict(found)


async def serve(app: Any, stop: threading.Event, settings: Settings) -> None:
    """Run the application until `stop` is set; raises KafkaUnavailable."""
    try:
        async with app:
            while not stop.is_set():
                await asyncio.sleep(STOP_POLL_S)
                if app.crashed:
                    raise KafkaUnavailable(settings.kafka_bootstrap, "the Faust worker crashed")
    except KafkaError as exc:
        raise KafkaUnavailable(settings.kafka_bootstrap, type(exc).__name__) from exc
