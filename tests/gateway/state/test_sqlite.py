"""The file: whose it is, what it refuses to be, and what becomes of a write that the disk does not take."""

from __future__ import annotations

import asyncio
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, closing
from pathlib import Path

import pytest

from gateway.state import Entry, Names, StateUnavailable, StateUnfit, sqlite
from gateway.state.holds import Draw, Drawn, Hold
from gateway.state.sqlite import LOG_IN_USE, SqliteStore
from gateway.state.windows import Lease, Window
from tests.support.patience import IN_A_CHILD
from tests.support.totals import added

NOW = 1_700_000_000.0
FIRST, SECOND = Entry("id-1", "{}", None), Entry("id-2", "{}", NOW + 60)

_WRITER = (
    IN_A_CHILD
    + """
import asyncio, sys
from pathlib import Path
from gateway.state import Entry, StateUnavailable
from gateway.state.sqlite import SqliteStore

async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]))
    for number in range(int(sys.argv[2])):
        try:
            await store.put(Entry(f"id-{number}", "x" * 2000, None), 0.0)
        except StateUnavailable as error:
            print("refused", error, flush=True)
            break
        print("acknowledged", number, flush=True)
    sys.stdin.read()

asyncio.run(main())
"""
)


async def test_the_file_and_what_stands_beside_it_are_their_owner_s_alone(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db")
    await store.put(FIRST, NOW)
    assert _modes(tmp_path) == dict.fromkeys(["state.db", "state.db-wal", "state.db-shm"], 0o600)
    await store.aclose()
    assert _modes(tmp_path) == {"state.db": 0o600}


async def test_what_was_acknowledged_is_there_for_the_next_process(tmp_path: Path) -> None:
    one = SqliteStore(tmp_path / "state.db")
    await one.put(FIRST, NOW)
    await added(one, "a", 2.0, NOW)
    await one.aclose()
    other = SqliteStore(tmp_path / "state.db")
    assert list((await other.changes(None)).entries) == [FIRST]
    assert await added(other, "a", 1.0, NOW) == 3.0
    await other.aclose()


async def test_many_who_open_it_at_once_make_one(tmp_path: Path) -> None:
    stores = [SqliteStore(tmp_path / "state.db") for _ in range(8)]
    await asyncio.gather(*(store.put(Entry(f"id-{at}", "{}", None), NOW) for at, store in enumerate(stores)))
    assert len((await stores[0].changes(None)).entries) == 8
    assert _modes(tmp_path).keys() == {"state.db", "state.db-wal", "state.db-shm"}
    for store in stores:
        await store.aclose()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
async def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    async with using(tmp_path / "state.db") as store:
        await store.prepare()
    (tmp_path / "state.db").chmod(mode)
    async with using(tmp_path / "state.db") as store:
        with pytest.raises(StateUnfit, match="chmod 600"):
            await store.changes(None)


@pytest.mark.parametrize("content", [b"not a database at all, but long enough for a header" * 40, b""])
async def test_what_is_not_ours_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(content)
    path.chmod(0o600)
    async with using(path) as store:
        with pytest.raises(StateUnfit, match="not a state file"):
            await store.prepare()
    assert path.read_bytes() == content


async def test_a_newer_format_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with using(path) as store:
        await store.put(FIRST, NOW)
    _change(path, "PRAGMA user_version = 2")
    async with using(path) as store:
        assert list((await store.changes(None)).entries) == [FIRST], "it says that this version can work with it"
    _change(path, "UPDATE meta SET value = 2 WHERE name = 'oldest'")
    async with using(path) as store:
        with pytest.raises(StateUnfit, match="format 2, which needs a newer version"):
            await store.changes(None)


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM meta", "UPDATE meta SET value = 'x' WHERE name = 'number'", "DROP TABLE revocations"],
)
async def test_a_damaged_file_is_never_an_empty_one(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "state.db"
    async with using(path) as store:
        await store.put(FIRST, NOW)
    _change(path, damage)
    async with using(path) as store:
        with pytest.raises(StateUnavailable):
            await store.changes(None)


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "none" / "state.db")
    with pytest.raises(StateUnavailable, match="No such file"):
        await store.prepare()
    await store.aclose()


async def test_a_file_that_was_put_back_from_a_copy_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path)
    await store.put(FIRST, NOW)
    copy = tmp_path / "copy.db"
    with sqlite3.connect(path) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    await store.put(SECOND, NOW)
    seen = (await store.changes(None)).position
    copy.chmod(0o600)
    for name in ("state.db-wal", "state.db-shm"):
        (tmp_path / name).unlink()
    copy.replace(path)
    other = SqliteStore(path)
    await other.put(Entry("id-3", "{}", None), NOW)
    changes = await store.changes(seen)
    assert changes.whole
    assert {entry.id for entry in changes.entries} == {"id-1", "id-3"}
    await other.aclose()
    await store.aclose()


