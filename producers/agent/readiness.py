"""Whether an event could be taken now: what it would be written to is written to."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from maplebridge.producers.agent.desk import Desk
from maplebridge.tls import client_context

_ASK_S = 2.0
_HOLDS_S = 1.0


class Readiness:
    """Asks what the agent stands on, at most once a second and in a thread of its own.

    Many who ask, and servers that do not answer, hold up no event.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._settings = desk.department.settings
        self._thread = ThreadPoolExecutor(1, "maplebridge-readiness")
        self._asked: asyncio.Future[dict[str, Any]] | None = None
        self._holds_until = 0.0

    async def told(self) -> dict[str, Any]:
        """Return what answers.

        Without Kafka, the registry or the key broker events are taken and wait in the
        spool. Raises DepartmentStoreUnavailable if the disk takes no write, SpoolFull,
        SenderFailed.
        """
        asked = self._asked
        if asked is None or (asked.done() and time.monotonic() > self._holds_until):
            asked = asyncio.get_running_loop().run_in_executor(self._thread, self._ask)
            self._asked = asked
        # the others who wait for the same answer still do when one goes away
        return await asyncio.shield(asked)

    def _ask(self) -> dict[str, Any]:
        try:
            self._desk.answers.check()
            self._desk.department.check()
            return {
                "status": "ready",
                "waiting": self._desk.department.waiting,
                "kafka": _word(self._kafka()),
                "registry": _word(self._answers(self._settings.registry_url)),
                "key_broker": _word(self._answers(f"{self._settings.key_broker_url}/healthz")),
            }
        finally:
            self._holds_until = time.monotonic() + _HOLDS_S

    def _kafka(self) -> bool:
        admin = AdminClient(self._settings.kafka_config())
        try:
            admin.list_topics(timeout=_ASK_S)
        except KafkaException:
            return False
        return True

    def _answers(self, url: str) -> bool:
        verify = client_context(self._settings.tls_ca)
        try:
            answer = httpx.get(url, timeout=_ASK_S, verify=verify, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR


def _word(answers: bool) -> str:
    return "answers" if answers else "away"
