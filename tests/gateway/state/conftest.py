"""The stores, each of them empty."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis as Client

from gateway.state import Store
from gateway.state.memory import MemoryStore
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from tests.support.redis import DURABLE, Redis, needs_redis, redis


@pytest.fixture(scope="session")
def _redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis(tmp_path_factory.mktemp("redis"), *DURABLE) as server:
        yield server


SHARED = ["sqlite", pytest.param("redis", marks=needs_redis)]


@pytest.fixture(params=SHARED)
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """A store outside the process."""
    opened = await _empty(request.param, request, tmp_path)
    yield opened
    await opened.aclose()


@pytest.fixture(params=["memory", *SHARED])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    opened = await _empty(request.param, request, tmp_path)
    yield opened
    await opened.aclose()


async def _empty(kind: str, request: pytest.FixtureRequest, folder: Path) -> Store:
    if kind == "memory":
        return MemoryStore()
    if kind == "sqlite":
        return SqliteStore(folder / "state.db")
    server: Redis = request.getfixturevalue("_redis")
    async with Client(port=server.port) as client:
        await client.flushall()
    return RedisStore.at(Server("127.0.0.1", server.port, tls=False), Access())
