"""Releases: how soon two gateway processes obey a switch and a withdrawal, and what the choice costs a request.

    python -m tests.bench.bench_release_switch [--rounds 20] [--json FILE]

Each store is measured alone, with two real gateway processes on it in front of a scripted engine. While an answer of
one release streams through the first process, a round switches to the other release and asks the second process every
ten milliseconds until it answers with that one; then it withdraws the first, and waits for the stream's end. Times
count from the store's acknowledgement. What wants Redis is left out where there is none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from gateway.release.standing import Choice, Standing, Withdrawal
from gateway.settings import StateSettings
from gateway.state import Entry, Store
from gateway.state.opening import open_store
from gateway.types import Principal
from tests.bench.bench_revocation import one_redis, sqlite
from tests.bench.reported import show, spread
from tests.support import scripted
from tests.support.gateways import MODEL, Gateway, gateway, server, settings
from tests.support.redis import SERVER

EVERY = 0.01  # seconds between two requests to the second process
CALLERS = 20_000
ASK = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]}
SLOW = "a stream"  # what its request says


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Any] = {"a choice, mean CPU, µs": choices()}
    for name, running in (("SQLite", sqlite), ("Redis, AOF always", one_redis)):
        if name == "SQLite" or SERVER:
            with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as state:
                figures[name] = asyncio.run(two_processes(Path(folder), state, options.rounds))
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def choices() -> float:
    """Of who answers a caller: of a tenant's role, with shares, the dearest there is."""
    standing = Standing()
    for role in (None, "customer"):
        said = Choice(model=MODEL, shares={"blue": 90, "green": 10}, issuer="idp", tenant="acme", role=role)
        standing.learn(said.id, said.written(), None)
    callers = [Principal("idp", "acme", f"s-{number}", None, "customer", 2e9) for number in range(CALLERS)]
    began = time.process_time()
    for caller in callers:
        choice = standing.choice(MODEL, caller)
        assert choice is not None
        choice.drawn(caller)
    return (time.process_time() - began) / CALLERS * 1e6


async def two_processes(folder: Path, state: Mapping[str, Any], rounds: int) -> dict[str, str]:
    """Seconds, median / longest."""
    store = open_store(StateSettings.model_validate(state))
    said, switched, ended = list[float](), list[float](), list[float]()
    with ExitStack() as stack:
        engine = stack.enter_context(scripted.engine())
        engine.replies = _speaks
        fronts = [_front(stack, folder / name, engine, state) for name in ("one", "two")]
        for number in range(rounds):
            old, new = ("blue", "green") if number % 2 == 0 else ("green", "blue")
            async with _streaming(fronts[0], old) as over, _client(fronts[1]) as second:
                choice = Choice(model=MODEL, shares={new: 1}, revision=number + 1)
                took, acknowledged = await _tell(store, choice)
                said.append(took)
                switched.append(await _answers(second, new) - acknowledged)
                withdrawal = Withdrawal(model=MODEL, release=old)
                _, acknowledged = await _tell(store, withdrawal)
                ended.append(await over - acknowledged)
                await store.withdraw(withdrawal.id, time.time())
    await store.aclose()
    return {
        "acknowledged after, s": spread(said),
        "the other process answers with the new release after, s": spread(switched),
        "a running stream of a withdrawn release ended after, s": spread(ended),
    }


def _speaks(body: dict[str, Any]) -> tuple[Sequence[scripted.Step], str]:
    name = body["model"].partition("-")[0]
    slow = body["messages"][-1]["content"] == SLOW
    return [f"This is {name}. It is {name}. ", *((scripted.Pause(0.05), "More. ") * (200 if slow else 0))], "stop"


def _front(stack: ExitStack, folder: Path, engine: scripted.Engine, state: Mapping[str, Any]) -> Gateway:
    folder.mkdir(parents=True)
    tokenizer = scripted.tokenizer(folder)
    releases = {
        name: {
            "tuned": server(engine.url, f"{name}-tuned"),
            "base": server(engine.url, f"{name}-base"),
            "tokenizer": str(tokenizer),
            "unreleased": True,
        }
        for name in ("blue", "green")
    }
    model = {MODEL: {"releases": releases, "serving": "blue"}}
    configuration = settings(server(engine.url, "-"), server(engine.url, "-"), tokenizer, state=dict(state))
    return stack.enter_context(gateway(folder, configuration | {"models": model}))


@asynccontextmanager
async def _client(front: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {front.token()}"}
    async with httpx.AsyncClient(base_url=front.public, headers=headers, trust_env=False, timeout=30) as client:
        yield client


@asynccontextmanager
async def _streaming(front: Gateway, release: str) -> AsyncIterator[asyncio.Future[float]]:
    """An answer of this release that has begun; the future is when it ended."""
    began = asyncio.Event()

    async def read(client: httpx.AsyncClient) -> float:
        body = ASK | {"stream": True, "messages": [{"role": "user", "content": SLOW}]}
        async with client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for piece in response.aiter_text():
                if release in piece:
                    began.set()
        return time.monotonic()

    async with _client(front) as client:
        await _answers(client, release)  # the round before is over for this process too
        reading = asyncio.create_task(read(client))
        await began.wait()
        yield reading
        await reading


async def _answers(client: httpx.AsyncClient, release: str) -> float:
    while f"This is {release}." not in (await client.post("/v1/chat/completions", json=ASK)).text:  # noqa: ASYNC110
        await asyncio.sleep(EVERY)
    return time.monotonic()


async def _tell(store: Store, said: Choice | Withdrawal) -> tuple[float, float]:
    """How long it took, and when it was acknowledged."""
    began = time.monotonic()
    await store.put(Entry(said.id, said.written(), None), time.time())
    acknowledged = time.monotonic()
    return acknowledged - began, acknowledged


if __name__ == "__main__":
    main()
