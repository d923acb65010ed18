"""Revocations: what a check costs, how soon two gateway processes obey one, what survives kill -9.

    python -m tests.bench.bench_revocation [--rounds 20] [--json FILE]

Each store is measured alone, with two real gateway processes on it in front of a scripted engine. A round revokes a
subject while an answer to him streams through the first process, and asks the second one every ten milliseconds; times
count from the store's acknowledgement. What wants Redis is left out where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.auth.revocation import Kind, Revocation, Revocations
from gateway.errors import NotAuthenticated
from gateway.revoke import listed, revoke
from gateway.settings import StateSettings
from gateway.state.opening import open_store
from gateway.types import Principal
from tests.bench.reported import show, spread
from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.redis import DURABLE, SERVER, redis

REVOCATIONS, SUBJECTS, CHECKS = 10_000, 100_000, 50_000
EVERY = 0.01  # seconds between two requests to the second process
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {"check": checks()}
    show(figures["check"])
    for name, running in (("SQLite", sqlite), ("Redis, AOF always", one_redis)):
        if name.startswith("SQLite") or SERVER:
            with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as state:
                figures[name] = asyncio.run(two_processes(Path(folder), state, options.rounds))
            show({name: figures[name]})
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


# ---- a check ---------------------------------------------------------------------------------------------------------


def checks() -> dict[str, float]:
    """Microseconds of one check, for callers of whom a part is revoked, and for those of whom nobody is."""
    rng, copy = random.Random(1), Revocations()
    for number in range(REVOCATIONS):
        each = _revocation(number, rng)
        copy.put(each.id, each, None)
    callers = [_principal(f"s-{rng.randrange(SUBJECTS)}", number) for number in range(CHECKS)]
    refused, times, cpu = 0, [], time.process_time()
    for caller in callers:
        began = time.perf_counter()
        try:
            copy.check(caller)
        except NotAuthenticated:
            refused += 1
        times.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    times.sort()
    return {
        "check, mean CPU with taking the time, µs": cpu / CHECKS * 1e6,
        "check, median, µs": times[len(times) // 2] * 1e6,
        "check, p99, µs": times[len(times) * 99 // 100] * 1e6,
        "refused": refused / CHECKS,
    }


def _revocation(number: int, rng: random.Random) -> Revocation:
    if number % 3 == 0:
        return Revocation(Kind.TOKEN_ID, f"t-{number}", "idp")
    if number % 3 == 1:
        return Revocation(Kind.SUBJECT, f"s-{rng.randrange(SUBJECTS)}", "idp", "acme")
    return Revocation(Kind.SUBJECT, f"s-{rng.randrange(SUBJECTS)}", "idp", "acme", 1e9)


def _principal(subject: str, number: int) -> Principal:
    return Principal("idp", "acme", subject, f"t-{number % (3 * REVOCATIONS)}", "customer", 2e9, issued_at=1.1e9)


# ---- two processes on one store --------------------------------------------------------------------------------------


@contextmanager
def sqlite(folder: Path) -> Iterator[dict[str, Any]]:
    yield {"file": str(folder / "state.db")}


@contextmanager
def one_redis(folder: Path) -> Iterator[dict[str, Any]]:
    with redis(folder / "redis", *DURABLE) as running:
        yield {"url": running.url}


async def two_processes(folder: Path, state: Mapping[str, Any], rounds: int) -> dict[str, Any]:
    """Seconds. Also whether a gateway that was killed knows everything that was acknowledged before."""
    store = open_store(StateSettings.model_validate(state))
    said, refused, ended = [], [], []
    with ExitStack() as stack:
        engine = stack.enter_context(scripted.engine())
        engine.tuned = ("Good day. One. Two. ", *(scripted.Pause(0.05), "Three. ") * 200)
        fronts = [stack.enter_context(_front(folder / name, engine, state)) for name in ("one", "two")]
        for number in range(rounds):
            subject = f"s-{number}"
            async with _streaming(fronts[0], subject) as over, _client(fronts[1], subject) as second:
                began = time.monotonic()
                await revoke(store, Revocation(Kind.SUBJECT, subject, "tightlip-dev", "acme"), time.time())
                acknowledged = time.monotonic()
                said.append(acknowledged - began)
                refused.append(await _refused(second) - acknowledged)
                ended.append(await over - acknowledged)
        fronts[0].child.process.kill()
        in_force = {each.revocation.value for each in await listed(store, time.time()) if each.revocation}
        with _front(folder / "three", engine, state) as again:
            kept = [await _is_refused(again, f"s-{number}") for number in range(rounds)]
    await store.aclose()
    return {
        "acknowledged after, s": spread(said),
        "refused by the other process after, s": spread(refused),
        "stream ended after, s": spread(ended),
        "in the store after kill -9": f"{len(in_force)} of {rounds}",
        "refused by a process started then": f"{sum(kept)} of {rounds}",
    }


@contextmanager
def _front(folder: Path, engine: scripted.Engine, state: Mapping[str, Any]) -> Iterator[Gateway]:
    folder.mkdir(parents=True)
    pair = server(engine.url, "tuned"), server(engine.url, "base")
    with gateway(folder, settings(*pair, scripted.tokenizer(folder), state=dict(state))) as front:
        yield front


@asynccontextmanager
async def _client(front: Gateway, subject: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {front.token(subject=subject)}"}
    async with httpx.AsyncClient(base_url=front.public, headers=headers, trust_env=False, timeout=30) as client:
        yield client


@asynccontextmanager
async def _streaming(front: Gateway, subject: str) -> AsyncIterator[asyncio.Future[float]]:
    """An answer that has begun; the future is when it ended."""
    began = asyncio.Event()

    async def read(client: httpx.AsyncClient) -> float:
        async with client.stream("POST", "/v1/chat/completions", json=BODY) as response:
            async for _ in response.aiter_raw():
                began.set()
        return time.monotonic()

    async with _client(front, subject) as client:
        reading = asyncio.create_task(read(client))
        await began.wait()
        yield reading
        await reading


async def _refused(client: httpx.AsyncClient) -> float:
    while (await client.get("/v1/models")).status_code == 200:  # noqa: ASYNC110 - it is in another process
        await asyncio.sleep(EVERY)
    return time.monotonic()


async def _is_refused(front: Gateway, subject: str) -> bool:
    async with _client(front, subject) as client:
        return (await client.get("/v1/models")).status_code == 401


if __name__ == "__main__":
    main()
