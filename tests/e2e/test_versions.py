"""A gateway on a store that the version to come has made: it works with it, or says by name that it can't."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from gateway.auth.revocation import Kind, Revocation
from gateway.config_file import ConfigError
from gateway.revoke import revoke
from gateway.settings import StateSettings
from gateway.state import FORMAT
from gateway.state.opening import open_store
from tests.support import replicas, scripted
from tests.support.gateways import server
from tests.support.gateways import settings as configuration
from tests.support.replicas import log_of, replica, token
from tests.support.scripted import Engine
from tests.support.waiting import PATIENCE_S, until_async

ALICE, BOB = (Revocation(Kind.SUBJECT, name, "tightlip-dev", "acme") for name in ("alice", "bob"))


async def test_a_store_of_the_next_version_serves_this_one_until_it_says_that_it_can_t(
    state: Mapping[str, Any], engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    replicas.written(tmp_path, configuration(*pair, scripted.tokenizer(tmp_path), state=dict(state)))
    store = open_store(StateSettings(**state))
    with monkeypatch.context() as next_version:
        for module in ("redis", "sqlite"):
            next_version.setattr(f"gateway.state.{module}.FORMAT", FORMAT + 1)
        await revoke(store, ALICE, time.time())
    alice, bob = token(tmp_path, "alice"), token(tmp_path, "bob")
    async with replica(tmp_path, "one") as (_, client):
        assert (await models(client, alice)).status_code == 401, "what the other said is obeyed"
        assert (await models(client, bob)).status_code == 200
        await revoke(store, BOB, time.time())
        await until_refused(client, bob)
        await store.aclose()
        asks_for_newer(state)
        await until_async(lambda: '"code":"state_unfit"' in log_of(tmp_path, "one"))
    with pytest.raises(ConfigError, match=f"state: the store has format {FORMAT + 1}, which needs a newer version"):
        async with replica(tmp_path, "two"):
            pass


async def models(client: httpx.AsyncClient, headers: Mapping[str, str]) -> httpx.Response:
    return await client.get("/v1/models", headers=headers)


async def until_refused(client: httpx.AsyncClient, headers: Mapping[str, str]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if (await models(client, headers)).status_code == 401:
                return
            await asyncio.sleep(0.05)


def asks_for_newer(state: Mapping[str, Any]) -> None:
    """The version to come has written what this one could not read."""
    if "file" in state:
        with closing(sqlite3.connect(state["file"])) as connection, connection:
            connection.execute("UPDATE meta SET value = ? WHERE name = 'oldest'", (FORMAT + 1,))
        return
    with Redis.from_url(state["url"]) as client:
        client.hset("tightlip:meta", "oldest", str(FORMAT + 1))
