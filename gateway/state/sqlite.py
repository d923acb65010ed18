"""State in one SQLite file, for one machine and any number of processes on it.

Write-ahead logging, so that readers and a writer don't wait for each other; a writer waits for another one at most
BUSY_SECONDS. What must survive a power cut (revocations) is written with synchronous=FULL, the rest with NORMAL, which
survives a killed process. The file is its owner's alone, and its -wal and -shm files take over its mode. It is made
whole under another name first, so that no process ever sees half of one. Local file systems only: over a network
SQLite's locks can't be relied on.

Each kind of work has a connection and a thread of its own, so that a slow disk never holds up the event loop, and
writing totals never the reading of revocations.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Literal, TypeVar

from gateway.state import (
    FORMAT,
    KEEP_ANCHORS,
    KEEP_USES,
    KEEP_WITHDRAWN,
    PATIENCE,
    Anchor,
    Changes,
    Entry,
    Erased,
    Kept,
    Names,
    Position,
    StateUnavailable,
    StateUnfit,
    Use,
    check_format,
)
from gateway.state.holds import Draw, Drawn, drawn, minutes
from gateway.state.windows import LONGEST, Lease, Taken, Window, outcome, standing

BUSY_SECONDS: Final = 3.0  # writers hold the lock for one small transaction; longer means that something hangs
QUEUE_SECONDS: Final = PATIENCE  # whose request waited for longer has been refused
LOG_IN_USE: Final = (
    "another process was reading SQLite's log (-wal), which may have it until it is written over: ask again"
)
SETTLE_SECONDS: Final = 10.0  # nobody waits for it, but it would not be asked for again
APPLICATION: Final = 0x54_4C_53_54  # "TLST" in the file's header: nobody else's database is taken for ours
OLDEST: Final = 1  # the format whose programs can work with what this one writes

_SCHEMA: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE revocations (
    id TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, mark TEXT NOT NULL, text TEXT, expires_at REAL
) WITHOUT ROWID;
CREATE TABLE totals (
    account TEXT, minute INTEGER, amount REAL NOT NULL, PRIMARY KEY (account, minute)
) WITHOUT ROWID;
CREATE INDEX totals_by_minute ON totals (minute);
CREATE TABLE uses (name TEXT PRIMARY KEY, since REAL NOT NULL, last REAL) WITHOUT ROWID;
"""
# Came later, and nothing that was there before looks at it: a file without it gets it when it is opened.
_LATER: Final = """
CREATE TABLE IF NOT EXISTS windows (
    account TEXT, part INTEGER, amount INTEGER NOT NULL, over REAL NOT NULL, PRIMARY KEY (account, part)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS windows_by_end ON windows (over);
CREATE TABLE IF NOT EXISTS leases (account TEXT, id TEXT, ends REAL NOT NULL, PRIMARY KEY (account, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS leases_by_end ON leases (ends);
CREATE TABLE IF NOT EXISTS holds (
    account TEXT, id TEXT, amount REAL NOT NULL, ends REAL NOT NULL, PRIMARY KEY (account, id)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS holds_by_end ON holds (ends);
CREATE TABLE IF NOT EXISTS anchors (
    chain TEXT PRIMARY KEY, number INTEGER NOT NULL, hash TEXT NOT NULL, instance TEXT NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
"""

T = TypeVar("T")
Synchronous = Literal["NORMAL", "FULL"]
_NONE: Final = 0, 0


