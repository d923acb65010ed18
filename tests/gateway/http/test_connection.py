"""Raw bytes on real sockets: what is no request, too large, too slow or too many is refused before it is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from gateway.http.connection import ConnectionLimits
from gateway.listening import bind, make_server
from gateway.settings import Listener

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "raw_http.json").read_text(encoding="utf-8"))["cases"]
PLAIN = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Application:
    """Reads the whole body, and counts."""

    def __init__(self) -> None:
        self.complete = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        if message["type"] == "http.disconnect":
            return
        self.complete += 1
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def serving(limits: ConnectionLimits) -> AsyncIterator[tuple[Application, int]]:
    application, bound = Application(), bind(Listener(port=0))
    server = make_server(application, limits)
    task = asyncio.create_task(server.serve([bound]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    yield application, bound.getsockname()[1]
    server.should_exit = server.force_exit = True
    await task


async def ask(port: int, raw: bytes, patience: float = 5.0) -> tuple[int | None, bool]:
    """The status of the answer (None: the connection ended without one), and whether the server closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(patience):
            head = await reader.readuntil(b"\r\n\r\n")
            body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        status = int(head.split(b" ")[1])
        if status != 200:
            assert json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
        try:
            return status, await asyncio.wait_for(reader.read(1), 0.3 if status == 200 else patience) == b""
        except TimeoutError:
            return status, False
    except (asyncio.IncompleteReadError, ConnectionError):
        return None, True
    finally:
        writer.close()


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
async def test_vectors(case: dict[str, Any]) -> None:
    async with serving(ConnectionLimits()) as (application, port):
        status, closed = await ask(port, case["raw"].encode("latin-1"))
        assert status == case["status"]
        assert closed or status == 200
        assert application.complete == (status == 200)


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: b"]
)
async def test_a_head_that_does_not_come_in_time_ends_the_connection(sent: bytes) -> None:
    async with serving(ConnectionLimits(head_seconds=0.2)) as (application, port):
        assert await ask(port, sent) == (408, True)
        assert application.complete == 0


async def test_a_head_that_drips_is_late_too_and_the_next_one_on_a_connection_as_well() -> None:
    async with serving(ConnectionLimits(head_seconds=0.3)) as (application, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PLAIN)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        await asyncio.sleep(0.4)  # idle between two requests is another matter
        for byte in PLAIN[:4]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
        assert (await reader.read(100)).startswith(b"HTTP/1.1 408")
        assert application.complete == 1
        writer.close()


async def test_no_more_connections_than_allowed_from_one_address_and_in_all() -> None:
    async with serving(ConnectionLimits(total=10, per_address=3)) as (_, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await ask(port, PLAIN) == (None, True)
        for _, writer in held:
            writer.close()
        await asyncio.sleep(0.05)
        assert (await ask(port, PLAIN))[0] == 200


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=st.sampled_from(VECTORS), cuts=st.lists(st.integers(1, 400), max_size=6))
def test_how_the_bytes_arrive_changes_nothing(case: dict[str, Any], cuts: list[int]) -> None:
    raw = case["raw"].encode("latin-1")

    async def run() -> None:
        async with serving(ConnectionLimits()) as (application, port):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            at = 0
            for cut in [*cuts, len(raw)]:
                writer.write(raw[at : at + cut])
                await asyncio.sleep(0)
                at += cut
            await asyncio.sleep(0.01)
            assert application.complete <= (case["status"] == 200)
            writer.close()

    asyncio.run(run())
