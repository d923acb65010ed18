"""Limits through the listeners of four gateways on one store: exactly so many pass, whoever asks where."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support import replicas, scripted
from tests.support.gateways import MODEL, POLICY, server, settings
from tests.support.redis import DURABLE, needs_redis, redis
from tests.support.replicas import replica, token
from tests.support.scripted import Engine, Until
from tests.support.waiting import until_async

GATEWAYS, REQUESTS, STREAMS = 4, 30, 5
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
LIMITED = {
    "customer": {"limits": {"requests_per_day": REQUESTS}},
    "legacy": {"total_limits": {"streams": STREAMS}},
}


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=needs_redis)])
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mapping[str, Any]]:
    if request.param == "sqlite":
        yield {"file": str(tmp_path / "state.db")}
        return
    with redis(tmp_path / "redis", *DURABLE) as running:
        yield {"url": running.url}


@asynccontextmanager
async def together(folder: Path, engine: Engine, state: Mapping[str, Any]) -> AsyncIterator[list[httpx.AsyncClient]]:
    """A client of each gateway."""
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    replicas.written(folder, settings(*pair, scripted.tokenizer(folder), state=dict(state)))
    roles = POLICY["roles"] | {name: POLICY["roles"][name] | limits for name, limits in LIMITED.items()}
    (folder / "policy.yaml").write_text(yaml.safe_dump(POLICY | {"roles": roles}))
    async with AsyncExitStack() as stack:
        yield [(await stack.enter_async_context(replica(folder, f"front-{at}")))[1] for at in range(GATEWAYS)]


async def status(client: httpx.AsyncClient, headers: Mapping[str, str]) -> int:
    """Of a request that the store had time for: one that came too late took nothing."""
    answer = await client.post("/v1/chat/completions", json=BODY, headers=headers)
    return answer.status_code if answer.status_code != 503 else await status(client, headers)


async def test_exactly_so_many_pass(state: Mapping[str, Any], engine: Engine, tmp_path: Path) -> None:
    async with together(tmp_path, engine, state) as clients:
        alice, turns = token(tmp_path, "alice"), itertools.cycle(clients)
        asked = await asyncio.gather(*(status(next(turns), alice) for _ in range(2 * REQUESTS)))
        assert sorted(asked) == [200] * REQUESTS + [429] * REQUESTS

        go_on = threading.Event()
        engine.tuned = ("Good day. ", Until(go_on), "Goodbye.")
        everybody = [token(tmp_path, f"s-{at}", "legacy") for at in range(4 * STREAMS)]
        asking = [asyncio.ensure_future(status(next(turns), each)) for each in everybody]
        await until_async(lambda: sum(each.done() for each in asking) == 3 * STREAMS)
        go_on.set()
        assert sorted(await asyncio.gather(*asking)) == [200] * STREAMS + [429] * 3 * STREAMS
