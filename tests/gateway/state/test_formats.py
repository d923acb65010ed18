"""Versions of the gateway on one store: what an earlier one wrote is read, what is written now an earlier one can read,
and two run on one store side by side."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis as Client

from gateway.state import FORMAT, Anchor, Entry, Names, StateUnfit, Store, Use
from gateway.state import redis as of_redis
from gateway.state import sqlite as of_sqlite
from gateway.state.holds import Draw, Drawn, Hold
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from gateway.state.windows import Lease, Window
from tests.support.redis import Redis, needs_redis

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "state_formats.json").read_text(encoding="utf-8"))
NOW = 1_700_000_000.0
STAYS, ENDS, GONE = Entry("id-1", '{"at":1}', None), Entry("id-2", '{"at":2}', NOW + 60), Entry("id-3", "{}", None)
CHAIN = Anchor(7, "a" * 64, "gw-1", NOW)
MINE = Names(["a:requests"], ["a:streams"], ["a-bits"], ["caller"])
ANEW = "is no longer written as format 1 is: raise FORMAT and keep reading the one before"


async def fill(store: Store) -> None:
    """Something of each kind that outlives a request."""
    for entry in (STAYS, ENDS, GONE):
        await store.put(entry, NOW)
    await store.withdraw(GONE.id, NOW)
    await store.used({"grant": None, "caller": NOW}, NOW)
    await store.draw([Draw("a-bits", 2.5, Hold("holder", 1.5, 9.0, NOW + 20))], NOW)
    await store.take([Window("a:requests", 60, 9, 2)], [Lease("a:streams", 9, "lease", NOW + 30)], NOW)
    await store.anchor("chain", CHAIN)


async def is_all_there(store: Store) -> None:
    changes = await store.changes(None)
    assert {entry.id: entry for entry in changes.entries} == {each.id: each for each in (STAYS, ENDS)}
    assert list(changes.withdrawn) == [GONE.id]
    assert await store.uses() == {"grant": Use(NOW, None), "caller": Use(NOW, NOW)}
    assert await store.draw([Draw("a-bits", 0.0)], NOW) == [Drawn(2.5, 1.5, 0.0)]
    assert not (await store.take([Window("a:requests", 60, 2, 1)], [], NOW)).granted
    assert not (await store.take([], [Lease("a:streams", 1, "another", NOW + 30)], NOW)).granted
    assert await store.anchors() == {"chain": CHAIN}
    assert {each.kind for each in await store.kept(MINE)} == {"window", "lease", "total", "hold", "use"}


def without_marks(content: object) -> str:
    """As JSON; marks are random."""
    return re.sub(r"\b[0-9a-f]{16}\b", "mark", json.dumps(content, sort_keys=True))


# ---- Redis -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Emptied:
    """A Redis with nothing in it, seen from behind and through a store."""

    client: Any
    port: int
    store: RedisStore


@pytest.fixture
async def emptied(request: pytest.FixtureRequest) -> AsyncIterator[Emptied]:
    server: Redis = request.getfixturevalue("_redis")
    async with Client(port=server.port, decode_responses=True) as client:
        await client.flushall()
        store = of_port(server.port)
        yield Emptied(client, server.port, store)
        await store.aclose()


def of_port(port: int) -> RedisStore:
    return RedisStore.at(Server("127.0.0.1", port, tls=False), Access())


async def dumped(client: Any) -> Mapping[str, Any]:
    """Each key's content; members of sorted sets with their scores."""
    found: dict[str, Any] = {}
    for key in sorted(await client.keys("*")):
        hashed = await client.type(key) == "hash"
        found[key] = await (client.hgetall(key) if hashed else client.zrange(key, 0, -1, withscores=True))
    return found


async def put_back(client: Any, keys: Mapping[str, Any]) -> None:
    for key, content in keys.items():
        if isinstance(content, Mapping):
            await client.hset(key, mapping=content)
        else:
            await client.zadd(key, dict(content))


@needs_redis
@pytest.mark.parametrize("written", VECTORS["redis"], ids=lambda written: written["says"])
async def test_what_redis_has_from_a_version_before_is_read(emptied: Emptied, written: dict[str, Any]) -> None:
    await put_back(emptied.client, written["keys"])
    await emptied.store.prepare()
    await is_all_there(emptied.store)


