"""The client's boundary: every exception of aiohttp becomes one of ours, and none carries its text."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from gateway.errors import GatewayError, UpstreamBroken, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from gateway.observe.steps import Called, Kind, Step, Trace
from gateway.upstream.client import CHAT, COMPLETIONS, TOKENIZE, Errand, Server, Timeouts, UpstreamClient, _mapped
from gateway.upstream.replicas import place_of
from tests.support.clock import leap
from tests.support.processes import HOST, free_port

server_heads: list[bytes] = []  # of requests to `serving`
SECRET = "10.20.30.40 Bearer secret"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def foreign() -> Iterator[type[Exception]]:
    """Every exception class that aiohttp's client and its parser can raise."""
    for module in (aiohttp, aiohttp.client_exceptions, aiohttp.http_exceptions):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, aiohttp.ClientError | aiohttp.http_exceptions.HttpProcessingError):
                yield kind


@pytest.mark.parametrize("kind", sorted(set(foreign()), key=lambda kind: kind.__name__), ids=lambda kind: kind.__name__)
def test_every_exception_of_aiohttp_is_mapped(kind: type[Exception]) -> None:
    ours = mapped(made(kind))
    assert isinstance(ours, UpstreamError)
    assert SECRET not in repr(ours)
    assert ours.__cause__ is None
    assert ours.__suppress_context__


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (TimeoutError(), UpstreamTimeout),
        (aiohttp.SocketTimeoutError(), UpstreamTimeout),
        (aiohttp.ServerDisconnectedError(), UpstreamUnavailable),
        (ConnectionResetError(), UpstreamUnavailable),
        (OSError("no route"), UpstreamUnavailable),
        (aiohttp.ClientPayloadError(), UpstreamBroken),
        (aiohttp.http_exceptions.BadHttpMessage("x"), UpstreamBroken),
    ],
    ids=repr,
)
def test_who_is_at_fault(error: Exception, ours: type[GatewayError]) -> None:
    assert type(mapped(error)) is ours


def test_a_mistake_of_ours_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), _mapped():
        raise ZeroDivisionError


async def test_an_answer_that_stalls_ends() -> None:
    async with serving(HEAD + b"5\r\ndata:\r\n") as server, patient(0.2) as client:
        with pytest.raises(UpstreamTimeout):
            await read_all(client, server)


async def test_reads_that_keep_coming_may_take_longer_than_one_may() -> None:
    async with serving(HEAD, *[b"1\r\nx\r\n"] * 6, b"0\r\n\r\n", pause=10.0) as server, patient(30.0) as client:
        assert await read_all(client, server) == b"x" * 6


async def test_a_slow_caller_is_no_stall() -> None:
    async with serving(HEAD + b"1\r\nx\r\n", b"1\r\ny\r\n0\r\n\r\n") as server, patient(30.0) as client:
        assert await read_all(client, server, pause=80.0) == b"xy"


async def test_an_answer_that_is_cut_off_is_broken() -> None:
    async with serving(HEAD + b"5\r\nda", close=True) as server, patient(5) as client:
        with pytest.raises(UpstreamBroken, match="cut"):
            await read_all(client, server)


async def test_an_answer_of_another_kind_is_broken() -> None:
    answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n"
    async with serving(answer) as server, patient(5) as client:
        with pytest.raises(UpstreamBroken, match="content_type"):
            await read_all(client, server)


async def test_a_refusal_that_never_ends_is_given_up() -> None:
    refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 100\r\n\r\n"
    async with serving(refusal) as server, patient(5, first_byte=0.2) as client:
        with pytest.raises(UpstreamTimeout):
            await read_all(client, server)


async def test_nobody_listens() -> None:
    async with patient(5) as client:
        with pytest.raises(UpstreamUnavailable):
            await read_all(client, Server(f"http://{HOST}:{free_port()}", "m"))


async def test_who_listens_hears_whether_a_server_answers() -> None:
    heard: list[tuple[str, bool]] = []
    client = UpstreamClient(Timeouts(connect=5.0, first_byte=5.0, stall=5.0), lambda url, up: heard.append((url, up)))
    refusal = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
    nobody = Server(f"http://{HOST}:{free_port()}", "m")
    async with serving(refusal) as server:
        with pytest.raises(GatewayError):
            await read_all(client, server)
        with pytest.raises(UpstreamUnavailable):
            await read_all(client, nobody)
    await client.aclose()
    assert heard == [(server.url, True), (nobody.url, False)]


# ---- helpers ---------------------------------------------------------------------------------------------------------


def made(kind: type[Exception]) -> Exception:
    """An instance with a text that must not be seen, whatever its constructor asks for."""
    error = kind.__new__(kind)
    error.args = (SECRET,)
    return error


def mapped(error: Exception) -> GatewayError:
    with pytest.raises(GatewayError) as caught, _mapped():
        raise error
    return caught.value


