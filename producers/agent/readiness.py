"""Whether events are taken now: the store is asked to write, Kafka and the registry to answer."""

from __future__ import annotations

from typing import Any

import httpx
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from maplebridge.producers.agent.desk import Desk
from maplebridge.producers.agent.problems import Problem

_ASK_S = 2.0


class Readiness:
    """Asks what the agent stands on."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._settings = desk.department.settings

    def told(self) -> dict[str, Any]:
        """Return what answers.

        Without Kafka or the registry events are taken and wait in the spool. Raises
        DepartmentStoreUnavailable if nothing can be written, Problem if the spool is full.
        """
        self._desk.answers.check()
        waiting = self._desk.department.waiting
        if waiting >= self._settings.spool_max_events:
            raise Problem("unavailable", "The spool is full.")
        return {
            "status": "ready",
            "waiting": waiting,
            "kafka": "answers" if self._kafka() else "away",
            "registry": "answers" if self._registry() else "away",
        }

    def _kafka(self) -> bool:
        admin = AdminClient(self._settings.kafka_config())
        try:
            admin.list_topics(timeout=_ASK_S)
        except KafkaException:
            return False
        return True

    def _registry(self) -> bool:
        try:
            httpx.get(self._settings.registry_url, timeout=_ASK_S)
        except httpx.HTTPError:
            return False
        return True
