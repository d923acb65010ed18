"""Whether the process takes requests, and how it stops: no new ones, a time for those under way, then their end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class Lifecycle:
    """The process's own state; upstreams have no part in it. For one event loop."""

    def __init__(self) -> None:
        self.ready = False
        self.draining = False
        self.expired = False  # requests still under way have been cancelled
        self._requests: set[asyncio.Task[object]] = set()

    @contextmanager
    def request(self) -> Iterator[None]:
        """The current task answers a request while inside; `expire` cancels it."""
        task = asyncio.current_task()
        assert task is not None
        self._requests.add(task)
        try:
            yield
        finally:
            self._requests.discard(task)

    def drain(self) -> None:
        """From here on no request is taken."""
        self.ready, self.draining = False, True

    async def drained(self, deadline: float) -> bool:
        """Waits until nothing is under way, at most `deadline` seconds. False: something still is."""
        if self._requests:
            await asyncio.wait(self._requests, timeout=deadline)
        return not self._requests

    async def expire(self, grace: float) -> None:
        """Ends what is under way; each may still say so to its caller, for at most `grace` seconds."""
        self.expired = True
        for task in self._requests:
            task.cancel()
        await self.drained(grace)
