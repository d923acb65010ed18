"""The outermost layer: what ends a request from outside, and that each has one record."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.errors import ShuttingDown, UpstreamTimeout
from gateway.http.envelope import JSON
from gateway.http.headers import answer_headers
from gateway.types import Plan, RequestId
from tests.gateway.http.surface import Public, public
from tests.support.clock import leap
from tests.support.waiting import until_async

LONGEST = 300.0
STREAM = answer_headers(RequestId("req_1"), "text/event-stream; charset=utf-8")


class Stops:
    """An answer that says nothing, or no more than this."""

    def __init__(self, headers: list[tuple[bytes, bytes]] | None = None, piece: bytes = b"") -> None:
        self._headers, self._piece, self.stopped = headers, piece, asyncio.Event()

    async def __call__(self, plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        if self._headers:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            await send({"type": "http.response.body", "body": self._piece, "more_body": True})
        self.stopped.set()
        await asyncio.Event().wait()

    async def too_late(self, surface: Public) -> httpx.Response:
        """The answer, if the longest that one may take is over when it has stopped."""
        asked = asyncio.ensure_future(surface.chat(timeout=None))
        await self.stopped.wait()
        leap(LONGEST)
        return await asked


def in_mid_stream() -> Stops:
    return Stops(STREAM, b"data: 1\n\n")


async def test_an_answer_that_takes_too_long_before_its_first_byte_has_a_status(tmp_path: Path) -> None:
    async with public(tmp_path, run := Stops(), longest=LONGEST) as surface:
        answer = await run.too_late(surface)
        assert (answer.status_code, answer.json()) == (504, UpstreamTimeout().body())
        assert [record["error"] for record in surface.records] == ["upstream_timeout"]


async def test_a_stream_that_takes_too_long_ends_with_an_error_frame(tmp_path: Path) -> None:
    async with public(tmp_path, run := in_mid_stream(), longest=LONGEST) as surface:
        answer = await run.too_late(surface)
        first, last, rest = answer.text.split("\n\n")
        assert (answer.status_code, first, rest) == (200, "data: 1", "")
        assert json.loads(last.removeprefix("data: ")) == UpstreamTimeout().body()
        (record,) = surface.records
        assert (record["status"], record["error"]) == (200, "upstream_timeout")
        labels = {"route": "/v1/chat/completions", "code": "upstream_timeout", "fault": "upstream"}
        assert surface.count("tightlip_errors_total", **labels) == 1


async def test_half_a_document_is_only_cut_off(tmp_path: Path) -> None:
    run = Stops(answer_headers(RequestId("req_1"), JSON), b'{"half":')
    async with public(tmp_path, run, longest=LONGEST) as surface:
        with pytest.raises(httpx.RemoteProtocolError):
            await run.too_late(surface)
        assert [record["error"] for record in surface.records] == ["upstream_timeout"]


async def test_shutdown_lets_answers_end_until_the_deadline_and_then_says_why(tmp_path: Path) -> None:
    async with public(tmp_path, run := in_mid_stream()) as surface:
        running = asyncio.create_task(surface.chat(timeout=None))
        await run.stopped.wait()
        surface.lifecycle.drain()
        assert not await surface.lifecycle.drained(0.1)
        late = await surface.chat()
        assert (late.status_code, late.json()) == (503, ShuttingDown().body())
        await surface.lifecycle.expire(60)
        assert json.loads((await running).text.split("data: ")[-1]) == ShuttingDown().body()
        assert await surface.lifecycle.drained(60)
        assert [record["error"] for record in surface.records] == ["shutting_down", "shutting_down"]
        for route in ("none", "/v1/chat/completions"):
            labels = {"route": route, "code": "shutting_down", "fault": "planned"}
            assert surface.count("tightlip_errors_total", **labels) == 1


async def test_a_caller_who_goes_away_has_a_record_too(tmp_path: Path) -> None:
    async def until_gone(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async with public(tmp_path, until_gone) as surface:
        with pytest.raises(httpx.ReadTimeout):
            await surface.chat(timeout=httpx.Timeout(None, read=0.3))
        await until_async(lambda: surface.records)
        (record,) = surface.records
        assert record["status"] == 0
        assert surface.count("tightlip_active_streams") == 0
