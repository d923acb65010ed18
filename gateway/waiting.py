"""The time before there is anything to serve with: Vault does not answer yet.

The management listener is open and says "not ready"; the process waits and asks again. What waiting can't mend (a
refused login, a secret that is not there) stops the start.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from prometheus_client import CollectorRegistry

from gateway.http import management
from gateway.http.entrance import Door
from gateway.listening import bind, make_server
from gateway.secrets.opening import as_problem
from gateway.secrets.store import VaultStore
from gateway.secrets.trouble import VaultTrouble
from gateway.settings import Listener

AGAIN: Final = 2.0  # seconds between two tries


async def until_open(vault: VaultStore, tell: Callable[[VaultTrouble], None]) -> bool:
    """Whether everything has been read; not if the process is asked to end before. Raises ConfigError."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    told = None
    try:
        while (trouble := await try_to_open(vault)) is not None:
            if not trouble.passes:
                raise as_problem(trouble)
            if trouble.trouble is not told:
                told = trouble.trouble
                tell(trouble)
            if await _set_within(asked, AGAIN):
                return False
        return True
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def try_to_open(vault: VaultStore) -> VaultTrouble | None:
    """What is in the way."""
    try:
        await vault.open()
    except VaultTrouble as trouble:
        return trouble
    return None


@asynccontextmanager
async def not_ready(listener: Listener, door: Door, registry: CollectorRegistry) -> AsyncIterator[None]:
    """The management listener is open inside. Raises ConfigError for an address that can't be listened on."""
    server = make_server(management.create_app(registry, lambda: False), door=door)
    serving = asyncio.create_task(server.serve([bind(listener)]))
    try:
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