@pytest.mark.parametrize("removed", ["-wal", "-shm"])
async def test_a_log_that_was_removed_is_told_of_until_a_file_is_moved_there(tmp_path: Path, removed: str) -> None:
    """As by people who put a file back by copying over it. Others then write into a log that nobody here would read."""
    path = tmp_path / "state.db"
    async with using(path) as reader, using(path) as command:
        known = (await reader.changes(None)).position
        path.with_name(path.name + removed).unlink()
        await command.put(FIRST, NOW)
        with pytest.raises(StateUnfit, match="was removed while it was in use"):
            await reader.changes(known)
        with sqlite3.connect(path) as source, sqlite3.connect(tmp_path / "copy") as target:
            source.backup(target)
        (tmp_path / "copy").chmod(0o600)
        (tmp_path / "copy").replace(path)
        assert [entry.id for entry in (await reader.changes(None)).entries] == ["id-1"]


async def test_a_writer_that_hangs_holds_up_no_reader_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.state.sqlite.BUSY_SECONDS", 0.05)
    async with using(tmp_path / "state.db") as store:
        await store.put(FIRST, NOW)
        with ThreadPoolExecutor(1) as thread:
            other = thread.submit(sqlite3.connect, tmp_path / "state.db", isolation_level=None).result()
            thread.submit(other.execute, "BEGIN IMMEDIATE").result()
            with pytest.raises(StateUnavailable, match="locked by another process"):
                await store.put(SECOND, NOW)
            assert list((await store.changes(None)).entries) == [FIRST]
            thread.submit(other.close).result()
        await store.put(SECOND, NOW)


async def test_who_waits_behind_a_hanging_writer_is_refused_when_his_time_is_over_and_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.state.sqlite.BUSY_SECONDS", 0.05)
    window = Window("m", 60, 100, 1)
    begun, go = threading.Event(), threading.Event()
    writing = sqlite._writing

    def held(connection: sqlite3.Connection) -> AbstractContextManager[None]:
        begun.set()
        go.wait()
        return writing(connection)

    async def told(first: Awaitable[object], others: Iterable[Awaitable[object]]) -> list[object]:
        """The others come when the first one has begun, and it ends when their time is over."""
        begun.clear()
        go.clear()
        running = asyncio.ensure_future(first)
        await asyncio.to_thread(begun.wait)
        with monkeypatch.context() as patched:
            patched.setattr("gateway.state.sqlite.QUEUE_SECONDS", 0.05)
            waiting = [asyncio.ensure_future(other) for other in others]
            await asyncio.sleep(0)  # now they wait
        await asyncio.sleep(0.1)
        go.set()
        return await asyncio.gather(running, *waiting, return_exceptions=True)

    async with using(tmp_path / "state.db") as store:
        await store.put(FIRST, NOW)
        monkeypatch.setattr(sqlite, "_writing", held)
        with ThreadPoolExecutor(1) as thread:
            other = thread.submit(sqlite3.connect, tmp_path / "state.db", isolation_level=None).result()
            thread.submit(other.execute, "BEGIN IMMEDIATE").result()
            some = await told(store.take([window], [], NOW), [store.take([window], [], NOW) for _ in range(19)])
            works = [work for _ in range(9) for work in (added(store, "a", 1.0, NOW), store.used({"b": NOW}, NOW))]
            more = await told(added(store, "a", 1.0, NOW), works)
            thread.submit(other.close).result()
        assert all(isinstance(error, StateUnavailable) for error in some + more)
        assert ["too slow" in str(error) for error in some] == [False] + [True] * 19
        assert ["too slow" in str(error) for error in more] == [False] + [True] * 18
        assert (await store.take([window], [], NOW)).windows[0].used == 0
        assert await added(store, "a", 0.0, NOW) == 0.0


async def test_a_full_disk_is_said_and_nothing_is_acknowledged_that_is_not_there(tmp_path: Path) -> None:
    """The process may write no file beyond 200 kB: what the system says to it is what a full disk says."""
    path = tmp_path / "state.db"
    child = _writer(path, 200, limit=200_000)
    lines = []
    while not lines or not lines[-1].startswith("refused"):
        lines.append(child.stdout.readline() if child.stdout else "")
        assert lines[-1], child.stderr
    child.communicate("")
    assert len(lines) > 2
    store = SqliteStore(path)
    assert len((await store.changes(None)).entries) == len(lines) - 1
    await store.put(Entry("after", "{}", None), NOW)
    await store.aclose()