class serving:  # noqa: N801 - reads as a verb
    """A server that answers every request with these bytes, piece by piece."""

    def __init__(self, *pieces: bytes, pause: float = 0.0, close: bool = False) -> None:
        self._pieces, self._pause, self._close = pieces, pause, close

    async def __aenter__(self) -> Server:
        self._over = asyncio.Event()
        self._server = await asyncio.start_server(self._answer, HOST, 0)
        return Server(f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}", "m")

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_heads.append(await reader.readuntil(b"\r\n\r\n"))
        for piece in self._pieces:
            writer.write(piece)
            await asyncio.sleep(0.005)
            leap(self._pause)
        if not self._close:
            await self._over.wait()
        writer.close()


class patient:  # noqa: N801 - reads as an adjective
    """A client with this much patience between two reads."""

    def __init__(self, stall: float, first_byte: float = 5.0) -> None:
        self._timeouts = Timeouts(connect=5.0, first_byte=first_byte, stall=stall)

    async def __aenter__(self) -> UpstreamClient:
        self._client = UpstreamClient(self._timeouts)
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()


async def read_all(client: UpstreamClient, server: Server, pause: float = 0.0) -> bytes:
    async with client.stream(server, CHAT, {}, Errand("req_1")) as pieces:
        return b"".join([piece async for piece in slowly(pieces, pause)])


async def slowly(pieces: AsyncIterator[bytes], pause: float) -> AsyncIterator[bytes]:
    async for piece in pieces:
        await asyncio.sleep(0.05)
        leap(pause)
        await asyncio.sleep(0.005)  # what is late by now has ended
        yield piece


async def test_a_call_is_a_step_and_what_it_came_to() -> None:
    root = Step(Trace(1), Kind.REQUEST)
    errand = Errand("req_1").within(root)
    async with serving(HEAD + b"5\r\ndata:\r\n0\r\n\r\n") as server, patient(5) as client:
        nobody = f"http://{HOST}:{free_port()}"
        two = Server(nobody, "m", others=(server.url,))
        async with client.stream(two, CHAT, {}, errand) as pieces:
            assert b"".join([piece async for piece in pieces]) == b"data:"
        with pytest.raises(UpstreamUnavailable):
            await client.post(Server(nobody, "m"), TOKENIZE, {}, errand, 5.0)
    assert [(step.called, step.error) for step in root.within] == [
        (Called(CHAT, "m", nobody), "upstream_unavailable"),
        (Called(CHAT, "m", server.url), None),
        (Called(TOKENIZE, "m", nobody), "upstream_unavailable"),
    ]


@pytest.mark.parametrize("tells", [True, False])
async def test_a_server_hears_of_the_trace_where_it_is_to(tells: bool) -> None:
    root = Step(Trace(1), Kind.REQUEST, tells=tells)
    async with serving(HEAD + b"0\r\n\r\n") as server, patient(5) as client:
        async with client.stream(server, CHAT, {}, Errand("req_1").within(root)) as pieces:
            assert not [piece async for piece in pieces]
        (call,) = root.within
        told = f"traceparent: 00-{1:032x}-{call.id:016x}-01\r\n".encode() in server_heads[-1]
    assert told is tells


# ---- what a request carries ------------------------------------------------------------------------------------------

ERRAND = Errand("req_1", cache_salt="salt", priority=3)
FIFO, RANKED = Server("http://h", "m"), Server("http://h", "m", schedules=True)


@pytest.mark.parametrize(
    ("server", "path", "errand", "body", "sent"),
    [
        (FIFO, CHAT, ERRAND, {"a": 1}, {"a": 1, "cache_salt": "salt"}),
        (RANKED, CHAT, ERRAND, {"a": 1}, {"a": 1, "cache_salt": "salt", "priority": 3}),
        (RANKED, COMPLETIONS, ERRAND, {"priority": 2}, {"cache_salt": "salt", "priority": 5}),
        (FIFO, COMPLETIONS, ERRAND, {"priority": 2}, {"cache_salt": "salt"}),
        (RANKED, CHAT, Errand("r", "salt"), {}, {"cache_salt": "salt"}),
        (RANKED, CHAT, Errand("r"), {"cache_salt": "a caller's"}, {"cache_salt": "a caller's"}),
        (RANKED, CHAT, ERRAND, {"cache_salt": "a caller's"}, {"cache_salt": "salt", "priority": 3}),
        (RANKED, TOKENIZE, ERRAND, {"prompt": "x"}, {"prompt": "x"}),
    ],
)
def test_salt_and_priority_are_the_errands(
    server: Server, path: str, errand: Errand, body: dict[str, object], sent: dict[str, object]
) -> None:
    assert errand.body(server, path, body) == sent


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://gpu-1.test:8000", "gpu-1.test:8000"),
        ("https://gpu-1.test", "gpu-1.test"),
        ("https://gpu-1.test:8443/t0k3n-in-a-path", "gpu-1.test:8443"),
        ("http://[2001:db8::1]:8000", "2001:0db8:0000:0000:0000:0000:0000:0001:8000"),
    ],
)
def test_a_record_names_host_and_port_of_a_replica(url: str, place: str) -> None:
    assert place_of(url) == place
