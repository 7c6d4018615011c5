"""An agent as a process of its own, in a home of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from maplebridge.settings import Profile
from tests.producers.orders import COMMUNITY, order

URL = "/v1/events/hotline.order"


@dataclass
class Agent:
    """Runs `maplebridge agent`; its log goes to a file in the home."""

    profile: Profile
    department: str = "hotline"
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    @property
    def log(self) -> Path:
        return self.profile.home / "agent.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> httpx.Client:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "maplebridge", "agent"),
                    *("--department", self.department, "--home", str(self.profile.home)),
                    *("--listen", f"127.0.0.1:{self.port}"),
                ],
                env={**os.environ, **self.env},
                stdout=log,
                stderr=log,
            )
        client = httpx.Client(base_url=self.url, timeout=30)
        deadline = time.monotonic() + 30
        while True:
            try:
                client.get("/healthz")
                return client
            except httpx.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        assert self.process.wait() == -signal.SIGKILL

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def running(
    profile: Profile, home: Path, *, department: str = "hotline", **env: str
) -> Iterator[tuple[Agent, httpx.Client]]:
    """Run an agent with the profile's servers."""
    home.mkdir(exist_ok=True)
    own = profile.model_copy(update={"home": home})
    own.save()
    agent = Agent(own, department, env)
    client = agent.start()
    try:
        yield agent, client
    finally:
        client.close()
        if agent.process is not None and agent.process.poll() is None:
            agent.process.kill()
            agent.process.wait()


def event(**changes: Any) -> dict[str, Any]:
    """Return one event as a caller sends it."""
    fields = {name: changes.pop(name) for name in list(changes) if name in order()}
    told: dict[str, Any] = {
        "community": COMMUNITY,
        "transition": "received",
        "occurred_at": "2025-03-03T08:12:00+08:00",
        "purpose": "case_handling",
        "legal_basis": "statutory_duty",
        "fields": order(**fields),
    }
    return told | changes
