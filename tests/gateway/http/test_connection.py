"""Raw bytes on real sockets: what is no request, too large, too slow or too many is refused before it is read."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.http.arrivals import neighbours
from gateway.http.connection import ConnectionLimits
from gateway.listening import bind, make_server
from gateway.settings import Listener
from tests.support.clock import leap, leaping
from tests.support.raw_http import NAMES, PLAIN, VECTORS, Application, raw_of
from tests.support.serving import on_loopback
from tests.support.waiting import PATIENCE_S, until_async

T = TypeVar("T")


@asynccontextmanager
async def serving(limits: ConnectionLimits, app: ASGIApp | None = None) -> AsyncIterator[tuple[Application, int]]:
    application, bound = Application(), bind(Listener(port=0))
    server = make_server(app or application, limits)
    async with on_loopback(server, bound):
        yield application, bound.getsockname()[1]


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """The system's own buffers for it are as small as it allows, and so is the reader's."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ask(port: int, raw: bytes, patience: float | None = PATIENCE_S) -> tuple[int | None, bool]:
    """The status of the answer (None: the connection ended without one), and whether the server closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        async with asyncio.timeout(patience):
            status = await answered(reader)
            if status == 200:
                writer.write(PLAIN)
            return status, await reader.read(1) == b""
    except (asyncio.IncompleteReadError, ConnectionError):
        return None, True
    finally:
        writer.close()


async def answered(reader: asyncio.StreamReader) -> int:
    """The status of the next answer that is one, read to its end."""
    while (head := await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 "):
        pass
    body = await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
    status = int(head.split(b" ")[1])
    assert status == 200 or json.loads(body)["error"].keys() == {"message", "type", "param", "code"}
    return status


@dataclass
class Served:
    """One server for many connections, on a loop that runs while a test waits for it."""

    runner: asyncio.Runner
    application: Application
    port: int

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        self.application.reached.clear()
        return self.runner.run(work)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with asyncio.Runner() as runner, ExitStack() as stack:
        context = serving(ConnectionLimits())
        application, port = runner.run(context.__aenter__())
        stack.callback(lambda: runner.run(context.__aexit__(None, None, None)))
        yield Served(runner, application, port)


@pytest.mark.parametrize("case", VECTORS, ids=NAMES)
def test_vectors(served: Served, case: dict[str, Any]) -> None:
    status, closed = served.run(ask(served.port, raw_of(case)))
    assert (status, closed) == (case["status"], case["status"] != 200 or case.get("closes", False))
    wanted = (status == 200) + (not closed)  # the second one asks whether the connection is still good
    reached = served.application.reached
    assert len(reached) == wanted
    assert not any(each.smuggled for each in reached)
    assert "path" not in case or reached[0].path == case["path"]


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nX: b"]
)
async def test_a_head_that_does_not_come_in_time_ends_the_connection(sent: bytes) -> None:
    async with serving(ConnectionLimits()) as (application, port):
        assert await leaping(1.0, ask(port, sent, patience=None)) == (408, True)
        assert application.complete == 0


async def test_a_head_that_drips_is_late_too_and_the_next_one_on_a_connection_as_well() -> None:
    async with serving(ConnectionLimits()) as (application, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(PLAIN)
        assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        leap(10.0)  # idle between two requests is another matter
        await asyncio.sleep(0.05)
        late = asyncio.create_task(reader.read(100))
        for byte in PLAIN:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)
            leap(1.0)
        assert (await late).startswith(b"HTTP/1.1 408")
        assert application.complete == 1
        writer.close()


async def test_no_more_connections_than_allowed_from_one_address_and_in_all() -> None:
    async with serving(ConnectionLimits(total=10, per_address=3)) as (_, port):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        assert await ask(port, PLAIN) == (None, True)
        for _, writer in held:
            writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while (await ask(port, PLAIN))[0] != 200:  # that they are gone is heard of soon
                pass


# ---- after the head --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", b"\r\n"])
async def test_an_idle_connection_ends_and_empty_lines_are_no_sign_of_life(said: bytes) -> None:
    async with serving(ConnectionLimits()) as (_, port), connection(port) as (reader, writer):
        writer.write(PLAIN)
        assert await answered(reader) == 200
        over = asyncio.create_task(reader.read(1))
        for _ in range(30):
            if over.done():
                break
            writer.write(said)
            await asyncio.sleep(0.01)
            leap(10.0)
        await over


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """An answer that does not wait for the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.mark.parametrize("raw", [b"Content-Length: 999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"])
async def test_the_rest_of_a_body_is_not_waited_for_after_its_answer(raw: bytes) -> None:
    async with serving(ConnectionLimits(), refuse) as (_, port), connection(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\n" + raw)
        assert await answered(reader) == 200
        assert await leaping(1.0, reader.read(1)) == b""


async def test_a_body_that_ends_soon_after_its_answer_keeps_the_connection() -> None:
    async with serving(ConnectionLimits(), refuse) as (_, port), connection(port) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        assert await answered(reader) == 200
        writer.write(b"cd")
        for _ in range(10):
            await asyncio.sleep(0.01)
            leap(1.0)
        writer.write(PLAIN)
        assert await answered(reader) == 200


class Endless:
    """Sends as long as it is let, or so many pieces."""

    def __init__(self, pieces: int = 10_000) -> None:
        self.pieces, self.sent, self.over = pieces, 0, asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(self._gone(receive))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while self.sent < self.pieces and not gone.done():
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
            self.sent += 1
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})
        await gone
        self.over.set()

    async def _gone(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


async def test_a_caller_who_does_not_read_is_waited_for_and_then_cut_off() -> None:
    app = Endless()
    async with serving(ConnectionLimits(), app) as (_, port), connection(port) as (_, writer):
        writer.write(PLAIN)
        await until_async(lambda: app.sent)
        await leaping(1.0, app.over.wait())
        assert app.sent < 100


@pytest.mark.parametrize("end", [b"Connection: close\r\n", b""])
async def test_a_whole_answer_that_is_not_read_is_cut_off_too(end: bytes) -> None:
    """What is left is little enough for the transport, and all of it has been written."""
    app = Endless(pieces=23)
    async with serving(ConnectionLimits(), app) as (_, port), connection(port) as (reader, writer):
        writer.write(PLAIN[:-2] + end + b"\r\n")
        await until_async(lambda: app.sent)
        await leaping(1.0, app.over.wait())
        for _ in range(15):
            await asyncio.sleep(0.01)
            leap(10.0)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(23 * 16384)


async def test_a_caller_who_reads_slowly_gets_all_of_it() -> None:
    app = Endless(pieces=60)
    async with serving(ConnectionLimits(), app) as (_, port), connection(port) as (reader, writer):
        writer.write(PLAIN[:-2] + b"Connection: close\r\n\r\n")
        read = 0
        while piece := await reader.read(32768):
            read += len(piece)
            leap(1.0)
            await asyncio.sleep(0.001)
        assert read > 60 * 16384


@pytest.mark.parametrize("behind", [b"\0\0", PLAIN])
async def test_what_comes_behind_a_request_neither_cuts_into_its_answer_nor_is_read(behind: bytes) -> None:
    go, begun = asyncio.Event(), []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        begun.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"cd"})

    async with serving(ConnectionLimits(), app) as (_, port), connection(port) as (reader, writer):
        writer.write(PLAIN)
        assert (await reader.readuntil(b"ab")).startswith(b"HTTP/1.1 200")
        writer.write(behind)
        await asyncio.sleep(0.05)
        go.set()
        assert await reader.read() == b"cd"
        assert len(begun) == 1


