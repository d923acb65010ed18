"""Real connections through the entrance, under both loops: counts, PROXY headers, handshakes, new certificates."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import wraps
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from gateway.addresses import Proxies
from gateway.http.arrivals import Connections, origin_of
from gateway.http.connection import ConnectionLimits
from gateway.http.entrance import Door
from gateway.http.proxy_v2 import SIGNATURE
from gateway.http.tls import ServerTls
from gateway.listening import bind, make_server, url
from gateway.settings import Listener, TlsSettings
from tests.support.serving import on_loopback
from tests.support.tls import Authority, client_context, der
from tests.support.waiting import PATIENCE_S, until_async

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "proxy_v2.json").read_text(encoding="utf-8"))["cases"]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
ANNOUNCED = next(bytes.fromhex(case["hex"]) for case in VECTORS if case["name"] == "TLVs follow")
LOCAL = next(bytes.fromhex(case["hex"]) for case in VECTORS if case["name"].startswith("local, nothing"))
OURS = Proxies((ip_network("127.0.0.0/8"),), proxy_protocol=True)
NOT_OURS = Proxies((ip_network("10.0.0.0/8"),), proxy_protocol=True)


def under_both_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
    """The process runs on uvloop where there is one; the two have TLS, and sockets, of their own."""

    @pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
    def run(new_loop: Any, **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(test(**fixtures))

    wraps(test)(run)
    run.__signature__ = _with_loop(test)  # type: ignore[attr-defined]
    return run


def _with_loop(test: Callable[..., Any]) -> Any:
    signature = inspect.signature(test)
    loop = inspect.Parameter("new_loop", inspect.Parameter.KEYWORD_ONLY)
    return signature.replace(parameters=[*signature.parameters.values(), loop])


@dataclass
class Running:
    """A server, and what its application and its door heard."""

    port: int = 0
    origins: list[Any] = field(default_factory=list)
    schemes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    connections: Connections = field(default_factory=lambda: Connections(0, 0))
    more: asyncio.Event = field(default_factory=asyncio.Event)
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.origins.append(origin_of(scope))
        self.schemes.append(scope["scheme"])
        if scope["path"] == "/stream":
            await self._stream(send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
        self.sent.set()

    async def _stream(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await self.more.wait()
        await send({"type": "http.response.body", "body": b"ended"})

    async def until_refused(self, count: int = 1) -> list[str]:
        await until_async(lambda: len(self.refused) >= count)
        return self.refused

    async def until_open(self, count: int) -> None:
        """So many connections have a place."""
        await until_async(lambda: self.connections._total == count)


@asynccontextmanager
async def serving(
    limits: ConnectionLimits | None = None,
    *,
    tls: ServerTls | None = None,
    proxies: Proxies | None = None,
    seconds: float = PATIENCE_S,
) -> AsyncIterator[Running]:
    running, bound = Running(), bind(Listener(port=0))
    door = Door(tls, proxies or Proxies(), seconds, running.refused.append)
    server = make_server(running, limits or ConnectionLimits(), door)
    running.port = bound.getsockname()[1]
    assert url(bound, tls=True) == f"https://127.0.0.1:{running.port}"
    running.connections = server._connections  # type: ignore[attr-defined]
    async with on_loopback(server, bound):
        yield running


async def ask(port: int, before: bytes = b"", context: ssl.SSLContext | None = None, raw: bytes = GET) -> bytes:
    """What comes back, to the end of the first answer or of the connection; the handshake follows `before`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(before + (b"" if context else raw))
        if context is not None:
            await writer.drain()
            await writer.start_tls(context, server_hostname="127.0.0.1")
            writer.write(raw)
        async with asyncio.timeout(PATIENCE_S):
            return await reader.readuntil(b"ok")
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    except (ConnectionError, ssl.SSLError):
        return b""
    finally:
        writer.close()


def served(authority: Authority, certificate: Path | None = None, **more: Any) -> ServerTls:
    path = certificate or authority.server()
    return ServerTls(TlsSettings.model_validate({"certificate": path, "key": path, **more}), lambda _told: None)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


# ---- TLS -------------------------------------------------------------------------------------------------------------


@under_both_loops
async def test_tls_is_http_1_1_of_version_1_2_or_more(authority: Authority) -> None:
    async with serving(tls=served(authority)) as running:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = client_context(authority.ca_file)
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["h2", "http/1.1"])
            _, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context)
            connection = writer.get_extra_info("ssl_object")
            assert connection.selected_alpn_protocol() == "http/1.1"
            assert connection.version() == version.name.replace("_", ".")
            assert connection.compression() is None
            writer.close()
            assert (await ask(running.port, context=context)).startswith(b"HTTP/1.1 200")
        assert running.schemes == ["https", "https"]
        assert running.origins[0].certificate is None


