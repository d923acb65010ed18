"""A running loop's clock that a test puts forward: what is due in a minute is due now, and nothing is due by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

MOST_LEAPS = 2000

T = TypeVar("T")
_ahead: WeakKeyDictionary[asyncio.AbstractEventLoop, float] = WeakKeyDictionary()


def leap(seconds: float) -> None:
    """For loops of asyncio's own; uvloop's clock is its own too, and stays where it is."""
    loop: Any = asyncio.get_running_loop()
    if loop not in _ahead:
        if not isinstance(loop, asyncio.BaseEventLoop):
            return
        _ahead[loop], real = 0.0, loop.time
        loop.time = lambda: real() + _ahead.get(loop, 0.0)
    _ahead[loop] += seconds


async def leaping(seconds: float, late: Awaitable[T]) -> T:
    """Leaps until it is done: what it is late for may not have begun at the first one."""
    task = asyncio.ensure_future(late)
    for _ in range(MOST_LEAPS):
        leap(seconds)
        await asyncio.sleep(0.005)
        if task.done():
            return task.result()
    task.cancel()
    raise AssertionError("nothing is ever late for it")