async def test_a_caller_who_goes_away_behind_a_second_request_is_missed_at_once() -> None:
    app = Endless()
    async with serving(ConnectionLimits(), app) as (_, port):
        async with connection(port) as (_, writer):
            writer.write(PLAIN + PLAIN)
            await until_async(lambda: app.sent)
        async with asyncio.timeout(PATIENCE_S):
            await app.over.wait()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:0:1::1", "2001:db8:0:1:ffff::9", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_whose_connections_are_counted_together(one: str, other: str, same: bool) -> None:
    assert (neighbours(one) == neighbours(other)) is same


# ---- pieces ----------------------------------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=st.sampled_from(VECTORS), cuts=st.lists(st.integers(1, 400), max_size=6))
def test_how_the_bytes_arrive_changes_nothing(served: Served, case: dict[str, Any], cuts: list[int]) -> None:
    raw = raw_of(case)

    async def run() -> int | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        at = 0
        try:
            for cut in [*cuts, len(raw)]:
                writer.write(raw[at : at + cut])
                await asyncio.sleep(0)
                at += cut
            async with asyncio.timeout(PATIENCE_S):
                return await answered(reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None  # it was refused before all was sent, and the answer went with what nobody would read
        finally:
            writer.close()

    assert served.run(run()) in (case["status"], None)
    assert len(served.application.reached) <= (case["status"] == 200)
    assert not any(each.smuggled for each in served.application.reached)
