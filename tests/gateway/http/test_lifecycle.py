"""Draining: what is under way is known, waited for, and ended."""

from __future__ import annotations

import asyncio

import pytest

from gateway.http.lifecycle import Lifecycle


async def working(lifecycle: Lifecycle, seconds: float) -> None:
    with lifecycle.request():
        await asyncio.sleep(seconds)


async def test_nothing_under_way_is_drained_at_once() -> None:
    lifecycle = Lifecycle()
    lifecycle.ready = True
    lifecycle.drain()
    assert (lifecycle.ready, lifecycle.draining) == (False, True)
    assert await lifecycle.drained(0)


async def test_what_ends_in_time_is_not_cancelled() -> None:
    lifecycle = Lifecycle()
    task = asyncio.create_task(working(lifecycle, 0.05))
    await asyncio.sleep(0)
    assert await lifecycle.drained(5)
    assert task.done()
    assert not task.cancelled()


async def test_what_does_not_is() -> None:
    lifecycle = Lifecycle()
    task = asyncio.create_task(working(lifecycle, 60))
    await asyncio.sleep(0)
    assert not await lifecycle.drained(0.01)
    await lifecycle.expire(1)
    with pytest.raises(asyncio.CancelledError):
        await task