class SqliteStore:
    """Fulfils `Store`."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet."""
        self._path = path
        self._reading = _Lane(path, "NORMAL")
        self._counting = _Lane(path, "NORMAL")
        self._revoking = _Lane(path, "FULL")

    async def prepare(self) -> Sequence[str]:
        await self._reading.run(lambda _: None)
        return ()

    async def draw(self, draws: Sequence[Draw], now: float) -> Sequence[Drawn]:
        """As `HourlyTotals.draw`."""
        return await self._counting.run(lambda connection: _draw(connection, draws, now), QUEUE_SECONDS)

    async def put(self, entry: Entry, now: float) -> None:
        await self._revoking.run(lambda connection: _put(connection, entry, now))

    async def withdraw(self, entry_id: str, now: float) -> bool:
        return await self._revoking.run(lambda connection: _withdraw(connection, entry_id, now))

    async def changes(self, since: Position | None) -> Changes:
        return await self._reading.run(lambda connection: _changes(connection, since))

    async def used(self, names: Mapping[str, float | None], now: float) -> None:
        await self._counting.run(lambda connection: _used(connection, names, now), QUEUE_SECONDS)

    async def uses(self) -> Mapping[str, Use]:
        return await self._reading.run(_uses)

    async def take(self, windows: Sequence[Window], leases: Sequence[Lease], now: float) -> Taken:
        """As `Counters.take`."""
        return await self._counting.run(lambda connection: _take(connection, windows, leases, now), QUEUE_SECONDS)

    async def settle(self, windows: Sequence[Window], leases: Sequence[Lease], taken_at: float) -> None:
        """As `Counters.settle`."""
        await self._counting.run(lambda connection: _settle(connection, windows, leases, taken_at), SETTLE_SECONDS)

    async def renew(self, leases: Sequence[Lease]) -> None:
        """As `Counters.renew`."""
        await self._counting.run(lambda connection: _renew(connection, leases), QUEUE_SECONDS)

    async def anchor(self, chain: str, anchor: Anchor) -> None:
        """As `Anchors.anchor`."""
        await self._revoking.run(lambda connection: _anchor(connection, chain, anchor))

    async def anchors(self) -> Mapping[str, Anchor]:
        return await self._reading.run(_anchors)

    async def uses_with(self, text: str) -> Sequence[str]:
        """As `Personal.uses_with`."""
        return await self._reading.run(lambda connection: _uses_with(connection, text))

    async def kept(self, names: Names) -> Sequence[Kept]:
        """As `Personal.kept`."""
        return await self._reading.run(lambda connection: _kept(connection, names))

    async def erase(self, names: Names) -> Erased:
        """As `Personal.erase`."""
        return await self._revoking.run(lambda connection: _erase(connection, names))

    async def aclose(self) -> None:
        for lane in (self._reading, self._counting, self._revoking):
            await lane.aclose()


class _Lane:
    """A connection and the one thread that uses it."""

    def __init__(self, path: Path, synchronous: Synchronous) -> None:
        self._path, self._synchronous = path, synchronous
        self._thread = ThreadPoolExecutor(1, "state")
        self._connection: sqlite3.Connection | None = None
        self._inode, self._log_inodes = 0, _NONE

    async def run(self, work: Callable[[sqlite3.Connection], T], patience: float = math.inf) -> T:
        """What has not begun after `patience` seconds is not done any more."""
        until = time.monotonic() + patience
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, work, until)

    async def aclose(self) -> None:
        """Behind what runs and what waits."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    def _work(self, work: Callable[[sqlite3.Connection], T], until: float) -> T:
        if time.monotonic() >= until:
            raise StateUnavailable(f"{self._path} is too slow, or locked by another process")
        self._check_log()
        try:
            return work(self._opened())
        except (sqlite3.Error, OSError) as error:
            self._close()
            raise _mapped(error, self._path) from None
        except StateUnfit:
            self._close()
            raise

    def _check_log(self) -> None:
        """What others write into a new log would never be seen here. Nothing is closed for it: SQLite would write the
        removed log over the file, and remove the new one. Raises StateUnfit."""
        if self._connection is None or self._inode != _inode(self._path):
            return
        if self._log_inodes != _log_inodes(self._path):
            raise StateUnfit(f"{self._path}: its -wal or -shm was removed while it was in use; move a copy to its name")

    def _opened(self) -> sqlite3.Connection:
        """Again, where the file is no longer the one that was opened: it was moved away, or put back from a copy."""
        if self._connection is not None and self._inode != _inode(self._path):
            self._close()
        if self._connection is None:
            self._connection, self._inode = _open(self._path, self._synchronous)
            self._log_inodes = _log_inodes(self._path)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


# ---- the file --------------------------------------------------------------------------------------------------------


def _open(path: Path, synchronous: Synchronous) -> tuple[sqlite3.Connection, int]:
    if not path.exists():
        _make(path)
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        raise StateUnfit(f"{path} must be a file that its owner alone can read and write (chmod 600)")
    connection = _connect(path)
    try:
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        _check(connection, path)
        connection.executescript(_LATER)
    except BaseException:
        connection.close()
        raise
    return connection, found.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=rw", timeout=BUSY_SECONDS, isolation_level=None, uri=True)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if _pragma(connection, "application_id") != APPLICATION:
        raise StateUnfit(f"{path} is not a state file of tightlip")
    _check_format(connection)


def _check_format(connection: sqlite3.Connection) -> None:
    check_format(_pragma(connection, "user_version"), _number(connection, "oldest"))


def _make(path: Path) -> None:
    """Under another name first. Where another process was faster, its file is the one."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(_connect(new)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.executescript(_SCHEMA + _LATER)
            meta = [("oldest", OLDEST), ("number", 0), ("mark", secrets.token_hex(8))]
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta)
        if not path.exists():
            _link(new, path)
    finally:
        new.unlink()


