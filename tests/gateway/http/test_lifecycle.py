"""Draining: what is under way is known, waited for, and ended."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import PolicyChanged
from gateway.http.lifecycle import Lifecycle
from gateway.observe.logs import RequestRecord
from gateway.types import RequestId

RECORD = RequestRecord(RequestId("req_1"), 0.0, 0.0, policy="old")


async def working(lifecycle: Lifecycle, seconds: float) -> None:
    with lifecycle.request(RECORD):
        await asyncio.sleep(seconds)


async def test_nothing_under_way_is_drained_at_once() -> None:
    lifecycle = Lifecycle()
    lifecycle.ready = True
    lifecycle.drain()
    assert (lifecycle.ready, lifecycle.draining) == (False, True)
    assert await lifecycle.drained(0)


async def test_who_leaves_is_not_ready_and_takes_requests_until_it_drains() -> None:
    lifecycle = Lifecycle()
    lifecycle.ready = True
    lifecycle.leave()
    assert (lifecycle.ready, lifecycle.leaving, lifecycle.draining) == (False, True, False)
    before = asyncio.create_task(working(lifecycle, 60))
    await asyncio.sleep(0)
    lifecycle.drain()
    refused = asyncio.create_task(working(lifecycle, 60))
    await asyncio.sleep(0)
    assert not await lifecycle.drained(0)
    before.cancel()
    await asyncio.wait([before])
    assert await lifecycle.drained(0), "who is refused is not waited for"
    refused.cancel()


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


async def test_some_can_be_ended_each_with_its_reason() -> None:
    lifecycle = Lifecycle()
    endings: dict[str, object] = {}

    async def answer(policy: str) -> None:
        with lifecycle.request(RequestRecord(RequestId("req_1"), 0.0, 0.0, policy=policy)) as running:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                endings[policy] = running.ended

    tasks = [asyncio.create_task(answer(policy)) for policy in ("old", "new")]
    await asyncio.sleep(0)
    changed = PolicyChanged()
    lifecycle.end(lambda record: changed if record.policy != "new" else None)
    await tasks[0]
    assert endings == {"old": changed}
    assert not tasks[1].done()
    await lifecycle.expire(1)
    assert (type(endings["new"]).__name__, endings["old"]) == ("ShuttingDown", changed)
