"""Waiting for what will be so and stays so: a record that is written, a count that is reached. A state that may pass by
unseen is not to be waited for here, but held by the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE_S = 60.0  # a machine may be busy; only a test that fails waits for so long
POLL_S = 0.02


def until(holds: Callable[[], object], what: str = "it never came true", patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_S)


async def until_async(holds: Callable[[], object]) -> None:
    """The same, while the loop goes on."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110 - what changes has no event
            await asyncio.sleep(POLL_S / 4)