@under_both_loops
async def test_what_is_no_handshake_ends_the_connection_without_a_word(authority: Authority) -> None:
    async with serving(tls=served(authority, min_version="1.3")) as running:
        assert b"HTTP" not in await ask(running.port)
        old = client_context(authority.ca_file)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await ask(running.port, context=old) == b""
        assert await running.until_refused(2) == ["handshake", "handshake"]
        assert running.origins == []


@under_both_loops
async def test_handshakes_that_stay_half_open_count_and_end(authority: Authority) -> None:
    limits, tls, context = ConnectionLimits(3, 2), served(authority), client_context(authority.ca_file)
    async with serving(limits, tls=tls) as running:
        held = await half_open(running)
        await running.until_open(2)
        assert await ask(running.port, context=context) == b""
        assert running.refused == ["address"]
        for _, writer in held:
            writer.close()
    async with serving(limits, tls=tls, seconds=0.3) as running:
        held = await half_open(running)
        assert await running.until_refused(2) == ["late", "late"]
        for reader, writer in held:
            with suppress(ConnectionError):  # what was not read before the end makes it a reset
                assert await reader.read() == b""
            writer.close()
        async with asyncio.timeout(PATIENCE_S):  # the next handshake may be late by itself
            while not (await ask(running.port, context=context)).startswith(b"HTTP/1.1 200"):
                pass


async def half_open(running: Running) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Two connections: of one handshake nothing comes, of the other the first bytes."""
    held = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(2)]
    held[1][1].write(bytes.fromhex("160301"))
    return held


@under_both_loops
async def test_a_place_is_given_back_however_a_connection_ends(authority: Authority) -> None:
    async with serving(ConnectionLimits(total=1), tls=served(authority)) as running:
        for _ in range(3):
            assert (await ask(running.port, context=client_context(authority.ca_file))).startswith(b"HTTP/1.1 200")
            await running.until_open(0)
            await ask(running.port)  # no handshake
            await running.until_open(0)
        assert running.refused == ["handshake"] * 3


@under_both_loops
async def test_callers_show_certificates_of_the_authority_and_no_others(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    strange = Authority(tmp_path / "other").server("strange")
    gone = authority.server("gone", starts=timedelta(days=-2), ends=timedelta(days=-1))
    good = authority.server("caller")
    for asked in ("optional", "required"):
        tls = served(authority, client_ca=authority.ca_file, client_certificates=asked)
        async with serving(tls=tls) as running:
            for bad in (strange, gone):
                assert await ask(running.port, context=client_context(authority.ca_file, bad)) == b""
            without = await ask(running.port, context=client_context(authority.ca_file))
            assert without.startswith(b"HTTP/1.1 200") == (asked == "optional")
            assert (await ask(running.port, context=client_context(authority.ca_file, good))).startswith(b"HTTP")
            shown = running.origins[-1].certificate
            assert shown.thumbprint == hashlib.sha256(der(good)).digest()
            assert shown.starts < time.time() < shown.ends
            assert running.refused.count("handshake") == (3 if asked == "required" else 2)


@under_both_loops
async def test_a_new_certificate_is_served_at_once_and_a_stream_goes_on(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "served.pem"
    one, two = authority.server("one"), authority.server("two")
    path.write_bytes(one.read_bytes())
    tls = served(authority, path)
    context = client_context(authority.ca_file)

    async def shown() -> bytes:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context)
        raw: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return raw

    async with serving(tls=tls) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port, ssl=context)
        writer.write(GET.replace(b"/ ", b"/stream "))
        await reader.readuntil(b"begun")
        for content, expected in ((b"neither", one), (two.read_bytes(), two)):
            path.write_bytes(content)
            tls.refresh()
            assert await shown() == der(expected)
        running.more.set()
        assert b"ended" in await reader.read()
        writer.close()


@under_both_loops
async def test_a_caller_that_says_goodbye_with_his_request_does_no_harm(authority: Authority) -> None:
    """As HAProxy's checks do: the end of TLS comes in one piece with the request."""
    async with serving(tls=served(authority)) as running:
        sent, received, client = ssl.MemoryBIO(), ssl.MemoryBIO(), client_context(authority.ca_file)
        connection = client.wrap_bio(received, sent, server_hostname="127.0.0.1")
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    connection.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    writer.write(sent.read())
                    received.write(await reader.read(65536))
            connection.write(LAST)
            with pytest.raises(ssl.SSLWantReadError):
                connection.unwrap()
            writer.write(sent.read())
            await reader.read()
            writer.close()
            await running.sent.wait()


# ---- the PROXY protocol ----------------------------------------------------------------------------------------------


