"""A real Redis: what its settings must be, who may use it, how it is reached, and what survives its end."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis as Client

from gateway.auth.revocation import Kind, Revocation
from gateway.config_file import ConfigError
from gateway.http.lifecycle import Lifecycle
from gateway.observe.metrics import Metrics
from gateway.revocations import RevocationFeed
from gateway.revoke import listed, revoke
from gateway.secrets.references import EnvRef
from gateway.settings import StateSettings
from gateway.state import PATIENCE, Entry, Names, StateUnavailable, StateUnfit
from gateway.state.holds import Draw, Hold
from gateway.state.opening import open_store
from gateway.state.redis import DUMPS_LEFT, REWRITE_FORBIDDEN, STILL_WRITING, Access, RedisStore, Server
from gateway.state.windows import Lease, Window
from tests.support.processes import Child, free_ports, running, start, stop, wait_until_ready
from tests.support.redis import DURABLE, needs_redis, redis, redis_program, sentinel_program
from tests.support.tls import Authority
from tests.support.totals import added
from tests.support.waiting import PATIENCE_S

pytestmark = needs_redis
NOW = 1_700_000_000.0
PATIENCE_MS = int(PATIENCE_S * 1000)
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


async def test_all_last_uses_are_read_however_many_and_whatever_happens_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In steps, between which some are used again or erased: most of them with one score, some with their own."""
    monkeypatch.setattr("gateway.state.redis.USES_AT_ONCE", 5)
    names = {f"name-{at:02}": NOW - max(0, at - 40) for at in range(60)}
    with redis(tmp_path) as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            await store.used(dict(names), NOW)
            await store.used({"unused": None}, NOW)
            steps = 0

            async def meanwhile(key: str, *arguments: object, **more: object) -> object:
                nonlocal steps
                some = await asked(key, *arguments, **more)
                steps += 1
                if key.endswith("uses") and steps % 3 == 0:
                    await client.zadd(key, {some[-1][0]: NOW + steps})
                elif key.endswith("uses") and steps % 5 == 0:
                    await client.zrem(key, some[0][0])
                return some

            asked = store._client.zrangebyscore
            monkeypatch.setattr(store._client, "zrangebyscore", meanwhile)
            found = await store.uses()
            monkeypatch.undo()
            assert steps > 20
            assert found.keys() == {*names, "unused"}
            assert found["unused"].last is None
            assert [name for name in names if found[name].last is None] == []
            assert {name: use.since for name, use in found.items()} == dict.fromkeys(found, NOW)


async def test_what_is_counted_and_held_goes_by_itself(tmp_path: Path) -> None:
    with redis(tmp_path) as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            await store.take([Window("m", 60, 9, 1)], [Lease("p", 9, "one", NOW + 30)], NOW)
            await store.draw([Draw("a", 1.0, Hold("one", 1.0, 9.0, NOW + 30))], NOW)
            keys = await client.keys("*")
            assert len(keys) == 4
            assert all([0 < await client.ttl(key) <= 7200 for key in keys])


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
    killed = False

    async def write() -> None:
        async with using(port) as store:
            for number in range(100_000):
                try:
                    await store.put(entry := Entry(f"id-{number}", "{}", None), NOW)
                except StateUnavailable:  # also of a disk that is too busy for the store's patience
                    if killed:
                        raise
                else:
                    acknowledged.append(entry.id)

    writing = asyncio.create_task(write())
    while len(acknowledged) < 10:
        assert not writing.done()
        await asyncio.sleep(0.01)
    killed = True
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
            assert await added(store, "a", 1.0, NOW) == 1.0
        async with using(server.port, Access("gateway", password), tls=True) as store:
            with pytest.raises(StateUnavailable):
                await store.prepare()
        password.write_text("zqNoLongerThisxv")
        async with using(server.port, access, tls=True) as store:
            with pytest.raises(StateUnfit, match="refuses this user or password") as refused:
                await store.prepare()
        assert "zqNoLongerThisxv" not in str(refused.value)
        assert refused.value.__cause__ is None


