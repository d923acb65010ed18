"""From the settings to a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config_file import ConfigError
from gateway.settings import SentinelSettings, StateSettings
from gateway.state import Store
from gateway.state.memory import MemoryStore
from gateway.state.opening import open_store
from gateway.state.redis import RedisStore
from gateway.state.sqlite import SqliteStore


async def closed(store: Store) -> type[Store]:
    await store.aclose()
    return type(store)


async def test_what_is_named_is_opened(tmp_path: Path) -> None:
    assert await closed(open_store(None)) is MemoryStore
    assert await closed(open_store(StateSettings(file=tmp_path / "state.db"))) is SqliteStore
    assert await closed(open_store(StateSettings(url="rediss://redis.internal/3"))) is RedisStore
    sentinel = SentinelSettings(master="main", urls=("rediss://a",))
    assert await closed(open_store(StateSettings(sentinel=sentinel))) is RedisStore


@pytest.mark.parametrize("name", ["password_file", "ca_file"])
def test_a_file_that_is_not_there_stops_the_start(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="none"):
        open_store(StateSettings.model_validate({"url": "rediss://redis", name: tmp_path / "none"}))