@needs_redis
async def test_what_is_written_to_redis_a_version_before_can_read(emptied: Emptied) -> None:
    await fill(emptied.store)
    now, before = await dumped(emptied.client), VECTORS["redis"][-1]["keys"]
    assert without_marks({key: now.get(key) for key in before}) == without_marks(before), ANEW


@needs_redis
async def test_two_versions_run_on_one_redis(emptied: Emptied) -> None:
    """The next one as well: what it adds to values and what kinds of keys it adds this one passes over."""
    client, this, other = emptied.client, emptied.store, of_port(emptied.port)
    with the_next(of_redis):
        await other.prepare()
        await other.put(STAYS, NOW)
    await client.hset("tightlip:what-came-since", "a", "b")
    value = json.loads(await client.hget("tightlip:revocations", STAYS.id))
    await client.hset("tightlip:revocations", STAYS.id, json.dumps(value | {"came_since": 1}))
    assert await client.hget("tightlip:meta", "format") == str(FORMAT + 1)
    await both_work(this, other, of_redis)
    await other.aclose()
    await client.hset("tightlip:meta", "oldest", FORMAT + 1)
    for asked in (this.prepare, lambda: this.changes(None)):
        with pytest.raises(StateUnfit, match=f"format {FORMAT + 1}, which needs a newer version of tightlip"):
            await asked()


@contextmanager
def the_next(module: Any) -> Iterator[None]:
    """What is called inside the block is of the version to come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FORMAT", FORMAT + 1)
        patch.setattr(of_redis, "check_format", lambda found, oldest: None)
        patch.setattr(of_sqlite, "check_format", lambda found, oldest: None)
        yield


async def both_work(this: Store, other: Store, module: Any) -> None:
    """Each sees what the other says, and both count as one."""
    assert list((await this.changes(None)).entries) == [STAYS]
    seen = (await this.changes(None)).position
    await this.put(ENDS, NOW)
    with the_next(module):
        assert {entry.id for entry in (await other.changes(None)).entries} == {STAYS.id, ENDS.id}
        assert await other.withdraw(ENDS.id, NOW)
        await other.draw([Draw("a-bits", 2.5)], NOW)
        await other.take([Window("a:requests", 60, 9, 9)], [], NOW)
    assert list((await this.changes(seen)).withdrawn) == [ENDS.id]
    assert await this.draw([Draw("a-bits", 1.0)], NOW) == [Drawn(3.5, 0.0, 0.0)]
    assert not (await this.take([Window("a:requests", 60, 9, 1)], [], NOW)).granted


# ---- SQLite ----------------------------------------------------------------------------------------------------------


def made(path: Path, script: Sequence[str]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("\n".join(script))
    path.chmod(0o600)


def rows(path: Path) -> Mapping[str, Any]:
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [list(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in sorted(names)}


@pytest.mark.parametrize("written", VECTORS["sqlite"], ids=lambda written: written["says"])
async def test_a_file_of_a_version_before_is_read(tmp_path: Path, written: dict[str, Any]) -> None:
    made(tmp_path / "state.db", written["script"])
    store = SqliteStore(tmp_path / "state.db")
    await store.prepare()
    if not written["whole"]:  # there was less then: what came since works from now on
        assert {entry.id for entry in (await store.changes(None)).entries} == {STAYS.id, ENDS.id}
        await fill(store)
    await is_all_there(store)
    await store.aclose()


async def test_what_is_written_to_a_file_a_version_before_can_read(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "now.db")
    await fill(store)
    await store.aclose()
    made(tmp_path / "before.db", VECTORS["sqlite"][-1]["script"])
    now, before = rows(tmp_path / "now.db"), rows(tmp_path / "before.db")
    assert without_marks({name: now.get(name) for name in before}) == without_marks(before), ANEW


async def test_two_versions_run_on_one_file(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    this, other = SqliteStore(path), SqliteStore(path)
    with the_next(of_sqlite):
        await other.put(STAYS, NOW)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE what_came_since (a TEXT)")
        assert connection.execute("PRAGMA user_version").fetchone() == (FORMAT + 1,)
    await both_work(this, other, of_sqlite)
    await other.aclose()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE name = 'oldest'", (FORMAT + 1,))
    with pytest.raises(StateUnfit, match=f"format {FORMAT + 1}, which needs a newer version of tightlip"):
        await this.changes(None)
    await this.aclose()
