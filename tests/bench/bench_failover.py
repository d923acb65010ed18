"""A failover of Redis behind Sentinel, under load: which revocations that were acknowledged are gone, for how long none
is and no limit can be taken, how old the revocations become that gateways know, and how many requests are forgotten.

    python -m tests.bench.bench_failover [--rounds 5] [--json FILE]

A master with two replicas and three Sentinels (two must agree; down after half a second). In each round one writes
revocations as fast as they are acknowledged, four take from a limit as fast as they can, and a gateway's feed looks;
then the master is killed, or hangs and comes back later. Wants Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis as Client
from redis.exceptions import RedisError

from gateway.auth.revocation import Kind, Revocation
from gateway.http.lifecycle import Lifecycle
from gateway.observe.metrics import Metrics
from gateway.revocations import RevocationFeed
from gateway.settings import SentinelSettings, StateSettings
from gateway.state import Entry, StateUnavailable, Store
from gateway.state.opening import open_store
from gateway.state.windows import Window
from tests.support.processes import Child, free_ports, running_together
from tests.support.redis import DURABLE, redis_program, sentinel_program

BEFORE: Final = 2.0  # seconds of load
AFTER: Final = 3.0  # once all goes on
LONGEST: Final = 60.0
WINDOW: Final = Window("requests", 86_400, 10_000_000, 1)
TAKERS: Final = 4


@dataclass
class Told:
    """When something was acknowledged, by the monotonic clock."""

    revocations: dict[str, float] = field(default_factory=dict)
    takes: list[float] = field(default_factory=list)
    oldest: float = 0.0  # seconds
    over: bool = False  # whoever asks comes to his end


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures = {}
    for name, how in (("the master is killed", signal.SIGKILL), ("it hangs and comes back", signal.SIGSTOP)):
        rounds = []
        for _ in range(options.rounds):
            with tempfile.TemporaryDirectory() as folder:
                rounds.append(asyncio.run(one_round(Path(folder), how)))
        figures[name] = _together(rounds)
        print(name)
        for what, value in figures[name].items():
            print(f"  {what:50} {value}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def _together(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Sums of counts, and the longest of times."""
    return {
        name: round(max(each[name] for each in rounds), 2)
        if name.endswith((", s", "a round"))
        else sum(each[name] for each in rounds)
        for name in rounds[0]
    }


async def one_round(folder: Path, how: signal.Signals) -> dict[str, float]:
    """A failover of servers that are started for it."""
    async with _servers(folder) as (master, sentinels):
        async with _loaded(sentinels) as (told, store):
            await asyncio.sleep(BEFORE)
            gone = time.monotonic()
            master.process.send_signal(how)
            await _all_go_on(told, gone + 1.0)
            if how is signal.SIGSTOP:
                master.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(AFTER)
        there, used = await _asked(lambda: _found(store))
        await store.aclose()
    forgotten = len(told.takes) - used
    return {
        "revocations acknowledged": len(told.revocations),
        "of them gone": len(told.revocations.keys() - there),
        "longest without an acknowledgement, s": _gap(list(told.revocations.values())),
        "requests that passed": len(told.takes),
        "of them forgotten": max(0, forgotten),
        "of them forgotten, most in a round": max(0, forgotten),
        "longest without one that passed, s": _gap(told.takes),
        "oldest that known revocations became, s": told.oldest,
    }


def _gap(times: Sequence[float]) -> float:
    return max(later - earlier for earlier, later in pairwise(times))


async def _found(store: Store) -> tuple[set[str], int]:
    there = {entry.id for entry in (await store.changes(None)).entries}
    return there, (await store.take([WINDOW], [], time.time())).windows[0].used


# ---- the load --------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _loaded(sentinels: Sequence[int]) -> AsyncIterator[tuple[Told, Store]]:
    urls = tuple(f"redis://127.0.0.1:{port}" for port in sentinels)
    settings = StateSettings(sentinel=SentinelSettings(master="main", urls=urls))
    stores, told = [open_store(settings) for _ in range(TAKERS + 2)], Told()
    works = [_take(store, told) for store in stores[:TAKERS]]
    works += [_revoke(stores[-2], told), _look(stores[-1], told)]
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield told, stores[0]
    finally:
        told.over = True
        await asyncio.gather(*tasks)
        for store in stores[1:]:
            await store.aclose()


async def _take(store: Store, told: Told) -> None:
    while not told.over:
        try:
            await store.take([WINDOW], [], time.time())
        except StateUnavailable:
            await asyncio.sleep(0.05)
        else:
            told.takes.append(time.monotonic())


async def _revoke(store: Store, told: Told) -> None:
    while not told.over:
        entry = Revocation(Kind.SUBJECT, f"s-{time.monotonic_ns()}", "idp", "acme")
        try:
            await store.put(Entry(entry.id, entry.written(), None), time.time())
        except StateUnavailable:
            await asyncio.sleep(0.05)
        else:
            told.revocations[entry.id] = time.monotonic()


async def _look(store: Store, told: Told) -> None:
    feed = RevocationFeed(store, Metrics(CollectorRegistry()), 30.0, Lifecycle().end)
    await feed.begin()
    while not told.over:
        await feed.look()
        if feed.ready:
            told.oldest = max(told.oldest, feed.age)
        await asyncio.sleep(0.25)


async def _all_go_on(told: Told, since: float) -> None:
    """Revocations are acknowledged and limits taken again."""
    async with asyncio.timeout(LONGEST):
        while not (told.takes[-1] > since and max(told.revocations.values()) > since):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _asked(work: Callable[[], Awaitable[Any]]) -> Any:
    """Again, while another server becomes the master."""
    async with asyncio.timeout(LONGEST):
        while True:
            try:
                return await work()
            except StateUnavailable:
                await asyncio.sleep(0.1)


# ---- the servers -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _servers(folder: Path) -> AsyncIterator[tuple[Child, list[int]]]:
    ports = free_ports(6)
    options = [*DURABLE, "--repl-diskless-sync-delay", "0"]
    follows = ("--replicaof", "127.0.0.1", str(ports[0]))
    servers = [redis_program(folder / "one", options, ports[0], name="one")]
    for name, port in (("two", ports[1]), ("three", ports[2])):
        servers.append(redis_program(folder / name, [*options, *follows], port, name=name))
    sentinels = [sentinel_program(folder / f"sentinel-{port}", "main", ports[0], port, quorum=2) for port in ports[3:]]
    with ExitStack() as stack:
        children = stack.enter_context(running_together(servers, folder / "logs"))
        await _until(ports[0], lambda client: client.info("replication"), lambda found: found["connected_slaves"] == 2)
        stack.enter_context(running_together(sentinels, folder / "logs"))
        for port in ports[3:]:
            await _until(port, lambda client: client.execute_command("SENTINEL", "CKQUORUM", "main"), lambda _: True)
        yield children[0], ports[3:]


async def _until(port: int, ask: Callable[[Client], Awaitable[Any]], holds: Callable[[Any], bool]) -> None:
    async def holds_now() -> bool:
        async with Client(port=port) as client:
            try:
                return holds(await ask(client))
            except RedisError:
                return False

    async with asyncio.timeout(LONGEST):
        while not await holds_now():  # noqa: ASYNC110 - Redis has no event for it
            await asyncio.sleep(0.1)


if __name__ == "__main__":
    main()