async def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    child = _writer(path, 100_000)
    assert child.stdout is not None
    acknowledged = [child.stdout.readline() for _ in range(20)]
    child.send_signal(signal.SIGKILL)
    acknowledged += child.stdout.readlines()
    child.wait()
    store = SqliteStore(path)
    there = {entry.id for entry in (await store.changes(None)).entries}
    assert {f"id-{line.split()[1]}" for line in acknowledged} <= there
    await store.put(SECOND, NOW)
    await store.aclose()


@asynccontextmanager
async def using(path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path)
    try:
        yield store
    finally:
        await store.aclose()


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def _change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def _writer(path: Path, count: int, limit: int | None = None) -> subprocess.Popen[str]:
    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=limited,
    )


async def test_a_file_from_before_there_were_limits_and_holds_gets_them(tmp_path: Path) -> None:
    old = SqliteStore(tmp_path / "state.db")
    await old.put(FIRST, NOW)
    await added(old, "a", 2.0, NOW)
    await old.aclose()
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        connection.executescript("DROP TABLE windows; DROP TABLE leases; DROP TABLE holds;")
    store = SqliteStore(tmp_path / "state.db")
    assert await store.draw([Draw("a", 1.0, Hold("one", 5.0, 4.0, NOW + 30))], NOW) == [Drawn(3.0, 0.0, 1.0)]
    assert (await store.take([Window("m", 60, 1, 1)], [Lease("p", 1, "a", NOW + 30)], NOW)).granted
    assert list((await store.changes(None)).entries) == [FIRST]
    await store.aclose()


# ---- persons ---------------------------------------------------------------------------------------------------------

HIS = Names(["zqWindowxv"], ["zqLeasexv"], ["zqTotalxv"], ["zqUsexv"])
SECRET = b"zqRevokedNamexv"


async def keep(store: SqliteStore, of: Names) -> None:
    windows = [Window(name, 60, 9, 2) for name in of.windows]
    await store.take(windows, [Lease(name, 9, "lease", NOW + 30) for name in of.leases], NOW)
    await store.draw([Draw(name, 2.5, Hold("holder", 1.0, 9.0, NOW + 20)) for name in of.totals], NOW)
    await store.used(dict.fromkeys(of.uses, NOW), NOW)


def marks_in(folder: Path) -> list[str]:
    """Of those that stand anywhere in a store's files."""
    raw = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    marks = *HIS.windows, *HIS.leases, *HIS.totals, *HIS.uses
    return [mark for mark in marks if mark.encode() in raw] + ([SECRET.decode()] if SECRET in raw else [])


async def test_nothing_of_who_is_erased_stands_in_the_files(tmp_path: Path) -> None:
    """Nor of what was deleted before and left its bytes behind: a revocation that was withdrawn, pages of old keys."""
    store = SqliteStore(tmp_path / "state.db")
    for number in range(60):
        await keep(store, Names([f"w{number}"], [f"l{number}"], [f"t{number}"], [f"u{number}"]))
    await keep(store, HIS)
    await store.put(Entry("id-1", SECRET.decode(), None), NOW)
    await store.put(Entry("id-2", "stays", None), NOW)
    await store.withdraw("id-1", NOW)
    assert len(marks_in(tmp_path)) == 5
    erased = await store.erase(HIS)
    assert (len(erased.kept), list(erased.left)) == (5, [])
    assert marks_in(tmp_path) == []
    assert [entry.id for entry in (await store.changes(None)).entries] == ["id-2"]
    assert len(await store.uses()) == 60
    await store.aclose()
    assert marks_in(tmp_path) == []
    with closing(sqlite3.connect(tmp_path / "state.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_an_erasure_says_where_another_process_keeps_the_log_from_being_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.state.sqlite.BUSY_SECONDS", 0.1)
    store = SqliteStore(tmp_path / "state.db")
    await keep(store, HIS)
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM uses").fetchone()
        assert list((await store.erase(HIS)).left) == [LOG_IN_USE]
        reader.execute("ROLLBACK")
    assert list(await store.kept(HIS)) == []
    assert list((await store.erase(HIS)).left) == []
    assert marks_in(tmp_path) == []
    await store.aclose()


async def test_a_disk_that_takes_nothing_more_leaves_an_erasure_unacknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is asked again then does the rest."""

    def full(_connection: sqlite3.Connection) -> list[str]:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    store = SqliteStore(tmp_path / "state.db")
    await keep(store, HIS)
    with monkeypatch.context() as patch:
        patch.setattr("gateway.state.sqlite._make_anew", full)
        with pytest.raises(StateUnavailable, match="the disk is full"):
            await store.erase(HIS)
    assert list((await store.erase(HIS)).left) == []
    assert marks_in(tmp_path) == []
    await store.aclose()
