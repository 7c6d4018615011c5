"""Reactions: a Faust worker on the accepted events.

Faust moves, PostgreSQL remembers: the agent takes micro-batches and leaves the
rest to one transaction, so a batch that comes twice changes nothing. Beside it
warnings climb as time passes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import faust
from aiokafka.errors import KafkaError

from maplebridge.errors import ContractRefused, EventInvalid, KafkaUnavailable
from maplebridge.processors.climbing import Climbing
from maplebridge.processors.rules import Cause, Place, Rule
from maplebridge.processors.windows_store import Found, WindowStore
from maplebridge.projections.standing import RETRACTION, Amendment, amendment_of
from maplebridge.schemas import Codec
from maplebridge.settings import Settings
from maplebridge.tls import client_context

log = logging.getLogger(__name__)

TAKE = 200
WITHIN_S = 0.05
STOP_POLL_S = 0.2
SESSION_S = 10.0


class Reaction:
    """The Faust application of the warning rules; nothing connects before `serve`."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        rules: Mapping[str, Rule],
        store: WindowStore,
        climbing: Climbing,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._rules = rules
        self._store = store
        self._climbing = climbing
        self._failure: Exception | None = None
        self._app = faust.App(
            "react",
            broker=f"kafka://{settings.kafka_bootstrap}",
            broker_credentials=faust.SASLCredentials(
                mechanism=settings.kafka_mechanism,
                ssl_context=client_context(settings.tls_ca) if settings.tls_ca else None,
                username=settings.principal,
                password=settings.secret.get_secret_value(),
            ),
            datadir=settings.home / "react",
            consumer_auto_offset_reset="earliest",
            # a worker that died is missed after so long, and its successor waits as long
            broker_session_timeout=SESSION_S,
            broker_heartbeat_interval=SESSION_S / 3,
            topic_disable_leader=True,
            topic_allow_declare=False,
            web_enabled=False,
            stream_wait_empty=False,
        )
        topic = self._app.topic(
            *(codec.catalogue.get(name).core_topic for name in event_types(rules)),
            value_serializer="raw",
            key_serializer="raw",
        )
        self._app.agent(topic, concurrency=1, name="warn")(self._warn)

    async def serve(self, stop: threading.Event) -> None:
        """React until `stop` is set.

        Raises KafkaUnavailable, RegistryUnavailable, or the driver's error if PostgreSQL
        fails; what was not stored is read again by the next run.
        """
        try:
            async with self._app:
                log.info("react is ready")
                while not stop.is_set() and self._failure is None:
                    await asyncio.sleep(STOP_POLL_S)
                    await self._climbing.climb(time.time_ns() // 1000)
                    if self._app.crashed:
                        raise KafkaUnavailable(
                            self._settings.kafka_bootstrap, "the Faust worker crashed"
                        )
        except KafkaError as exc:
            raise KafkaUnavailable(self._settings.kafka_bootstrap, type(exc).__name__) from exc
        if self._failure is not None:
            raise self._failure

    async def _warn(self, stream: Any) -> None:
        # not `take`: when it is closed it acknowledges the batch in hand, stored or not
        async for events in stream.noack_take(TAKE, within=WITHIN_S):
            try:
                await self._react([event.value for event in events])
            except Exception as failure:
                # nothing more is read or acknowledged; `serve` ends the application
                self._failure = failure
                await asyncio.Event().wait()
            for event in events:
                await stream.ack(event)

    async def _react(self, values: list[bytes]) -> None:
        found, amendments = findings(values, self._codec, self._rules)
        if found or amendments:
            changed = await self._store.add(found, amendments)
            log.info("%d events, %d warnings changed", len(values), changed)


def event_types(rules: Mapping[str, Rule]) -> tuple[str, ...]:
    """Return the types of the events that are read: what rules count, and what takes it back."""
    return (*dict.fromkeys(rule.event_type for rule in rules.values()), RETRACTION)


def findings(
    values: list[bytes], codec: Codec, rules: Mapping[str, Rule]
) -> tuple[Found, list[Amendment]]:
    """Return what each rule counts, by place, and what takes such events back.

    What combine accepted can always be read.
    """
    found: dict[str, dict[Place, list[Cause]]] = defaultdict(lambda: defaultdict(list))
    amendments: list[Amendment] = []
    counting: dict[str, list[Rule]] = defaultdict(list)
    for rule in rules.values():
        counting[rule.event_type].append(rule)
    for value in values:
        try:
            decoded = codec.decode(value)
        except (EventInvalid, ContractRefused) as error:
            log.error("an event of the core stream cannot be read: %s", error)
            continue
        amendment = amendment_of(decoded.contract, decoded.event)
        if amendment is not None and amendment.event_type in counting:
            amendments.append(amendment)
        for rule in counting.get(decoded.contract.event_type, ()):
            counted = rule.counted(decoded.event)
            if counted is not None:
                found[rule.name][counted[0]].append(counted[1])
    return found, amendments
