"""The agent's end, of which whoever waits within a request is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Ending:
    """Belongs to one event loop.

    begun: whether the agent is ending.
    """

    def __init__(self) -> None:
        self.begun = False
        self._limits: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Raises TimeoutError in the block after so many seconds, or once the agent ends."""
        async with asyncio.timeout(0 if self.begun else seconds) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

    def begin(self) -> None:
        """End every wait now, and those to come."""
        self.begun = True
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(0)