def _link(new: Path, path: Path) -> None:
    try:
        os.link(new, path)
    except FileExistsError:
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or a power cut takes the name away, and what was acknowledged with it
    finally:
        os.close(folder)


def _log_inodes(path: Path) -> tuple[int, int]:
    """Of the log and its index, which are there while anybody has the file open."""
    return _inode(path.with_name(path.name + "-wal")), _inode(path.with_name(path.name + "-shm"))


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def _mapped(error: sqlite3.Error | OSError, path: Path) -> StateUnavailable | StateUnfit:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StateUnfit(f"{path} is not a state file of tightlip, or damaged")
    if code == sqlite3.SQLITE_FULL:
        return StateUnavailable(f"{path} can't be written: the disk is full")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StateUnavailable(f"{path} is locked by another process")
    told = error.strerror if isinstance(error, OSError) else sqlite_name(error)
    return StateUnavailable(f"{path} can't be used ({told})")


def sqlite_name(error: sqlite3.Error) -> str:
    """SQLite's own name of an error, such as SQLITE_IOERR_WRITE."""
    return getattr(error, "sqlite_errorname", None) or type(error).__name__


# ---- what is done with it --------------------------------------------------------------------------------------------


def _draw(connection: sqlite3.Connection, draws: Sequence[Draw], now: float) -> Sequence[Drawn]:
    with _writing(connection):
        connection.execute("DELETE FROM totals WHERE minute < ? OR minute > ?", minutes(now))
        connection.execute("DELETE FROM holds WHERE ends <= ? OR ends > ?", (now, now + LONGEST))
        return [_draw_one(connection, draw, int(now // 60)) for draw in draws]


def _draw_one(connection: sqlite3.Connection, draw: Draw, minute: int) -> Drawn:
    if draw.amount > 0:
        connection.execute(
            "INSERT INTO totals VALUES (?, ?, ?) "
            "ON CONFLICT (account, minute) DO UPDATE SET amount = amount + excluded.amount",
            (draw.key, minute, draw.amount),
        )
    hold = draw.hold
    if hold is not None:
        connection.execute("DELETE FROM holds WHERE account = ? AND id = ?", (draw.key, hold.id))
    found = drawn(draw, _sum(connection, "totals", draw.key), _sum(connection, "holds", draw.key))
    if hold is not None and found.held > 0:
        connection.execute("INSERT INTO holds VALUES (?, ?, ?, ?)", (draw.key, hold.id, found.held, hold.ends))
    return found


def _sum(connection: sqlite3.Connection, table: Literal["totals", "holds"], key: str) -> float:
    """Of what counts: the rest has been deleted."""
    found = connection.execute(f"SELECT coalesce(sum(amount), 0.0) FROM {table} WHERE account = ?", (key,))  # noqa: S608
    return float(found.fetchone()[0])


def _take(connection: sqlite3.Connection, windows: Sequence[Window], leases: Sequence[Lease], now: float) -> Taken:
    with _writing(connection):
        connection.execute("DELETE FROM windows WHERE over <= ?", (now,))
        connection.execute("DELETE FROM leases WHERE ends <= ? OR ends > ?", (now, now + LONGEST))
        ahead = [(window.key, window.latest(now)) for window in windows]
        connection.executemany("DELETE FROM windows WHERE account = ? AND part > ?", ahead)
        standings = [standing(window, _parts(connection, window.key), now) for window in windows]
        held = [_held(connection, lease.key) for lease in leases]
        taken = outcome(windows, standings, leases, held)
        if taken.granted:
            connection.executemany(
                "INSERT INTO windows VALUES (?, ?, ?, ?) "
                "ON CONFLICT (account, part) DO UPDATE SET amount = amount + excluded.amount",
                [(each.key, each.part(now), each.amount, each.over(each.part(now))) for each in windows],
            )
            _lend(connection, leases)
    return taken


def _parts(connection: sqlite3.Connection, key: str) -> dict[int, int]:
    return dict(connection.execute("SELECT part, amount FROM windows WHERE account = ?", (key,)).fetchall())


def _held(connection: sqlite3.Connection, key: str) -> int:
    return int(connection.execute("SELECT count(*) FROM leases WHERE account = ?", (key,)).fetchone()[0])


def _lend(connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    rows = [(lease.key, lease.id, lease.ends) for lease in leases]
    connection.executemany("INSERT OR REPLACE INTO leases VALUES (?, ?, ?)", rows)


def _settle(
    connection: sqlite3.Connection, windows: Sequence[Window], leases: Sequence[Lease], taken_at: float
) -> None:
    with _writing(connection):
        connection.executemany(
            "UPDATE windows SET amount = amount + ? WHERE account = ? AND part = ?",
            [(each.amount, each.key, each.part(taken_at)) for each in windows],
        )
        connection.executemany(
            "DELETE FROM leases WHERE account = ? AND id = ?", [(lease.key, lease.id) for lease in leases]
        )


def _renew(connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    with _writing(connection):
        _lend(connection, leases)


def _put(connection: sqlite3.Connection, entry: Entry, now: float) -> None:
    with _writing(connection):
        _write(connection, entry.id, entry.text, entry.expires_at)
        connection.execute("DELETE FROM revocations WHERE expires_at <= ?", (now,))


def _withdraw(connection: sqlite3.Connection, entry_id: str, now: float) -> bool:
    with _writing(connection):
        there = "SELECT 1 FROM revocations WHERE id = ? AND text IS NOT NULL"
        if connection.execute(there, (entry_id,)).fetchone() is None:
            return False
        _write(connection, entry_id, None, now + KEEP_WITHDRAWN)
    return True


def _write(connection: sqlite3.Connection, entry_id: str, text: str | None, expires_at: float | None) -> None:
    number, mark = _number(connection, "number") + 1, secrets.token_hex(8)
    connection.executemany("UPDATE meta SET value = ? WHERE name = ?", [(number, "number"), (mark, "mark")])
    row = (entry_id, number, mark, text, expires_at)
    connection.execute("INSERT OR REPLACE INTO revocations VALUES (?, ?, ?, ?, ?)", row)


def _changes(connection: sqlite3.Connection, since: Position | None) -> Changes:
    connection.execute("BEGIN")  # one moment for all that follows
    try:
        _check_format(connection)  # a newer version may have come since the file was opened
        head = Position(_number(connection, "number"), str(_meta(connection, "mark")))
        whole = since is None or not _holds(connection, since, head)
        seen = 0 if since is None or whole else since.number
        found = "SELECT id, text, expires_at FROM revocations WHERE number > ?"
        rows = connection.execute(found, (seen,)).fetchall() if seen < head.number else []
    finally:
        connection.execute("ROLLBACK")
    return Changes(
        head,
        whole,
        entries=[Entry(*row) for row in rows if row[1] is not None],
        withdrawn=[row[0] for row in rows if row[1] is None],
    )


def _holds(connection: sqlite3.Connection, since: Position, head: Position) -> bool:
    """Whether the writes up to there are those that the reader knows. One that was overwritten since can't say."""
    if since.number == head.number:
        return since.mark == head.mark
    row = connection.execute("SELECT mark FROM revocations WHERE number = ?", (since.number,)).fetchone()
    return row is not None and row[0] == since.mark


def _used(connection: sqlite3.Connection, names: Mapping[str, float | None], now: float) -> None:
    with _writing(connection):
        connection.executemany(
            "INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE "
            "SET last = nullif(max(coalesce(last, 0), coalesce(excluded.last, 0)), 0)",
            [(name, now, last) for name, last in names.items()],
        )
        connection.execute("DELETE FROM uses WHERE last < ?", (now - KEEP_USES,))


def _uses(connection: sqlite3.Connection) -> Mapping[str, Use]:
    rows = connection.execute("SELECT name, since, last FROM uses").fetchall()
    return {name: Use(since, last) for name, since, last in rows}


def _anchor(connection: sqlite3.Connection, chain: str, anchor: Anchor) -> None:
    with _writing(connection):
        connection.execute(
            "INSERT INTO anchors VALUES (?, ?, ?, ?, ?) ON CONFLICT (chain) DO UPDATE SET number = excluded.number, "
            "hash = excluded.hash, instance = excluded.instance, at = excluded.at WHERE excluded.number > number",
            (chain, anchor.number, anchor.hash, anchor.instance, anchor.at),
        )
        connection.execute("DELETE FROM anchors WHERE at < ?", (anchor.at - KEEP_ANCHORS,))


def _anchors(connection: sqlite3.Connection) -> Mapping[str, Anchor]:
    rows = connection.execute("SELECT chain, number, hash, instance, at FROM anchors").fetchall()
    return {chain: Anchor(*row) for chain, *row in rows}


def _uses_with(connection: sqlite3.Connection, text: str) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM uses WHERE instr(name, ?)", (text,))]


_PERSONAL: Final = """
SELECT 'window', account, part, amount FROM windows WHERE account IN (SELECT value FROM json_each(?1))
UNION ALL SELECT 'lease', account, ends, NULL FROM leases WHERE account IN (SELECT value FROM json_each(?2))
UNION ALL SELECT 'total', account, minute, amount FROM totals WHERE account IN (SELECT value FROM json_each(?3))
UNION ALL SELECT 'hold', account, ends, amount FROM holds WHERE account IN (SELECT value FROM json_each(?3))
UNION ALL SELECT 'use', name, since, last FROM uses WHERE name IN (SELECT value FROM json_each(?4))
"""


def _kept(connection: sqlite3.Connection, names: Names) -> list[Kept]:
    listed = [json.dumps(list(each)) for each in (names.windows, names.leases, names.totals, names.uses)]
    return [Kept(*row) for row in connection.execute(_PERSONAL, listed)]


def _erase(connection: sqlite3.Connection, names: Names) -> Erased:
    """What was deleted long ago may still stand in a free page, so that the file is always made anew."""
    with _writing(connection):
        kept = _kept(connection, names)
        for key in names.windows:
            connection.execute("DELETE FROM windows WHERE account = ?", (key,))
        for key in names.leases:
            connection.execute("DELETE FROM leases WHERE account = ?", (key,))
        for key in names.totals:
            connection.execute("DELETE FROM totals WHERE account = ?", (key,))
            connection.execute("DELETE FROM holds WHERE account = ?", (key,))
        for name in names.uses:
            connection.execute("DELETE FROM uses WHERE name = ?", (name,))
    return Erased(kept, _make_anew(connection))


def _make_anew(connection: sqlite3.Connection) -> Sequence[str]:
    """The file without what was deleted, and an empty log; in plain words what could not be done."""
    connection.execute("PRAGMA temp_store = MEMORY")  # or it would go through a file in a folder of the system's
    connection.execute("VACUUM")
    in_use, *_ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return (LOG_IN_USE,) if in_use else ()


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, the only writer's."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _meta(connection: sqlite3.Connection, name: str) -> int | str:
    row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise StateUnfit("the store is damaged: it does not say what it is")
    value: int | str = row[0]
    return value


def _number(connection: sqlite3.Connection, name: str) -> int:
    value = _meta(connection, name)
    if not isinstance(value, int):
        raise StateUnfit("the store is damaged: it does not say what it is")
    return value


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
