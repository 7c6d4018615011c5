"""T18: whatever is sent to the agent, it answers clearly and stays small."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from random import Random

import httpx
import psutil
import pytest

from maplebridge.producers.agent.items import MEDIA_TYPES
from maplebridge.producers.agent.limits import BODY
from maplebridge.settings import Profile
from tests.producers.agents import URL, Agent, event, running

ROUNDS = 400
MILLION = 1_000_000
GROWTH_MAX_BYTES = 250 * MILLION
HOSTILE = (
    b"[" * 5 * MILLION,
    b'{"a":' * MILLION,
    b"[" + b"1," * (3 * MILLION),
    b"[" + b"{}," * (2 * MILLION) + b"{}]",
    b"9" * 7 * MILLION,
    b'"' + b'\\"' * (3 * MILLION),
    b'{"fields": {"x": "' + b"\\u0041" * MILLION + b'"}}',
    b"\xff" * 7 * MILLION,
    b"\n" * 7 * MILLION,
    b"{}\n" * 2 * MILLION,
    b" " * BODY.size_bytes,
)


@pytest.fixture(scope="module")
def started(
    provisioned: Profile, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Agent, httpx.Client]]:
    with running(provisioned, tmp_path_factory.mktemp("agent")) as both:
        yield both


def size_of(agent: Agent) -> int:
    assert agent.process is not None
    return int(psutil.Process(agent.process.pid).memory_info().rss)


def is_clear(answer: httpx.Response) -> bool:
    kind = answer.headers["content-type"]
    if answer.status_code < 300:
        return kind == "application/json"
    return (
        400 <= answer.status_code < 500
        and kind == "application/problem+json"
        and answer.json()["status"] == answer.status_code
    )


def test_mutated_bodies_get_a_clear_answer(started: tuple[Agent, httpx.Client]) -> None:
    _, client = started
    random = Random(20260311)
    seeds = [
        json.dumps(event(), ensure_ascii=False).encode(),
        json.dumps([event(), event()]).encode(),
        json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": "hotline.order",
                    "data": event()}).encode(),
    ]  # fmt: skip
    for _ in range(ROUNDS):
        body = bytearray(random.choice(seeds))
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(body))
            match random.randrange(4):
                case 0:
                    body[at] = random.randrange(256)
                case 1:
                    del body[at : at + random.randrange(1, 30)]
                case 2:
                    body[at:at] = random.choice((b"[", b"]", b'"', b"\\", b"{", b"1e999", b"null"))
                case _:
                    body[at:at] = body[: random.randrange(200)]
        kind = random.choice(MEDIA_TYPES)
        answer = client.post(URL, content=bytes(body), headers={"content-type": kind})
        assert is_clear(answer), (answer.status_code, answer.text)


def test_hostile_bodies_are_refused_in_bounded_memory(
    started: tuple[Agent, httpx.Client],
) -> None:
    agent, client = started
    client.post(URL, json=[event()] * 100)
    before = size_of(agent)
    most = 0
    for body in HOSTILE:
        for kind in MEDIA_TYPES:
            answer = client.post(URL, content=body, headers={"content-type": kind})
            assert is_clear(answer)
            assert answer.status_code >= 400
            most = max(most, size_of(agent))
    assert most - before < GROWTH_MAX_BYTES
    assert client.post(URL, json=event()).status_code == 202


def test_a_body_is_counted_while_it_comes(started: tuple[Agent, httpx.Client]) -> None:
    agent, client = started

    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b"[" * MILLION

    try:
        answer = client.post(URL, content=endless(), headers={"content-type": "application/json"})
    except httpx.TransportError:
        pass  # refused and closed while we were still writing
    else:
        assert answer.status_code == 413
    told = {"content-type": "application/json", "content-length": str(10**12)}
    with socket.create_connection(("127.0.0.1", agent.port), timeout=10) as raw:
        lines = [f"POST {URL} HTTP/1.1", "host: localhost", *(f"{k}: {v}" for k, v in told.items())]
        raw.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 413")
    assert client.get("/healthz").status_code == 200


def test_what_is_no_http_is_refused(started: tuple[Agent, httpx.Client]) -> None:
    agent, client = started
    random = Random(7)
    for _ in range(30):
        with socket.create_connection(("127.0.0.1", agent.port), timeout=5) as raw:
            raw.sendall(random.randbytes(random.randrange(1, 2000)) + b"\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            said = raw.recv(100)
            assert not said or said.startswith(b"HTTP/1.1 4")
    assert client.get("/healthz").status_code == 200


def test_many_at_once_are_told_to_come_again_or_answered(
    started: tuple[Agent, httpx.Client],
) -> None:
    agent, client = started
    before = size_of(agent)
    sockets = []
    try:
        for _ in range(40):
            raw = socket.create_connection(("127.0.0.1", agent.port), timeout=10)
            sockets.append(raw)
            raw.sendall(
                f"POST {URL} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                f"content-length: {BODY.size_bytes}\r\n\r\n".encode()
            )
            raw.settimeout(5)
            try:
                raw.sendall(b"[" * (BODY.size_bytes - 1))
            except OSError:
                continue
        time.sleep(0.5)
        assert size_of(agent) - before < GROWTH_MAX_BYTES
    finally:
        for raw in sockets:
            raw.close()
    deadline = time.monotonic() + 20
    while client.post(URL, json=event()).status_code != 202:
        assert time.monotonic() < deadline
        time.sleep(0.1)
