"""The limit on a request's body."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from maplebridge.problems import Problem
from maplebridge.request_body import parts, replaying


class BodyLimit:
    """Refuses a body over `max_bytes` with 413, as soon as that many have come."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # read here and whole: the limit is small, and the app then sees all or nothing
        body = bytearray()
        try:
            async for part in parts(receive):
                body += part
                if len(body) > self._max_bytes:
                    await Problem("too-large").response()(scope, receive, send)
                    return
        except ConnectionAbortedError:
            return
        await self._app(scope, replaying(bytes(body), receive), send)
