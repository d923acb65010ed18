"""Whether the process takes requests, and how they stop.

It says that it is not ready, at once, and goes on for a while, for those to see who send it requests; then new ones are
refused, with 503, and those under way have a time; then they are ended, each with an error to its caller. Connections
are taken until all of that is over: who comes late is told, and asks elsewhere.
"""

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
        self.leaving = False  # it has been asked to end
        self.draining = False  # and takes no more requests
        self._requests: set[Running] = set()

    @contextmanager
    def request(self, record: RequestRecord) -> Iterator[Running]:
        """The current task answers a request while inside; `end` cancels it. One that is refused, since it came too
        late, is not waited for."""
        task = asyncio.current_task()
        assert task is not None
        running = Running(record, task)
        if not self.draining:
            self._requests.add(running)
        try:
            yield running
        finally:
            self._requests.discard(running)

    def leave(self) -> None:
        """From here on the process is not ready. It still takes requests."""
        self.ready, self.leaving = False, True

    def drain(self) -> None:
        """From here on no request is taken."""
        self.leave()
        self.draining = True

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
