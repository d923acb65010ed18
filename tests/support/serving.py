"""Our server on the test's own loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from tests.support.clock import leap
from tests.support.waiting import until_async

TICK_S = 0.2  # uvicorn looks whether it is to end, and waits for what ends, each tenth of a second


@asynccontextmanager
async def on_loopback(server: uvicorn.Server, bound: socket.socket) -> AsyncIterator[None]:
    """It serves on that socket for as long as the block lasts."""
    task = asyncio.create_task(server.serve([bound]))
    await until_async(lambda: server.started)
    yield
    server.should_exit = server.force_exit = True
    while not task.done():
        leap(TICK_S)
        await asyncio.wait([task], timeout=0.01)
    await task