async def test_a_certificate_is_shown_whose_key_is_on_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    options = ["--tls-cert-file", str(authority.server()), "--tls-key-file", str(tmp_path / "server.pem")]
    options += ["--tls-ca-cert-file", str(authority.ca_file), "--tls-auth-clients", "yes"]
    own = authority.server("gateway")
    monkeypatch.setenv("OWN_KEY", own.read_text())
    shown: dict[str, Any] = {"client_certificate": own, "client_key_file": EnvRef("OWN_KEY")}
    with redis(tmp_path, *DURABLE, *options, tls=True) as server:
        where: dict[str, Any] = {"url": f"rediss://127.0.0.1:{server.port}", "ca_file": authority.ca_file}
        async with aclosing(open_store(StateSettings(**where, **shown))) as store:
            await store.put(FIRST, NOW)
            assert list((await store.changes(None)).entries) == [FIRST]
        async with aclosing(open_store(StateSettings(**where))) as store:
            with pytest.raises(StateUnavailable):
                await store.prepare()
    monkeypatch.setenv("OWN_KEY", SECRET)
    with pytest.raises(ConfigError, match=r"gateway\.pem: can't be used with the key env:OWN_KEY") as refused:
        open_store(StateSettings(**where, **shown))
    assert SECRET not in str(refused.value)


async def test_rights_that_are_missing_are_said(tmp_path: Path) -> None:
    users = _users(tmp_path, "user default on nopass ~tightlip:* +@all -hset")
    with redis(tmp_path, *users) as server:
        async with using(server.port) as store:
            with pytest.raises(StateUnfit, match="may not do"):
                await store.put(FIRST, NOW)


async def test_behind_sentinel_a_failover_loses_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window, place = Window("m", 60, 30, 1), Lease("p", 1, "a", NOW + 60)
    monkeypatch.setattr("gateway.state.redis.SENTINEL_TIMEOUT", PATIENCE_S)
    monkeypatch.setattr("gateway.state.redis.TIMEOUT", 1.5 * PATIENCE_S)  # longer than a copy is waited for
    async with _sentinels(tmp_path) as house:
        store = RedisStore.behind(house.sentinels, "main", Access(), Access())
        try:
            await _until(store, FIRST)
            seen = (await store.changes(None)).position
            taken = [(await store.take([window], [], NOW)).granted for _ in range(20)]
            assert (await store.take([], [place], NOW)).granted
            await store.put(FIRST, NOW)  # what was taken before has been copied with it
            await _cut_before_its_copy(store, house, monkeypatch)
            house.master.process.kill()
            with pytest.raises(StateUnavailable):
                await store.changes(seen)
            await house.given_up_after(500)
            await _until(store, None)
            await house.given_up_after(PATIENCE_MS)
            await _until(store, None)
            assert {entry.id for entry in (await store.changes(seen)).entries} <= {FIRST.id}
            assert {entry.id for entry in (await store.changes(None)).entries} == {FIRST.id}
            taken += [(await store.take([window], [], NOW)).granted for _ in range(20)]
            assert sum(taken) == 30
            assert not (await store.take([], [replace(place, id="b")], NOW)).granted
            monkeypatch.setattr("gateway.state.redis.WAIT_MILLISECONDS", 1000)
            with pytest.raises(StateUnavailable, match="no replica of Redis has it"):
                await store.put(SECOND, NOW)
        finally:
            await store.aclose()


