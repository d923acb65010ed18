"""Whether the process takes requests, and how they stop: no new ones, a time for those under way, then their end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.errors import GatewayError, ShuttingDown
from gateway.observe.logs import RequestRecord


@dataclass(slots=True, eq=False)
class Running:
    """A request under way. `ended` is why its task was cancelled by us; it is left to say so to its caller."""

    record: RequestRecord
    task: asyncio.Task[object]
    ended: GatewayError | None = None


class Lifecycle:
    """The process's own state; upstreams have no part in it. For one event loop."""

    def __init__(self) -> None:
        self.ready = False
        self.draining = False
        self._requests: set[Running] = set()

    @contextmanager
    def request(self, record: RequestRecord) -> Iterator[Running]:
        """The current task answers a request while inside; `end` cancels it."""
        task = asyncio.current_task()
        assert task is not None
        running = Running(record, task)
        self._requests.add(running)
        try:
            yield running
        finally:
            self._requests.discard(running)

    def drain(self) -> None:
        """From here on no request is taken."""
        self.ready, self.draining = False, True

    async def drained(self, deadline: float) -> bool:
        """Waits until nothing is under way, at most `deadline` seconds. False: something still is."""
        if self._requests:
            await asyncio.wait([running.task for running in self._requests], timeout=deadline)
        return not self._requests

    def end(self, why: Callable[[RequestRecord], GatewayError | None]) -> None:
        """Ends those under way for which `why` has an error; each tells its caller."""
        for running in self._requests:
            if running.ended is None and (error := why(running.record)) is not None:
                running.ended = error
                running.task.cancel()

    async def expire(self, grace: float) -> None:
        """Ends what is under way; each may still say so to its caller, for at most `grace` seconds."""
        self.end(lambda _record: ShuttingDown())
        await self.drained(grace)
