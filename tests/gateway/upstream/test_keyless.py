"""A model server that answers without its key is told of, once; one that is away is called until it has answered."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp.web
import pytest
from prometheus_client import CollectorRegistry

from gateway.news import Operator
from gateway.observe.logs import Logs
from gateway.observe.metrics import Metrics
from gateway.observe.pseudonyms import Pseudonyms
from gateway.upstream import keyless
from gateway.upstream.client import MODELS, Server, Timeouts, UpstreamClient
from gateway.upstream.keyless import SIDE_DOOR, KeyCheck
from gateway.upstream.replicas import FAILURES
from tests.support.processes import HOST, free_port


class Web:
    """A server that asks for a key, or does not; `keys` are what it was shown. `side_door` is the status of what is no
    request there; None: it has none."""

    def __init__(self, *, asks: bool, port: int = 0, side_door: int | None = None) -> None:
        self.keys: list[str | None] = []
        self._asks, self._port, self._side_door = asks, port, side_door

    async def __aenter__(self) -> Server:
        application = aiohttp.web.Application()
        application.router.add_get("/v1/models", self._models)
        if self._side_door is not None:
            application.router.add_post(SIDE_DOOR, self._invocations)
        self._runner = aiohttp.web.AppRunner(application)
        await self._runner.setup()
        await aiohttp.web.TCPSite(self._runner, HOST, self._port).start()
        return Server(f"http://{HOST}:{self._runner.addresses[0][1]}", "m", "secret")

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _models(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        self.keys.append(request.headers.get("authorization"))
        return aiohttp.web.json_response({"data": []}, status=401 if self._asks else 200)

    async def _invocations(self, request: aiohttp.web.Request) -> aiohttp.web.Response:
        self.keys.append(request.headers.get("authorization"))
        assert await request.json() == {}, "what a model would answer"
        return aiohttp.web.json_response({"error": {"message": "Cannot find"}}, status=self._side_door or 0)


def connect() -> UpstreamClient:
    return UpstreamClient(Timeouts())


async def test_who_answers_without_a_key_is_told_of() -> None:
    told: list[tuple[str, str]] = []
    careful, careless = Web(asks=True), Web(asks=False)
    async with careful as one, careless as other, aclosing(connect()) as client:
        check = KeyCheck(connect, [one, other], lambda *door: told.append(door))
        assert await check.look(client)
        assert told == [(other.url, MODELS)]
        await check.watch()
    assert told == [(other.url, MODELS)], "once"
    assert careful.keys == careless.keys == [None]


async def test_who_is_away_is_called_until_he_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyless, "AGAIN", 0.01)
    told: list[tuple[str, str]] = []
    port = free_port()
    async with aclosing(connect()) as client:
        check = KeyCheck(connect, [Server(f"http://{HOST}:{port}", "m", "secret")], lambda *door: told.append(door))
        assert not await check.look(client)
        assert not told
        async with Web(asks=False, port=port) as there, asyncio.timeout(60):
            await check.watch()
    assert told == [(there.url, MODELS)]


@pytest.mark.parametrize(("status", "is_open"), [(400, True), (200, True), (422, True), (401, False), (405, False)])
async def test_who_keeps_its_key_for_some_of_its_doors_is_told_of(status: int, is_open: bool) -> None:
    """vLLM 0.32 answers 400 there to an empty body, and chats to one that is a request."""
    told: list[tuple[str, str]] = []
    web = Web(asks=True, side_door=status)
    async with web as one, aclosing(connect()) as client:
        assert await KeyCheck(connect, [one], lambda *door: told.append(door)).look(client)
    assert told == ([(one.url, SIDE_DOOR)] if is_open else [])
    assert web.keys == [None, None]


async def test_each_replica_is_called() -> None:
    """One that asks for a key says nothing of the next."""
    told: list[tuple[str, str]] = []
    port = free_port()
    async with Web(asks=True) as one, Web(asks=False) as two, aclosing(connect()) as client:
        server = replace(one, others=(two.url, f"http://{HOST}:{port}"))
        check = KeyCheck(connect, [server], lambda *door: told.append(door))
        assert not await check.look(client), "the third is away"
        assert told == [(two.url, MODELS)]
        async with Web(asks=False, port=port) as three:
            assert await check.look(client)
    assert told == [(two.url, MODELS), (three.url, MODELS)]


async def test_a_replica_that_was_away_for_long_is_called_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have ejected it by then."""
    monkeypatch.setattr(keyless, "AGAIN", 0.01)
    told: list[tuple[str, str]] = []
    looks, enough, port = 0, asyncio.Event(), free_port()

    def look() -> UpstreamClient:
        nonlocal looks
        looks += 1
        if looks > 2 * FAILURES:
            enough.set()
        return connect()

    async with Web(asks=True) as one, asyncio.timeout(60):
        both = replace(one, others=(f"http://{HOST}:{port}",))
        watch = asyncio.ensure_future(KeyCheck(look, [both], lambda *door: told.append(door)).watch())
        await enough.wait()
        async with Web(asks=False, port=port) as other:
            await watch
    assert told == [(other.url, MODELS)]


def test_the_operator_hears_of_it_in_a_metric_a_record_and_words(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    warned: list[str] = []
    with (tmp_path / "log").open("wb") as stream:
        operator = Operator(Metrics(registry), Logs(stream, Pseudonyms(b"k" * 32)), warned.append)
        operator.keyless("https://vllm.test:8000", SIDE_DOOR)
    record: dict[str, Any] = json.loads((tmp_path / "log").read_text())
    assert (record["code"], record["detail"]) == ("upstream_without_key", "https://vllm.test:8000")
    assert registry.get_sample_value("tightlip_keyless_upstreams") == 1
    assert "https://vllm.test:8000 answers /invocations without a key" in warned[0]
