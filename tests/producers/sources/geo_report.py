"""A small Open311 GeoReport v2 service on loopback, with the moods of a real one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

START = datetime(2025, 1, 1, tzinfo=UTC)


def request_of(number: int, *, hours: float, **more: Any) -> dict[str, Any]:
    moment = (START + timedelta(hours=hours)).isoformat()
    return {
        "service_request_id": str(number),
        "status": "open",
        "service_name": "Noise",
        "requested_datetime": moment,
        "updated_datetime": moment,
        **more,
    }


@dataclass
class GeoReport:
    """What the service holds, and how it behaves.

    limit: the most it answers at once. moods: what it does to the next questions, in
    turn: a status, `late`, `garbage`, or `fine`. asked: the questions so far.
    """

    requests: list[dict[str, Any]]
    limit: int = 50
    pages: bool = True
    retry_after: str = "0"
    moods: list[int | str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, asked: dict[str, str]) -> list[dict[str, Any]]:
        begin, end = (datetime.fromisoformat(asked[each]) for each in ("start_date", "end_date"))
        assert end - begin <= timedelta(days=90)
        found = [
            each
            for each in self.requests
            if begin <= datetime.fromisoformat(each["requested_datetime"]) <= end
        ]
        size = min(int(asked.get("page_size", self.limit)), self.limit)
        page = int(asked.get("page", "1")) if self.pages else 1
        return found[(page - 1) * size : page * size]


@contextmanager
def serve(service: GeoReport) -> Iterator[GeoReport]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: each[0] for name, each in parse_qs(parts.query).items()}
            service.asked.append(asked)
            mood = service.moods.pop(0) if service.moods else "fine"
            if parts.path != "/v2/requests.json":
                mood = 404
            if mood == "late":
                time.sleep(1.0)
            if isinstance(mood, int):
                self.send_response(mood)
                self.send_header("Retry-After", service.retry_after)
                body = b"no"
            else:
                self.send_response(200)
                body = json.dumps(service.answer(asked)).encode()
                if mood == "garbage":
                    body = b"<html>down for maintenance</html>"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_port}/v2"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
