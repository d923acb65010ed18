"""A file system that is really full: what was acknowledged stays, what can't be written is not acknowledged, what is
known goes on to hold, and with space again all is as it was."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from gateway.auth.revocation import Kind, Revocation
from gateway.http.lifecycle import Lifecycle
from gateway.observe.metrics import Metrics
from gateway.revocations import RevocationFeed
from gateway.state import Entry, StateUnavailable, Store
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from gateway.state.windows import Window
from tests.support.disks import Disk, small_disk
from tests.support.patience import IN_A_CHILD
from tests.support.processes import free_port, running, start, stop, wait_until_ready
from tests.support.redis import DURABLE, needs_redis, redis_program
from tests.support.waiting import PATIENCE_S

NOW = 1_700_000_000.0
WINDOW = Window("m", 60, 1000, 1)
LEFT = 200_000  # bytes, for some dozens of entries
LONG = Revocation(Kind.ROLE, "x" * 2000).written()
AFTER = Entry("after", LONG, None)

_WRITER = (
    IN_A_CHILD
    + """
import asyncio, sys
from pathlib import Path
from gateway.state import Entry, StateUnavailable
from gateway.state.sqlite import SqliteStore

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    for number in range(10_000):
        try:
            await store.put(Entry(f"id-{number}", sys.argv[2], None), 0.0)
        except StateUnavailable as error:
            print(error, flush=True)
            break
        print(f"id-{number}", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with small_disk(tmp_path / "disk", 4096) as disk:
        yield disk


@asynccontextmanager
async def using(store: Store) -> AsyncIterator[Store]:
    try:
        yield store
    finally:
        await store.aclose()


async def ids(store: Store) -> set[str]:
    return {entry.id for entry in (await store.changes(None)).entries}


async def test_sqlite_on_a_full_disk(disk: Disk) -> None:
    path = disk.path / "state.db"
    async with using(SqliteStore(path)) as store:
        await store.put(Entry("before", LONG, None), NOW)
        feed = RevocationFeed(store, Metrics(CollectorRegistry()), 30.0, Lifecycle().end)
        await feed.begin()
        disk.fill(LEFT)
        acknowledged, why = written_until_full_and_killed(path)
        assert why == f"{path} can't be written: the disk is full"
        assert len(acknowledged) > 2
        with pytest.raises(StateUnavailable):
            await store.put(AFTER, NOW)
        with pytest.raises(StateUnavailable):
            await store.take([WINDOW], [], NOW)
        assert await ids(store) == {"before", *acknowledged}
        await feed.look()
        assert feed.ready, "what is known can be read all the same"
    async with using(SqliteStore(path)) as another:
        assert await ids(another) == {"before", *acknowledged}, "who opens it now reads it too"
        disk.empty()
        await another.put(AFTER, NOW)
        assert (await another.take([WINDOW], [], NOW)).windows[0].used == 0
        assert await ids(another) == {"before", *acknowledged, "after"}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def written_until_full_and_killed(path: Path) -> tuple[list[str], str]:
    """What was acknowledged, and why the next one was not."""
    command = [sys.executable, "-c", _WRITER, str(path), LONG]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline().strip()]
    while lines[-1].startswith("id-"):
        lines.append(child.stdout.readline().strip())
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return lines[:-1], lines[-1]


async def until_refused(store: Store, acknowledged: list[str]) -> None:
    for number in range(10_000):
        await store.put(Entry(f"id-{number}", LONG, None), NOW)
        acknowledged.append(f"id-{number}")


@needs_redis
async def test_redis_on_a_full_disk(disk: Disk, tmp_path: Path) -> None:
    """With `appendfsync always` it ends itself where it can't write, before it acknowledges: the store is away."""
    port, acknowledged = free_port(), list[str]()
    program = redis_program(disk.path, DURABLE, port)
    full = start(program, tmp_path / "logs")
    try:
        wait_until_ready(full)
        async with using(RedisStore.at(Server("127.0.0.1", port, tls=False), Access())) as store:
            disk.fill(LEFT)
            with pytest.raises(StateUnavailable):
                await until_refused(store, acknowledged)
            assert full.process.wait(PATIENCE_S) != 0
            with pytest.raises(StateUnavailable):
                await store.changes(None)
    finally:
        stop(full)
    assert len(acknowledged) > 2
    disk.empty()
    with running(program, tmp_path / "logs"):
        async with using(RedisStore.at(Server("127.0.0.1", port, tls=False), Access())) as store:
            await store.put(AFTER, NOW)
            found = await ids(store)
            assert {*acknowledged, "after"} <= found
            assert len(found) <= len(acknowledged) + 2, "the one that was not acknowledged may be there"
            assert (await store.take([WINDOW], [], NOW)).granted
