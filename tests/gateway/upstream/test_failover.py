"""A call goes to another replica where the first one has not begun to answer, and nowhere else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from gateway.authorities import trusting
from gateway.errors import GatewayError, UpstreamBroken, UpstreamTimeout, UpstreamUnavailable
from gateway.upstream import client as upstream_client
from gateway.upstream.client import CHAT, Errand, Server, Timeouts, UpstreamClient
from gateway.upstream.replicas import FAILURES, Replica
from tests.support.clock import leaping
from tests.support.processes import HOST, free_port
from tests.support.tls import Authority, https_server
from tests.support.waiting import PATIENCE_S, until_async

ERRAND = Errand("req_1")
TYPE = b"content-type: text/event-stream\r\n"
GOOD = b"HTTP/1.1 200 OK\r\n" + TYPE + b"content-length: 4\r\nconnection: close\r\n\r\ngood"
CUT = b"HTTP/1.1 200 OK\r\n" + TYPE + b"content-length: 9\r\nconnection: close\r\n\r\ngood"
HEAD_ALONE = CUT.removesuffix(b"good")  # as a server says it that is killed before it has read the prompt
RESET, HANGS = b"", None
Ask = Callable[[UpstreamClient, Server], Awaitable[bytes]]


def status(number: int) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % number


class Peer:
    """A replica: what it says to each request, and who called it (path and Host)."""

    def __init__(self, host: str = HOST, port: int = 0, says: bytes | None = GOOD) -> None:
        self.host, self.port, self.says = host, port, says
        self.asked: list[tuple[str, str]] = []
        self._over = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def __aenter__(self) -> Peer:
        self._server = await asyncio.start_server(self._answer, self.host, self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over.set()
        self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        host = next(line[6:] for line in head.split("\r\n") if line.lower().startswith("host: "))
        self.asked.append((head.split()[1], host))
        if self.says is HANGS:
            await self._over.wait()
        elif self.says == RESET:
            writer.transport.abort()
            return
        else:
            writer.write(self.says or b"")
            await writer.drain()
        writer.close()


@asynccontextmanager
async def two(first: bytes | None = GOOD) -> AsyncIterator[tuple[Peer, Peer, Server]]:
    async with Peer(says=first) as one, Peer() as other:
        yield one, other, Server(one.url, "m", others=(other.url,))


def client(first_byte: float = 30.0) -> aclosing[UpstreamClient]:
    return aclosing(UpstreamClient(Timeouts(first_byte=first_byte)))


async def said(client: UpstreamClient, server: Server) -> bytes:
    async with client.stream(server, CHAT, {}, ERRAND) as pieces:
        return b"".join([piece async for piece in pieces])


async def posted(client: UpstreamClient, server: Server) -> bytes:
    return await client.post(server, CHAT, {}, ERRAND, 30.0)


async def listed(client: UpstreamClient, server: Server) -> bytes:
    return await client.models(server, ERRAND, 30.0)


@pytest.mark.parametrize("ask", [said, posted, listed])
@pytest.mark.parametrize("fault", [RESET, status(502), status(503)])
async def test_one_that_has_not_begun_is_no_loss(ask: Ask, fault: bytes) -> None:
    async with two(fault) as (one, other, server), client() as calling:
        assert await ask(calling, server) == b"good"
    assert one.asked
    assert len(other.asked) == 1


@pytest.mark.parametrize("ask", [said, posted, listed])
async def test_nor_is_one_that_is_not_there(ask: Ask) -> None:
    async with Peer() as other, client() as calling:
        assert await ask(calling, Server(f"http://{HOST}:{free_port()}", "m", others=(other.url,))) == b"good"


@pytest.mark.parametrize("fault", [status(500), status(429), status(400), status(401)])
async def test_what_was_refused_is_not_asked_again(fault: bytes) -> None:
    async with two(fault) as (_, other, server), client() as calling:
        with pytest.raises(GatewayError):
            await said(calling, server)
    assert not other.asked


async def test_nor_what_the_engine_may_still_be_at_work_on() -> None:
    async with two(HANGS) as (_, other, server), client(first_byte=0.05) as calling:
        with pytest.raises(UpstreamTimeout):
            await said(calling, server)
    assert not other.asked


async def test_a_head_is_no_beginning_where_no_event_follows() -> None:
    async with two(HEAD_ALONE) as (one, other, server), client() as calling:
        assert await said(calling, server) == b"good"
    assert (len(one.asked), len(other.asked)) == (1, 1)


async def test_a_replica_that_says_nothing_behind_its_heads_is_ejected() -> None:
    async def head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(HEAD_ALONE)
        await reader.read()  # to its end
        writer.close()

    heads: list[bytes] = []
    hangs = await asyncio.start_server(head, HOST, 0)
    port = hangs.sockets[0].getsockname()[1]
    async with hangs, Peer() as other, aclosing(UpstreamClient(Timeouts(stall=0.2))) as calling:
        server = Server(f"http://{HOST}:{port}", "m", others=(other.url,))
        other.says = status(500)  # no failure of a replica's
        for _ in range(2 * FAILURES):
            with pytest.raises(GatewayError):
                await said(calling, server)
        asked = len(heads)
        other.says = GOOD
        assert [await said(calling, server) for _ in range(3)] == [b"good"] * 3
        assert (asked, len(heads)) == (FAILURES, FAILURES)


async def test_nor_what_has_begun() -> None:
    async with two(CUT) as (_, other, server), client() as calling:
        with pytest.raises(UpstreamBroken, match="cut"):
            await said(calling, server)
    assert not other.asked


async def test_the_one_with_fewer_calls_under_way_is_next() -> None:
    async with two() as (one, other, server), client() as calling, calling.stream(server, CHAT, {}, ERRAND):
        for _ in range(3):
            await said(calling, server)
    assert (len(one.asked), len(other.asked)) == (1, 3)


async def test_when_all_are_ejected_nobody_is_called_until_one_says_that_it_is_well() -> None:
    async with two(status(503)) as (one, other, server), client() as calling:
        other.says = status(503)
        for _ in range(FAILURES):
            with pytest.raises(UpstreamUnavailable):
                await said(calling, server)
        asked = len(one.asked), len(other.asked)
        assert asked == (FAILURES, FAILURES)
        one.says = other.says = GOOD
        with pytest.raises(UpstreamUnavailable) as refused:
            await said(calling, server)
        assert (refused.value.reason, refused.value.status) == ("replicas", 503)
        assert (len(one.asked), len(other.asked)) == asked
        one.says = status(503)
        await calling.look()
        assert [await said(calling, server) for _ in range(2)] == [b"good"] * 2
        assert len(one.asked) == asked[0] + 1, "its health alone"
        assert one.asked[-1][0] == "/health"


@pytest.mark.parametrize("health", [status(404), status(401), GOOD])
async def test_a_server_without_such_a_page_is_well_where_it_answers(health: bytes) -> None:
    async with two(status(503)) as (one, _, server), client() as calling:
        for _ in range(2 * FAILURES):
            await said(calling, server)
        assert len(one.asked) == FAILURES
        one.says = health
        await calling.look()
        one.says = GOOD
        await asyncio.gather(*(said(calling, server) for _ in range(4)))
    assert len(one.asked) > FAILURES + 1


async def test_a_late_head_counts_as_a_failure_and_a_late_question_does_not() -> None:
    async with two(HANGS) as (one, other, server), client(first_byte=0.05) as calling:
        for _ in range(FAILURES):
            with pytest.raises(UpstreamTimeout):
                await calling.post(replace(server, only=await at(calling, server, one)), CHAT, {}, ERRAND, 0.01)
        assert {each.only.at for each in await calling.each(server) if each.only} == {one.url, other.url}
        for _ in range(FAILURES):
            with pytest.raises(UpstreamTimeout):
                await said(calling, replace(server, only=await at(calling, server, one)))
        assert {each.only.at for each in await calling.each(server) if each.only} == {other.url}


async def at(calling: UpstreamClient, server: Server, peer: Peer) -> Replica:
    """That replica."""
    return next(each.only for each in await calling.each(server) if each.only and each.only.at == peer.url)


async def test_a_server_that_is_alone_is_asked_each_time() -> None:
    async with Peer(says=status(503)) as peer, client() as calling:
        server = Server(peer.url, "m")
        for _ in range(FAILURES + 2):
            with pytest.raises(UpstreamUnavailable):
                await said(calling, server)
        peer.says = GOOD
        assert await said(calling, server) == b"good"
    assert len(peer.asked) == FAILURES + 3


# ---- connections that were kept --------------------------------------------------------------------------------------


class Keeper:
    """A server that keeps connections, and ends each at its second request without an answer."""

    def __init__(self, answers: int = 1) -> None:
        self.answers, self.bodies = answers, list[bytes]()

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return Server(f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}", "m")

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self.answers):
            await self._read(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")
        await self._read(reader)
        writer.close()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        self.bodies.append(await reader.readexactly(length))


async def test_a_server_that_ends_kept_connections_is_called_on_others_and_has_not_failed() -> None:
    keeper = Keeper()
    async with keeper as server, client() as calling:
        for turn in range(3):
            asks = [calling.post(server, CHAT, {"turn": turn}, ERRAND, 30.0) for _ in range(4)]
            assert await asyncio.gather(*asks) == [b"good"] * 4
        assert calling.failures(server) == 0
    assert Counter(keeper.bodies) == {b'{"turn":0}': 4, b'{"turn":1}': 8, b'{"turn":2}': 8}


async def test_one_that_ends_a_new_connection_is_not_called_again() -> None:
    keeper = Keeper(answers=0)
    async with keeper as server, client() as calling:
        with pytest.raises(UpstreamUnavailable):
            await calling.post(server, CHAT, {}, ERRAND, 30.0)
        assert calling.failures(server) == 1
    assert keeper.bodies == [b"{}"]


# ---- names -----------------------------------------------------------------------------------------------------------


async def test_a_name_is_all_that_it_stands_for_as_it_stands_now() -> None:
    stands = [HOST, "127.0.0.2"]

    async def resolve(host: str, port: int) -> list[str]:
        assert host == "model.test"
        if not stands:
            raise OSError
        return stands

    async with AsyncExitStack() as open_:
        one = await open_.enter_async_context(Peer())
        other = await open_.enter_async_context(Peer("127.0.0.2", one.port))
        calling = await open_.enter_async_context(aclosing(UpstreamClient(Timeouts(), resolve=resolve)))
        server = Server(f"http://model.test:{one.port}", "m", resolve=True)
        for _ in range(4):
            await said(calling, server)
        assert one.asked == other.asked == [(CHAT, f"model.test:{one.port}")] * 2
        del stands[0]
        await calling.look()
        for _ in range(2):
            await said(calling, server)
        stands.clear()
        await calling.look()
        for _ in range(2):
            await said(calling, server)
        assert (len(one.asked), len(other.asked)) == (2, 6)


async def test_a_name_that_stands_for_nothing_is_unavailable_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream_client, "HEALTH_EVERY", 0.01)
    stands: list[str] = []

    looked = 0

    async def resolve(host: str, port: int) -> list[str]:
        nonlocal looked
        looked += 1
        return stands

    async with Peer() as peer, aclosing(UpstreamClient(Timeouts(), resolve=resolve)) as calling:
        server = Server(f"http://model.test:{peer.port}", "m", resolve=True)
        with pytest.raises(UpstreamUnavailable):
            await said(calling, server)
        watching = asyncio.create_task(calling.watch())
        await until_async(lambda: looked > 2)  # it does not have to wait for its turn
        stands.append(HOST)
        async with asyncio.timeout(PATIENCE_S):
            while not await calling.each(server):  # noqa: ASYNC110 - what changes has no event
                await asyncio.sleep(0.01)
        assert await said(calling, server) == b"good"
        watching.cancel()


async def test_a_certificate_is_for_the_name_and_not_for_the_address(tmp_path: Path) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return [HOST]

    authority = Authority(tmp_path)
    async with aclosing(UpstreamClient(Timeouts(), resolve=resolve)) as calling:
        for certificate, good in ((authority.server("named", host="model.test"), True), (authority.server(), False)):
            with https_server(certificate) as web:
                web.body = b"good"
                url = f"https://model.test:{urlsplit(web.url).port}"
                server = Server(url, "m", tls=trusting(authority.ca_file), resolve=True)
                if good:
                    assert await listed(calling, server) == b"good"
                else:
                    with pytest.raises(UpstreamUnavailable):
                        await listed(calling, server)
            assert bool(web.asked) is good


async def test_a_name_server_that_hangs_is_as_one_that_is_not_there() -> None:
    async def hangs(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with Peer() as peer, aclosing(UpstreamClient(Timeouts(connect=0.05), resolve=hangs)) as calling:
        with pytest.raises(UpstreamUnavailable):
            await said(calling, Server(f"http://model.test:{peer.port}", "m", resolve=True))
    assert not peer.asked


async def test_a_name_that_hangs_is_looked_up_once_at_a_time_and_what_came_late_counts() -> None:
    """There are only so many threads, and one that was given up is still taken."""
    looked, go = 0, asyncio.Event()

    async def late(host: str, port: int) -> list[str]:
        nonlocal looked
        looked += 1
        await go.wait()
        return [HOST]

    async with Peer() as peer, aclosing(UpstreamClient(Timeouts(connect=PATIENCE_S), resolve=late)) as calling:
        server = Server(f"http://model.test:{peer.port}", "m", resolve=True)
        with pytest.raises(UpstreamUnavailable):
            await leaping(PATIENCE_S, said(calling, server))
        for _ in range(3):
            await leaping(PATIENCE_S, calling.look())
        assert looked == 1
        go.set()
        await calling.look()
        assert await said(calling, server) == b"good"
        assert looked == 1
        await calling.look()
        assert looked == 2


async def test_a_replica_that_hangs_keeps_neither_names_nor_other_replicas_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upstream_client, "HEALTH_EVERY", 0.01)
    monkeypatch.setattr(upstream_client, "HEALTH_DEADLINE", PATIENCE_S)
    monkeypatch.setattr(upstream_client, "RESOLVE_EVERY", 0.01)
    looked = 0

    async def resolve(host: str, port: int) -> list[str]:
        nonlocal looked
        looked += 1
        return [HOST, "127.0.0.2"]

    async with AsyncExitStack() as open_:
        one = await open_.enter_async_context(Peer(says=status(503)))
        other = await open_.enter_async_context(Peer("127.0.0.2", one.port, status(503)))
        calling = await open_.enter_async_context(aclosing(UpstreamClient(Timeouts(), resolve=resolve)))
        server = Server(f"http://model.test:{one.port}", "m", resolve=True)
        for _ in range(FAILURES):
            with pytest.raises(UpstreamUnavailable):
                await said(calling, server)
        one.says, before = HANGS, looked
        watching = asyncio.create_task(calling.watch())
        await until_async(lambda: one.asked[-1][0] == "/health" and looked > before + 2)
        other.says = GOOD
        await until_async(lambda: other.asked[-1][0] == "/health" and calling.failures(server) > 0)
        assert await said(calling, server) == b"good"
        assert [path for path, _ in one.asked].count("/health") == 1, "one look at a time"
        watching.cancel()


async def test_who_asks_hears_of_each_replica_that_is_tried() -> None:
    async with two(RESET) as (one, other, server), client() as calling:
        tried: list[Replica] = []
        async with calling.stream(server, CHAT, {}, ERRAND, tried.append) as pieces:
            assert [piece async for piece in pieces] == [b"good"]
        await calling.post(server, CHAT, {}, ERRAND, 30.0, tried.append)
    assert [each.at for each in tried] == [one.url, other.url] * 2


async def test_a_connection_is_not_kept_for_longer_than_servers_keep_it() -> None:
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GOOD.replace(b"connection: close\r\n", b""))
        await reader.read()  # to its end
        ended.set()
        writer.close()

    async with await asyncio.start_server(answer, HOST, 0) as listening:
        server = Server(f"http://{HOST}:{listening.sockets[0].getsockname()[1]}", "m")
        async with aclosing(UpstreamClient(Timeouts(idle=0.01))) as calling:
            assert await posted(calling, server) == b"good"
            async with asyncio.timeout(PATIENCE_S):
                await ended.wait()
