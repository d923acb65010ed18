"""How long it takes to erase one person and to read all last uses, and how long others wait meanwhile, in a store that
is full of others.

python -m tests.bench.bench_subject --json subject.json [--callers 100000]

Each caller has a last use, two windows and a total. Meanwhile somebody else takes from his limit all the time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.state import Names, Store
from gateway.state.holds import Draw
from gateway.state.redis import Access, RedisStore, Server
from gateway.state.sqlite import SqliteStore
from gateway.state.windows import Window
from tests.support.redis import DURABLE, SERVER, redis

AT_ONCE = 500


def names(at: int) -> Names:
    key = f"{at:064x}"
    use = f'["Caller","acme","customer","{at:016x}"]'
    return Names([f"{key}:requests:60", f"{key}:tokens:86400"], [f"{key}:streams"], [f"leak-budget:{key}"], [use])


async def fill(store: Store, callers: int) -> None:
    now = time.time()
    for first in range(0, callers, AT_ONCE):
        some = [names(at) for at in range(first, min(first + AT_ONCE, callers))]
        await store.take([Window(key, 86_400, 9, 1) for each in some for key in each.windows], [], now)
        await store.draw([Draw(key, 1.0) for each in some for key in each.totals], now)
        await store.used({use: now for each in some for use in each.uses}, now)


async def measured(store: Store, callers: int) -> dict[str, float]:
    """Seconds: for one who is there, and the longest that somebody else waited meanwhile."""
    await fill(store, callers)
    waits: list[float] = []
    over = asyncio.Event()

    async def another() -> None:
        while not over.is_set():
            began = time.perf_counter()
            await store.take([Window("another", 60, 1 << 40, 1)], [], time.time())
            waits.append(time.perf_counter() - began)
            await asyncio.sleep(0.01)

    busy = asyncio.create_task(another())
    began = time.perf_counter()
    erased = await store.erase(names(callers // 2))
    took = time.perf_counter() - began
    began = time.perf_counter()
    assert len(await store.uses()) == callers - 1
    read = time.perf_counter() - began
    over.set()
    await busy
    assert len(erased.kept) == 4
    return {"callers": callers, "erase_s": took, "uses_s": read, "longest_wait_s": max(waits)}


@asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Store]:
    if kind == "sqlite":
        store: Store = SqliteStore(folder / "state.db")
        yield store
        await store.aclose()
        return
    with redis(folder, *DURABLE) as server:
        store = RedisStore.at(Server("127.0.0.1", server.port, tls=False), Access())
        yield store
        await store.aclose()


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--callers", type=int, default=100_000)
    options = parser.parse_args()
    rows: dict[str, Any] = {}
    for kind in ("sqlite", *(["redis"] if SERVER else [])):
        with TemporaryDirectory() as folder:
            async with opened(kind, Path(folder)) as store:
                rows[kind] = await measured(store, options.callers)
                rows[kind]["megabytes"] = size_of(Path(folder)) / 1e6
        print(f"{kind}: " + ", ".join(f"{name} {value:.3g}" for name, value in rows[kind].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
