"""A real Redis: what its settings must be, who may use it, how it is reached, and what survives its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis as Client

from gateway.auth.revocation import Kind, Revocation
from gateway.http.lifecycle import Lifecycle
from gateway.observe.metrics import Metrics
from gateway.revocations import RevocationFeed
from gateway.revoke import listed, revoke
from gateway.state import Entry, StateUnavailable, StateUnfit
from gateway.state.redis import Access, RedisStore, Server
from tests.support.processes import free_ports, start, stop, wait_until_ready
from tests.support.redis import DURABLE, needs_redis, redis, redis_program, sentinel_program
from tests.support.tls import Authority

pytestmark = needs_redis
NOW = 1_700_000_000.0
FIRST, SECOND = Entry("id-1", "{}", None), Entry("id-2", "{}", NOW + 60)
# What docs/state.md says that the user needs.
RIGHTS = "~tightlip:* +evalsha +eval +script|load +info +config|get +wait +hello +ping +select"
RIGHTS += " +hget +hset +hmget +hincrby +hincrbyfloat +hgetall +hexists +hdel +zadd +zrem +zrangebyscore +expire"
SECRET = "zqRedisSecretxv"


@asynccontextmanager
async def using(port: int, access: Access | None = None, *, tls: bool = False) -> AsyncIterator[RedisStore]:
    store = RedisStore.at(Server("127.0.0.1", port, tls), access or Access())
    try:
        yield store
    finally:
        await store.aclose()


async def test_one_that_may_forget_is_refused_and_one_that_is_careless_is_told(tmp_path: Path) -> None:
    options = ["--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "yes"]
    with redis(tmp_path, *options, "--appendfsync", "everysec") as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            with pytest.raises(StateUnfit, match="maxmemory-policy must be noeviction"):
                await store.prepare()
            await client.config_set("maxmemory-policy", "noeviction")
            assert "appendfsync always" in (await store.prepare())[0]
            await client.config_set("appendfsync", "always")
            assert await store.prepare() == []


async def test_one_that_was_emptied_gets_back_what_a_replica_knows(tmp_path: Path) -> None:
    revocation = Revocation(Kind.ROLE, "support")
    with redis(tmp_path) as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            feed = RevocationFeed(store, Metrics(CollectorRegistry()), 30.0, Lifecycle().end)
            await feed.begin()
            entry_id = await revoke(store, revocation, NOW)
            await feed.look()
            await client.flushall()
            await feed.look()
            assert [each.id for each in await listed(store, NOW)] == [entry_id]


async def test_a_full_one_acknowledges_nothing_and_one_in_memory_alone_is_told(tmp_path: Path) -> None:
    with redis(tmp_path, "--maxmemory", "1") as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            with pytest.raises(StateUnavailable, match="Redis is full"):
                await store.put(FIRST, NOW)
            await client.config_set("maxmemory", 0)
            assert "appendonly yes" in (await store.prepare())[0]


@pytest.mark.parametrize(
    ("key", "field", "value"),
    [("meta", "number", "x"), ("meta", "format", ""), ("revocations", "id-1", "{}"), ("revocations", "id-1", "x")],
)
async def test_a_damaged_one_is_never_an_empty_one(tmp_path: Path, key: str, field: str, value: str) -> None:
    with redis(tmp_path) as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            await store.put(FIRST, NOW)
            await client.hset(f"tightlip:{key}", field, value)  # type: ignore[misc]
            with pytest.raises(StateUnavailable):
                await store.changes(None)


@pytest.mark.parametrize("part", ["HDEL tightlip:meta format", "DEL tightlip:revocations"])
async def test_one_of_which_a_part_was_deleted_is_damaged(tmp_path: Path, part: str) -> None:
    with redis(tmp_path) as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            await store.put(FIRST, NOW)
            await client.execute_command(part)
            with pytest.raises(StateUnfit, match="damaged"):
                await store.changes(None)


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    port = free_ports(1)[0]
    program = redis_program(tmp_path, DURABLE, port)
    child = start(program, tmp_path / "logs")
    wait_until_ready(child)
    acknowledged: list[str] = []

    async def write() -> None:
        async with using(port) as store:
            for number in range(100_000):
                entry = Entry(f"id-{number}", "{}", None)
                await store.put(entry, NOW)
                acknowledged.append(entry.id)

    writing = asyncio.create_task(write())
    while len(acknowledged) < 10:
        assert not writing.done()
        await asyncio.sleep(0.01)
    child.process.kill()
    with pytest.raises(StateUnavailable):
        await writing
    stop(child)
    with redis(tmp_path, *DURABLE, port=port):
        async with using(port) as store:
            assert set(acknowledged) <= {entry.id for entry in (await store.changes(None)).entries}


async def test_tls_with_an_own_ca_and_a_user_with_few_rights(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    password = tmp_path / "password"
    password.write_text(SECRET + "\n")
    options = ["--tls-cert-file", str(authority.server()), "--tls-key-file", str(tmp_path / "server.pem")]
    options += ["--tls-ca-cert-file", str(authority.ca_file), "--tls-auth-clients", "no"]
    users = _users(tmp_path, "user default off", f"user gateway on >{SECRET} {RIGHTS}")
    access = Access("gateway", password, authority.ca_file)
    with redis(tmp_path, *DURABLE, *options, *users, tls=True) as server:
        async with using(server.port, access, tls=True) as store:
            assert list(await store.prepare()) == []
            await store.put(FIRST, NOW)
            assert list((await store.changes(None)).entries) == [FIRST]
            assert await store.withdraw(FIRST.id, NOW)
            assert await store.add("a", 1.0, NOW) == 1.0
        async with using(server.port, Access("gateway", password), tls=True) as store:
            with pytest.raises(StateUnavailable):
                await store.prepare()
        password.write_text("zqNoLongerThisxv")
        async with using(server.port, access, tls=True) as store:
            with pytest.raises(StateUnfit, match="refuses this user or password") as refused:
                await store.prepare()
        assert "zqNoLongerThisxv" not in str(refused.value)
        assert refused.value.__cause__ is None


async def test_rights_that_are_missing_are_said(tmp_path: Path) -> None:
    users = _users(tmp_path, "user default on nopass ~tightlip:* +@all -hset")
    with redis(tmp_path, *users) as server:
        async with using(server.port) as store:
            with pytest.raises(StateUnfit, match="may not do"):
                await store.put(FIRST, NOW)


async def test_behind_sentinel_a_failover_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    ports = free_ports(3)
    options = [*DURABLE, "--repl-diskless-sync-delay", "0"]
    first = start(redis_program(tmp_path / "one", options, ports[0]), tmp_path / "logs")
    wait_until_ready(first)
    with redis(tmp_path / "two", *DURABLE, "--replicaof", "127.0.0.1", str(ports[0]), port=ports[1]):
        async with Client(port=ports[0]) as client:
            while not (await client.info("replication"))["connected_slaves"]:  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.05)
        sentinel = start(sentinel_program(tmp_path / "sentinel", "main", ports[0], ports[2]), tmp_path / "logs")
        wait_until_ready(sentinel)
        store = RedisStore.behind([Server("127.0.0.1", ports[2], tls=False)], "main", Access(), Access())
        try:
            await _until(store, FIRST)
            seen = (await store.changes(None)).position
            first.process.kill()
            with pytest.raises(StateUnavailable):
                await store.changes(seen)
            await _until(store, None)
            assert {entry.id for entry in (await store.changes(seen)).entries} <= {FIRST.id}
            assert {entry.id for entry in (await store.changes(None)).entries} == {FIRST.id}
            with pytest.raises(StateUnavailable, match="no replica of Redis has it"):
                await store.put(SECOND, NOW)
        finally:
            await store.aclose()
            stop(first)
            stop(sentinel)


def _users(folder: Path, *lines: str) -> list[str]:
    (folder / "users.acl").write_text("\n".join(lines) + "\n")
    return ["--aclfile", str(folder / "users.acl")]


async def _until(store: RedisStore, entry: Entry | None) -> None:
    async def once() -> None:
        await (store.changes(None) if entry is None else store.put(entry, NOW))

    deadline = time.monotonic() + 20
    while not await _works(once):
        assert time.monotonic() < deadline, "there is no master"
        await asyncio.sleep(0.1)


async def _works(once: Callable[[], object]) -> bool:
    try:
        await once()  # type: ignore[misc]
    except StateUnavailable:
        return False
    return True
