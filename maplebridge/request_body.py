"""The body of an ASGI request, read before the app sees any of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.types import Message, Receive


async def parts(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a body as it comes; raises ConnectionAbortedError if the client goes away."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        yield message.get("body", b"")
        more = message.get("more_body", False)


def replaying(body: bytes, receive: Receive) -> Receive:
    """Return what gives the whole body at once, and then what `receive` gives."""
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return whole.pop() if whole else await receive()

    return replay
