"""What is refused before anything is read: foreign hosts, wrong tokens, bodies over the limits."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from maplebridge.problems import Problem
from maplebridge.producers.agent.ending import Ending
from maplebridge.producers.strict_json import Limits
from maplebridge.request_body import parts, replaying

BODY = Limits(size_bytes=8_000_000, depth=16, values=400_000)
"""A body and everything in it; an event of its own is held to `event_max_bytes`."""
ITEMS_MAX = 1_000
"""Events of one request."""

_IN_FLIGHT_BYTES = 32_000_000
_BODY_S = 30.0
_CHALLENGE = 'Bearer realm="maplebridge agent"'
_OPEN_PATHS = ("/healthz", "/readyz")


class Gate:
    """Lets requests in whose host and token are right, with bodies that fit into memory.

    hosts: the names by which the agent may be addressed, none to allow any; a page in a
    browser that was led here by a foreign name is refused. token: needed if not empty.
    """

    def __init__(self, app: ASGIApp, *, ending: Ending, hosts: Sequence[str], token: str) -> None:
        self._app = app
        self._ending = ending
        self._hosts = frozenset(hosts)
        self._token = token.encode()
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        taken = 0
        try:
            self._check(scope)
            body = bytearray()
            try:
                async with self._ending.within(_BODY_S):
                    async for part in parts(receive):
                        taken += len(part)
                        self._in_flight += len(part)
                        self._fits(taken)
                        body += part
            except TimeoutError:
                if self._ending.begun:
                    raise Problem("unavailable", "The agent is stopping.") from None
                raise Problem("timeout") from None
            replay = replaying(bytes(body), receive)
            del body
            await self._app(scope, replay, send)
        except Problem as problem:
            await problem.response()(scope, receive, send)
        except ConnectionAbortedError:
            return
        finally:
            self._in_flight -= taken

    def _check(self, scope: Scope) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1").rpartition(":")
        name = host[0] if host[1] and not host[2].endswith("]") else "".join(host)
        if self._hosts and name.strip("[]").lower() not in self._hosts:
            raise Problem("misdirected")
        if self._token and scope["path"] not in _OPEN_PATHS:
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token):
                raise Problem("unauthorized", challenge=_CHALLENGE)
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise Problem("media-type", "Send the body uncompressed.")
        told = headers.get(b"content-length", b"0")
        if len(told) > 15 or not told.isdigit():
            raise Problem("malformed", "Content-Length is no number.")
        self._fits(int(told))

    def _fits(self, size: int) -> None:
        if size > BODY.size_bytes:
            raise Problem("too-large", f"A body has at most {BODY.size_bytes:,} bytes.")
        if self._in_flight > _IN_FLIGHT_BYTES:
            raise Problem("unavailable", "Too many requests at once.")