async def _cut_before_its_copy(store: RedisStore, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a write whose connection is lost before it is known to be copied nobody can say so over another one, which may
    be to another server."""
    wait = Client.wait

    async def cut(client: Client, *arguments: int) -> object:
        async with Client(port=house.port) as operator:
            await operator.client_kill_filter(_type="normal", skipme=True)
        return await wait(client, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Client, "wait", cut)
        with pytest.raises(StateUnavailable, match="does not answer"):
            await store.put(FIRST, NOW)
    await _until(store, FIRST)


async def test_two_sentinels_that_hang_do_not_hide_the_third(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From anybody who waits as long as the product does."""
    monkeypatch.setattr("gateway.revocations.PATIENCE", PATIENCE)
    async with _sentinels(tmp_path) as house:
        with _hole() as first, _hole() as second:
            store = RedisStore.behind([first, second, *house.sentinels], "main", Access(), Access())
            feed = RevocationFeed(store, Metrics(CollectorRegistry()), 300.0, Lifecycle().end)
            try:
                deadline = time.monotonic() + 60
                while not feed.ready:
                    assert time.monotonic() < deadline, "it never learnt who the master is"
                    await feed.look()
            finally:
                await store.aclose()


async def _reads(store: RedisStore, over: asyncio.Event) -> None:
    while not over.is_set():
        await store.changes(None)


async def test_a_burst_takes_no_connection_from_revocations_and_nothing_is_refused(tmp_path: Path) -> None:
    window = Window("m", 60, 400, 1)
    with redis(tmp_path) as server:
        async with using(server.port) as store:
            burst = asyncio.gather(*(store.take([window], [], NOW) for _ in range(500)))
            await asyncio.gather(*(store.changes(None) for _ in range(20)))
            assert sum(taken.granted for taken in await burst) == 400


async def test_of_one_that_hung_nothing_is_asked_later_that_nobody_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections and answers nothing, as behind a broken network."""
    monkeypatch.setattr("gateway.state.redis.TIMEOUT", 1.5)
    monkeypatch.setattr("gateway.state.redis.TURNS", 4)
    monkeypatch.setattr("gateway.state.redis.TURN_SECONDS", 0.3)
    window = Window("m", 60, 1000, 1)
    with redis(tmp_path) as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            await store.take([window], [], NOW)
            server.child.process.send_signal(signal.SIGSTOP)
            try:
                told = await asyncio.gather(
                    *(store.take([window], [], NOW) for _ in range(100)), return_exceptions=True
                )
                with pytest.raises(StateUnavailable):
                    await store.changes(None)
            finally:
                server.child.process.send_signal(signal.SIGCONT)
            assert all(isinstance(each, StateUnavailable) for each in told)
            assert sum("too slow" in str(each) for each in told) >= 92, "four asked, and maybe the next four"
            used = (await store.take([window], [], NOW)).windows[0].used
            assert used <= 9, "those that it had read before it hung"
            info = await client.info("clients")
            assert info["connected_clients"] <= 20


@dataclass(frozen=True)
class House:
    """A master, its replica and a Sentinel."""

    master: Child
    port: int
    sentinels: list[Server]

    async def given_up_after(self, milliseconds: int) -> None:
        """A master who is silent for so long; until then no stall of the machine is taken for his end."""
        async with Client(port=self.sentinels[0].port) as operator:
            await operator.execute_command("SENTINEL", "SET", "main", "down-after-milliseconds", milliseconds)


@asynccontextmanager
async def _sentinels(folder: Path) -> AsyncIterator[House]:
    ports = free_ports(3)
    options = [*DURABLE, "--repl-diskless-sync-delay", "0"]
    follows = ("--replicaof", "127.0.0.1", str(ports[0]))
    with ExitStack() as stack:
        master = stack.enter_context(redis(folder / "one", *options, port=ports[0], name="one")).child
        stack.enter_context(redis(folder / "two", *options, *follows, port=ports[1], name="two"))
        async with Client(port=ports[0]) as client:
            while not (await client.info("replication"))["connected_slaves"]:  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.05)
        sentinel = sentinel_program(folder / "sentinel", "main", ports[0], ports[2], down_after_ms=PATIENCE_MS)
        stack.enter_context(running(sentinel, folder / "logs"))
        yield House(master, ports[0], [Server("127.0.0.1", ports[2], tls=False)])


@contextmanager
def _hole() -> Iterator[Server]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield Server("127.0.0.1", listening.getsockname()[1], tls=False)


def _users(folder: Path, *lines: str) -> list[str]:
    (folder / "users.acl").write_text("\n".join(lines) + "\n")
    return ["--aclfile", str(folder / "users.acl")]


async def _until(store: RedisStore, entry: Entry | None) -> None:
    async def once() -> None:
        await (store.changes(None) if entry is None else store.put(entry, NOW))

    deadline = time.monotonic() + 2 * PATIENCE_S  # a Sentinel who finds that he stood still does nothing for 30 s
    while not await _works(once):
        assert time.monotonic() < deadline, "there is no master"
        await asyncio.sleep(0.1)


async def _works(once: Callable[[], object]) -> bool:
    try:
        await once()  # type: ignore[misc]
    except StateUnavailable:
        return False
    return True


# ---- persons ---------------------------------------------------------------------------------------------------------

HIS = Names(["zqWindowxv"], ["zqLeasexv"], ["zqTotalxv"], ["zqUsexv"])


async def keep(store: RedisStore) -> None:
    await store.take([Window(HIS.windows[0], 60, 9, 2)], [Lease(HIS.leases[0], 9, "lease", NOW + 30)], NOW)
    await store.draw([Draw(HIS.totals[0], 2.5, Hold("holder", 1.0, 9.0, NOW + 20))], NOW)
    await store.used({HIS.uses[0]: NOW}, NOW)


def marks_in(folder: Path) -> list[str]:
    """Of those that stand in what Redis has on the disk."""
    raw = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    marks = *HIS.windows, *HIS.leases, *HIS.totals, *HIS.uses
    return [mark for mark in marks if mark.encode() in raw]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis may be slow to write its file on a busy machine."""
    monkeypatch.setattr("gateway.state.redis.REWRITE_SECONDS", 60.0)


@pytest.mark.usefixtures("patient")
async def test_nothing_of_who_is_erased_stands_in_redis_or_its_append_only_file(tmp_path: Path) -> None:
    with redis(tmp_path, *DURABLE) as server:
        async with using(server.port) as store, Client(port=server.port) as client:
            await keep(store)
            await store.put(FIRST, NOW)
            assert len(marks_in(tmp_path)) == 4
            erased = await store.erase(HIS)
            assert (len(erased.kept), list(erased.left)) == (5, [DUMPS_LEFT])
            assert marks_in(tmp_path) == []
            assert not [key for key in await client.keys("*") if b"zq" in key]
            assert [entry.id for entry in (await store.changes(None)).entries] == [FIRST.id]


@pytest.mark.usefixtures("patient")
async def test_without_the_right_to_rewrite_the_file_an_erasure_says_that_it_is_left(tmp_path: Path) -> None:
    with redis(tmp_path, *DURABLE) as server:
        async with Client(port=server.port) as operator:
            await operator.execute_command("ACL", "SETUSER", "gateway", "on", f">{SECRET}", *RIGHTS.split())
        (tmp_path / "password").write_text(SECRET)
        async with using(server.port, Access("gateway", tmp_path / "password")) as store:
            await keep(store)
            assert list((await store.erase(HIS)).left) == [REWRITE_FORBIDDEN, DUMPS_LEFT]
            assert list(await store.kept(HIS)) == []
        async with Client(port=server.port) as operator:
            await operator.execute_command("ACL", "SETUSER", "gateway", "+bgrewriteaof")
        async with using(server.port, Access("gateway", tmp_path / "password")) as store:
            assert list((await store.erase(HIS)).left) == [DUMPS_LEFT]
        assert marks_in(tmp_path) == []


async def test_a_file_that_is_not_written_anew_in_time_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_store: RedisStore) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("gateway.state.redis.REWRITE_SECONDS", 0.1)
    monkeypatch.setattr(RedisStore, "_no_rewrite", never)
    with redis(tmp_path, *DURABLE) as server:
        async with using(server.port) as store:
            await keep(store)
            assert list((await store.erase(HIS)).left) == [STILL_WRITING, DUMPS_LEFT]
            assert list(await store.kept(HIS)) == []


async def test_a_redis_without_an_append_only_file_is_asked_for_no_rewrite(tmp_path: Path) -> None:
    with redis(tmp_path) as server:
        async with using(server.port) as store:
            await keep(store)
            assert list((await store.erase(HIS)).left) == [DUMPS_LEFT]
            assert marks_in(tmp_path) == []
