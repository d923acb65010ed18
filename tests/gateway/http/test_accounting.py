"""The outermost layer: what ends a request from outside, and that each has one record."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from gateway.errors import ShuttingDown, UpstreamTimeout
from gateway.http.headers import JSON, answer_headers
from gateway.types import Plan, RequestId
from tests.gateway.http.surface import public

STREAM = answer_headers(RequestId("req_1"), "text/event-stream; charset=utf-8")


async def before_the_first_byte(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(60)


async def in_mid_stream(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": STREAM})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    await asyncio.sleep(60)


async def in_mid_document(plan: Plan, scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": answer_headers(RequestId("req_1"), JSON)})
    await send({"type": "http.response.body", "body": b'{"half":', "more_body": True})
    await asyncio.sleep(60)


async def test_an_answer_that_takes_too_long_before_its_first_byte_has_a_status(tmp_path: Path) -> None:
    async with public(tmp_path, before_the_first_byte, longest=0.3) as surface:
        answer = await surface.chat()
        assert (answer.status_code, answer.json()) == (504, UpstreamTimeout().body())
        assert [record["error"] for record in surface.records] == ["upstream_timeout"]


async def test_a_stream_that_takes_too_long_ends_with_an_error_frame(tmp_path: Path) -> None:
    async with public(tmp_path, in_mid_stream, longest=0.3) as surface:
        answer = await surface.chat()
        first, last, rest = answer.text.split("\n\n")
        assert (answer.status_code, first, rest) == (200, "data: 1", "")
        assert json.loads(last.removeprefix("data: ")) == UpstreamTimeout().body()
        (record,) = surface.records
        assert (record["status"], record["error"]) == (200, "upstream_timeout")
        labels = {"route": "/v1/chat/completions", "code": "upstream_timeout", "fault": "upstream"}
        assert surface.count("tightlip_errors_total", **labels) == 1


async def test_half_a_document_is_only_cut_off(tmp_path: Path) -> None:
    async with public(tmp_path, in_mid_document, longest=0.3) as surface:
        with pytest.raises(httpx.RemoteProtocolError):
            await surface.chat()
        assert [record["error"] for record in surface.records] == ["upstream_timeout"]


async def test_shutdown_lets_answers_end_until_the_deadline_and_then_says_why(tmp_path: Path) -> None:
    async with public(tmp_path, in_mid_stream) as surface:
        running = asyncio.create_task(surface.chat())
        while not surface.count("tightlip_active_streams"):  # noqa: ASYNC110 - seen from outside only
            await asyncio.sleep(0.01)
        surface.lifecycle.drain()
        assert not await surface.lifecycle.drained(0.1)
        late = await surface.chat()
        assert (late.status_code, late.json()) == (503, ShuttingDown().body())
        await surface.lifecycle.expire(1.0)
        assert json.loads((await running).text.split("data: ")[-1]) == ShuttingDown().body()
        assert await surface.lifecycle.drained(1.0)
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
            await surface.chat(timeout=0.3)
        while not surface.records:  # noqa: ASYNC110 - seen from outside only
            await asyncio.sleep(0.01)
        (record,) = surface.records
        assert record["status"] == 0
        assert surface.count("tightlip_active_streams") == 0