@under_both_loops
async def test_what_a_trusted_proxy_announces_before_http_and_before_a_handshake(authority: Authority) -> None:
    for context, tls in ((None, None), (client_context(authority.ca_file), served(authority))):
        async with serving(tls=tls, proxies=OURS) as running:
            assert (await ask(running.port, ANNOUNCED, context)).startswith(b"HTTP/1.1 200")
            assert (await ask(running.port, LOCAL, context)).startswith(b"HTTP/1.1 200")
            first, second = running.origins
            assert (first.peer, first.announced.address) == ("127.0.0.1", "198.51.100.7")
            assert second.announced.local
            assert running.refused == []


@under_both_loops
async def test_a_header_that_comes_in_one_piece_with_the_handshake_takes_nothing_of_it(authority: Authority) -> None:
    """And one that comes byte by byte."""
    async with serving(tls=served(authority), proxies=OURS) as running:
        for cuts in ([], range(1, len(ANNOUNCED))):
            sent, received, client = ssl.MemoryBIO(), ssl.MemoryBIO(), client_context(authority.ca_file)
            connection = client.wrap_bio(received, sent, server_hostname="127.0.0.1")
            with pytest.raises(ssl.SSLWantReadError):
                connection.do_handshake()
            raw, at = ANNOUNCED + sent.read(), 0
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            for cut in [*cuts, len(raw)]:
                writer.write(raw[at:cut])
                at = cut
                await asyncio.sleep(0.001)
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    received.write(await reader.read(65536))
                    try:
                        connection.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        writer.write(sent.read())
            writer.write(sent.read())
            writer.close()
        assert running.refused == []


@under_both_loops
async def test_a_trusted_proxy_must_announce_and_rightly(authority: Authority) -> None:
    bad = [bytes.fromhex(case["hex"]) for case in VECTORS if case.get("malformed")]
    whole = [raw for raw in bad if len(raw) >= 16 and not raw.startswith(ANNOUNCED[:28])]
    async with serving(proxies=OURS) as running:
        for raw in whole[:8]:
            assert await ask(running.port, raw) == b""
        assert await ask(running.port) == b""
        assert set(await running.until_refused(9)) == {"proxy_header"}
        assert running.origins == []
    async with serving(proxies=OURS, tls=served(authority)) as running:
        assert await ask(running.port, context=client_context(authority.ca_file)) == b""
        assert await running.until_refused() == ["proxy_header"]


@under_both_loops
async def test_a_header_from_anybody_else_is_refused(authority: Authority) -> None:
    for proxies in (NOT_OURS, Proxies(OURS.networks), Proxies()):
        async with serving(proxies=proxies) as running:
            assert (await ask(running.port, ANNOUNCED)).startswith(b"HTTP/1.1 400")
            assert (await ask(running.port, b"PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n")).startswith(b"HTTP/1.1 400")
            assert running.origins == []
            assert (await ask(running.port)).startswith(b"HTTP/1.1 200")
        async with serving(proxies=proxies, tls=served(authority)) as running:
            assert await ask(running.port, ANNOUNCED, client_context(authority.ca_file)) == b""
            assert await running.until_refused() == ["handshake"]


@under_both_loops
async def test_a_header_that_does_not_come_in_time_or_to_its_end(authority: Authority) -> None:
    """Its place is given back: there is but one."""
    async with serving(ConnectionLimits(total=1), proxies=OURS, seconds=0.3) as running:
        for count in (1, 2):
            assert await ask(running.port, SIGNATURE, raw=b"") == b""
            assert await running.until_refused(count) == ["late"] * count
            await running.until_open(0)
    async with serving(ConnectionLimits(total=1), proxies=OURS) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(ANNOUNCED[:20])
        writer.write_eof()
        assert await running.until_refused() == ["proxy_header"]
        writer.close()
        await running.until_open(0)
        assert (await ask(running.port, ANNOUNCED)).startswith(b"HTTP/1.1 200")


@under_both_loops
async def test_connections_count_for_the_address_that_was_announced(authority: Authority) -> None:
    other = ANNOUNCED.replace(bytes([198, 51, 100, 7]), bytes([198, 51, 100, 8]))
    async with serving(ConnectionLimits(per_address=1), proxies=OURS) as running:
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(ANNOUNCED)
        await until_async(lambda: running.connections._by_address)
        assert await ask(running.port, ANNOUNCED) == b""
        assert running.refused == ["address"]
        assert (await ask(running.port, other)).startswith(b"HTTP/1.1 200")
        writer.close()
        await running.until_open(0)
        assert (await ask(running.port, ANNOUNCED)).startswith(b"HTTP/1.1 200")


@under_both_loops
async def test_closing_gives_up_on_what_has_not_arrived(authority: Authority) -> None:
    async with serving(tls=served(authority), proxies=OURS, seconds=60) as running:
        silent = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(2)]
        silent[1][1].write(ANNOUNCED)
        await running.until_open(2)
    for reader, writer in silent:
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""
        writer.close()
