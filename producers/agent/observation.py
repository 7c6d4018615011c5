"""What the agent tells of itself: log lines and counts, never a value of an event."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from maplebridge.producers.agent.desk import Desk

log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """One JSON object a line; only what the agent itself says, so no value gets in."""

    def format(self, record: logging.LogRecord) -> str:
        told = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        request = getattr(record, "request", None)
        if request is not None:
            return json.dumps(told | request)
        told["message"] = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            # the kind alone: the text of an error that nobody expected could hold anything
            told["error"] = record.exc_info[0].__name__
        return json.dumps(told, ensure_ascii=False)


class Metrics:
    """Counts in the text format of Prometheus."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, desk: Desk) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_DeskCollector(desk))
        self.requests = Counter(
            "maplebridge_agent_requests",
            "Requests by method and status.",
            ("method", "status"),
            registry=self._registry,
        )

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _DeskCollector(Collector):
    """Reads the desk's counts when they are asked for."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily(
            "maplebridge_agent_events",
            "Events by type and outcome.",
            labels=("event_type", "outcome"),
        )
        for (event_type, outcome), count in sorted(self._desk.outcomes.items()):
            events.add_metric((event_type, outcome), count)
        yield events
        waiting = self._desk.department.waiting
        yield GaugeMetricFamily(
            "maplebridge_agent_waiting_events", "Events in the spool.", value=waiting
        )


class RequestLog:
    """Logs and counts each request: the route's name, not its path."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            method = scope["method"] if scope["method"] in ("GET", "POST") else "other"
            self._metrics.requests.labels(method, str(status)).inc()
            route = getattr(scope.get("route"), "path", "")
            ms = round((time.monotonic() - began) * 1000, 1)
            told = {"method": method, "route": route, "status": status, "ms": ms}
            log.info("request", extra={"request": told})
