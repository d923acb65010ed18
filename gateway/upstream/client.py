"""Calls to model servers. Headers are built from nothing; foreign exceptions are mapped here and nowhere else.

A call goes to one replica (gateway/upstream/replicas.py), and to another one where that can't be reached, breaks off
before the first byte of its answer, or answers 502 or 503: nothing of an answer has been seen then, an engine that lost
the connection has ended the generation, and what a caller's limits count was taken once, before the call. It is not
repeated after that byte, nor after a time-out: the engine may still be at work. No replica is called twice for a call,
unless it ended a connection that was kept from an earlier one: that says nothing of how it is.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.addresses import port_of
from gateway.errors import GatewayError, UpstreamBroken, UpstreamTimeout, UpstreamUnavailable
from gateway.observe.steps import NOTHING, Steps
from gateway.upstream.refusals import error_of
from gateway.upstream.replicas import Checked, Fleet, Replica, ignored

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
MODELS: Final = "/v1/models"
TOKENIZE: Final = "/tokenize"
HEALTH: Final = "/health"

MAX_ERROR_BYTES: Final = 64 * 1024  # read of a refusal, to tell by it whose mistake it was
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024  # scores of 2,048 tokens are about 200 kB
HEALTH_EVERY: Final = 1.0  # seconds between two looks at ejected replicas
HEALTH_DEADLINE: Final = 5.0  # for each
RESOLVE_EVERY: Final = 10.0  # seconds between two looks at names: as long as a headless service's records may be old
_OUR_HEADERS: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


@dataclass(frozen=True, slots=True)
class Server:
    """One model on one server; `url` without a path, `model` is the name that the server knows it by.

    `others` are its replicas' addresses besides `url`; with `resolve` each address' host is a name that stands for
    all of its replicas. `checked` are those that may be called, None where none has to check out. `only`
    is one of them.
    """

    url: str
    model: str
    api_key: str | None = None
    schedules: bool = False  # by the requests' priority: vLLM's --scheduling-policy priority
    tls: ssl.SSLContext | None = field(default=None, compare=False)  # whom it trusts and what it shows; None: as usual
    others: tuple[str, ...] = ()
    resolve: bool = False
    checked: Checked | None = field(default=None, compare=False)
    only: Replica | None = field(default=None, compare=False)

    @property
    def urls(self) -> tuple[str, ...]:
        return self.url, *self.others

    @property
    def alone(self) -> bool:
        """Whether there can't be another one."""
        return not self.others and not self.resolve

    def __repr__(self) -> str:
        return f"Server({self.model!r})"


@dataclass(frozen=True, slots=True)
class Errand:
    """For whom a server is asked: what every request that is made for it says, beside its own body.

    `cache_salt` keeps the prefix caches of tenants apart, so that nobody learns from how soon an answer begins what
    others have asked. `priority` is vLLM's: higher is later; it goes to servers that schedule by it, since others
    would not look at it, or refuse it. `steps`: where calls are noted for the request's trace.
    """

    request_id: str
    cache_salt: str | None = None
    priority: int = 0
    steps: Steps = field(default=NOTHING, compare=False)

    def within(self, steps: Steps) -> Errand:
        """The same, its calls noted there."""
        return self if steps is self.steps else replace(self, steps=steps)

    def body(self, server: Server, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The body as it is sent. A priority in it counts from that of the errand."""
        whole = {name: value for name, value in body.items() if name != "priority"}
        if path not in (CHAT, COMPLETIONS):
            return whole
        if self.cache_salt is not None:
            whole["cache_salt"] = self.cache_salt
        priority = self.priority + body.get("priority", 0)
        return whole | ({"priority": priority} if server.schedules and priority else {})


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    connect: float = 5.0  # the look-up of its name, the connection and the TLS handshake together
    # Until the response's head: vLLM sends a stream's at once, others when the prefill is done.
    first_byte: float = 60.0
    stall: float = 60.0  # between two reads, and until the first
    # That a connection is kept without a call: less than servers keep it (vLLM 5 s), since a call that meets the
    # server's end of it has to be made again.
    idle: float = 3.0


T = TypeVar("T")
Heard = Callable[[str, bool], None]
Resolve = Callable[[str, int], Awaitable[list[str]]]


def nobody_hears(url: str, answered: bool) -> None:
    """Who does not want to know how servers are."""


async def addresses(host: str, port: int) -> list[str]:
    """All that the name stands for. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted({str(address[0]) for *_, address in found})


class UpstreamClient:
    """One pool of connections for all servers. To be made and closed inside the event loop."""

    def __init__(
        self,
        timeouts: Timeouts,
        heard: Heard = nobody_hears,
        tell: Callable[[Replica], None] = ignored,
        resolve: Resolve = addresses,
    ) -> None:
        """`heard` is told of each call whether the server at this address answered, with whatever status, `tell` of
        each replica that has changed."""
        self.timeouts, self._heard, self._resolve = timeouts, heard, resolve
        self._fleet = Fleet(tell)
        self._servers: dict[str, Server] = {}  # of those that have been called, one for each address
        self._looking = asyncio.Lock()
        self._looked_up: dict[str, float] = {}  # when each name was last
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}  # those whose result nobody has seen
        self._visited: set[Replica | str] = set()  # those that are being asked for their health, or looked up
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=timeouts.idle),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, connect=timeouts.connect, sock_connect=timeouts.connect),
            skip_auto_headers=_OUR_HEADERS,
            trust_env=False,
            trace_configs=[_ways()],
        )

    async def aclose(self) -> None:
        for lookup in self._lookups.values():
            lookup.cancel()
        await self._session.close()

    @asynccontextmanager
    async def stream(
        self,
        server: Server,
        path: str,
        body: Mapping[str, Any],
        errand: Errand,
        chosen: Callable[[Replica], None] = ignored,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an event stream, in the pieces in which they arrive. Leaving early closes the connection,
        which ends the generation. `chosen` hears of each replica before it is called. Raises UpstreamError, and
        CallerError where the engine refused the request."""

        async def begun(replica: Replica, call: Steps) -> tuple[aiohttp.ClientResponse, bytes]:
            chosen(replica)
            response = await self._post(server, replica, path, body, errand, call)
            return response, await _first(response, self.timeouts.stall)

        async with self._answered(server, path, errand, begun, timely=True) as (response, first):
            pieces = _pieces(first, response.content, self.timeouts.stall)
            try:
                yield pieces
            finally:
                await pieces.aclose()
                response.close()

    async def post(
        self,
        server: Server,
        path: str,
        body: Mapping[str, Any],
        errand: Errand,
        deadline: float,
        chosen: Callable[[Replica], None] = ignored,
    ) -> bytes:
        """The body of a JSON answer, all of it within `deadline` seconds. `chosen` as in `stream`."""

        ends = asyncio.get_running_loop().time() + deadline

        async def whole(replica: Replica, call: Steps) -> bytes:
            chosen(replica)
            async with asyncio.timeout_at(ends):
                response = await self._post(server, replica, path, body, errand, call)
                async with response:
                    return await _bounded(response, MAX_ANSWER_BYTES)

        async with self._answered(server, path, errand, whole) as answer:
            return answer

    async def models(self, server: Server, errand: Errand, deadline: float) -> bytes:
        """The body of the server's list of models."""

        ends = asyncio.get_running_loop().time() + deadline

        async def whole(replica: Replica, call: Steps) -> bytes:
            async with asyncio.timeout_at(ends):
                response = await self._session.get(
                    replica.at + MODELS, **_link(server, replica, _headers(server, errand.request_id, call))
                )
                async with response:
                    if response.status != 200:
                        raise await _refusal(response)
                    return await _bounded(response, MAX_ANSWER_BYTES)

        async with self._answered(server, MODELS, errand, whole) as answer:
            return answer

    # ---- replicas ---------------------------------------------------------------------------------------------------

    async def each(self, server: Server) -> list[Server]:
        """One for each replica that is not ejected, which is called whether it has checked out or not."""
        found = await self._replicas(server)
        return [replace(server, only=replica) for replica in found if server.alone or not replica.ejected]

    def unchecked(self, server: Server) -> bool:
        """Whether a replica of it could be called and has not checked out."""
        found = self._fleet.of(server.urls)
        return server.checked is not None and any(not each.ejected and each not in server.checked for each in found)

    def failures(self, server: Server) -> int:
        """How many calls have failed, ever, of those to its replicas that are not ejected."""
        found = self._fleet.of(server.urls)
        return sum(each.failed for each in found if server.alone or not each.ejected)

    async def watch(self) -> None:
        """Look for ever after replicas that were ejected, and where all of them are. A replica or a name server that
        hangs keeps nobody else waiting."""
        async with asyncio.TaskGroup() as looks:
            while True:
                await asyncio.sleep(HEALTH_EVERY)
                for url in self._due():
                    looks.create_task(self._look_up(url))
                for replica in self._fleet.ejected:
                    if replica not in self._visited:
                        looks.create_task(self._look_after(replica))

    def _due(self) -> list[str]:
        """The names to be looked up now: those that nobody has been found by yet each time."""
        now = asyncio.get_running_loop().time()
        return [
            url
            for url in self._named
            if url not in self._visited and (not self._fleet.of([url]) or now - self._looked_up[url] >= RESOLVE_EVERY)
        ]

    async def look(self) -> None:
        """Once, at all."""
        await asyncio.gather(
            *map(self._look_up, self._named), *(self._look_after(replica) for replica in self._fleet.ejected)
        )

    @property
    def _named(self) -> list[str]:
        """Those that stand for others."""
        return [url for url, server in self._servers.items() if server.resolve]

    async def _look_after(self, replica: Replica) -> None:
        server = self._servers[replica.url]
        self._visited.add(replica)
        try:
            with suppress(GatewayError), _mapped():
                async with (
                    asyncio.timeout(HEALTH_DEADLINE),
                    self._session.get(replica.at + HEALTH, **_link(server, replica, {})) as response,
                ):
                    if response.status < 500:  # servers that have no such page are well too
                        self._fleet.back(replica)
        finally:
            self._visited.discard(replica)

    async def _look_up(self, url: str) -> None:
        self._looked_up[url] = asyncio.get_running_loop().time()
        self._visited.add(url)
        parts = urlsplit(url)
        port = port_of(parts)
        found: list[str] = []
        try:
            with suppress(OSError, TimeoutError, UnicodeError):
                async with asyncio.timeout(self.timeouts.connect):
                    found = await self._found(url, parts.hostname or "", port)
        finally:
            self._visited.discard(url)
        bracketed = (f"[{address}]" if ":" in address else address for address in found)
        self._fleet.found(url, [f"{parts.scheme}://{address}:{port}{parts.path}" for address in bracketed])

    async def _found(self, url: str, host: str, port: int) -> list[str]:
        """As `addresses`. One look-up at a time: one that was given up goes on in its thread, of which there are only
        so many for all names, and the next one is told what it found."""
        lookup = self._lookups.get(url) or asyncio.ensure_future(self._resolve(host, port))
        self._lookups[url] = lookup
        try:
            return await asyncio.shield(lookup)
        finally:
            if lookup.done():
                self._lookups.pop(url, None)  # whoever waited for it too may have been first

    async def _replicas(self, server: Server) -> list[Replica]:
        if not all(map(self._fleet.knows, server.urls)):
            async with self._looking:
                for url in server.urls:
                    self._servers.setdefault(url, server)
                    if self._fleet.knows(url):
                        continue
                    if server.resolve:
                        await self._look_up(url)
                    else:
                        self._fleet.found(url, [url])
        return [server.only] if server.only is not None else self._fleet.of(server.urls)

    async def _choose(self, server: Server, tried: set[Replica]) -> Replica | None:
        await self._replicas(server)
        if server.only is not None:
            return None if server.only in tried else server.only
        return self._fleet.choose(server.urls, server.checked, tried, alone=server.alone)

    @asynccontextmanager
    async def _answered(
        self,
        server: Server,
        path: str,
        errand: Errand,
        attempt: Callable[[Replica, Steps], Awaitable[T]],
        *,
        timely: bool = False,
    ) -> AsyncIterator[T]:
        """What the first replica that can be reached answers; it is busy until the block ends. `timely`: one that is
        late has failed, and not only because it was asked for little time. Raises UpstreamError."""
        tried: set[Replica] = set()
        failed = UpstreamUnavailable("replicas")
        while (replica := await self._choose(server, tried)) is not None:
            tried.add(replica)
            with self._fleet.busy(replica), errand.steps.call(path, server.model, replica.at) as call:
                try:
                    with self._told_of(replica, timely=timely), _mapped():
                        answer = await attempt(replica, call)
                except UpstreamUnavailable as error:
                    call.failed(failed := error)
                    continue
                yield answer
                return
        raise failed

    @contextmanager
    def _told_of(self, replica: Replica, *, timely: bool) -> Iterator[None]:
        try:
            yield
        except (UpstreamUnavailable, UpstreamTimeout) as error:
            self._heard(replica.url, False)
            if timely or isinstance(error, UpstreamUnavailable):
                self._fleet.failed(replica)
            raise
        except GatewayError:  # it refused, or what it said was no use
            self._heard(replica.url, True)
            self._fleet.answered(replica)
            raise
        self._heard(replica.url, True)
        self._fleet.answered(replica)

    async def _post(
        self, server: Server, replica: Replica, path: str, body: Mapping[str, Any], errand: Errand, call: Steps
    ) -> aiohttp.ClientResponse:
        async with asyncio.timeout(self.timeouts.first_byte):
            response = await self._sent(
                replica.at + path,
                data=msgspec.json.encode(errand.body(server, path, body)),
                **_link(server, replica, _headers(server, errand.request_id, call)),
            )
            if response.status == 200:
                return response
            async with response:
                raise await _refusal(response)

    async def _sent(self, url: str, **what: Any) -> aiohttp.ClientResponse:
        """A POST, and the head of its answer. Over another connection where a kept one ends without: a server ends
        those that were idle (RFC 9112, 9.3.1), and one that stood still does so with calls waiting in them. Each
        round takes one from those that are kept; aiohttp does the same for GET."""
        while True:
            way = _Way()
            try:
                return await self._session.post(url, trace_request_ctx=way, **what)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not way.kept:
                    raise


@dataclass(slots=True)
class _Way:
    """The connection of a call."""

    kept: bool = False  # from an earlier one


async def _is_kept(session: aiohttp.ClientSession, context: Any, params: object) -> None:
    if context.trace_request_ctx is not None:
        context.trace_request_ctx.kept = True


def _ways() -> aiohttp.TraceConfig:
    """Notes in a call's `_Way` how it goes."""
    noted = aiohttp.TraceConfig()
    noted.on_connection_reuseconn.append(_is_kept)
    return noted


def _link(server: Server, replica: Replica, headers: dict[str, str]) -> dict[str, Any]:
    """How this replica is spoken to: by its address, as who its name says it is."""
    link = {"headers": headers, "allow_redirects": False, "ssl": server.tls or True}
    if replica.at == replica.url:
        return link
    parts = urlsplit(replica.url)
    named = link | {"headers": headers | {"Host": parts.netloc}}
    return named | ({"server_hostname": parts.hostname} if parts.scheme == "https" else {})


def _headers(server: Server, request_id: str, call: Steps) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "X-Request-Id": request_id}
    if call.traceparent is not None:
        headers["traceparent"] = call.traceparent
    return headers | ({"Authorization": f"Bearer {server.api_key}"} if server.api_key else {})


async def _first(response: aiohttp.ClientResponse, patience: float) -> bytes:
    """What an event stream begins with, within so many seconds; vLLM sends the head before it has read the prompt.
    Without it the response is closed."""
    try:
        if response.content_type != "text/event-stream":
            raise UpstreamBroken("content_type")
        async with asyncio.timeout(patience):
            return await response.content.readany()
    except aiohttp.ClientPayloadError:  # it broke off before it said anything
        response.close()
        raise UpstreamUnavailable from None
    except BaseException:
        response.close()
        raise


async def _pieces(first: bytes, content: aiohttp.StreamReader, patience: float) -> AsyncGenerator[bytes, None]:
    watch = _Watch(content, patience)
    try:
        with _mapped():
            piece = first
            while piece:
                watch.since = None
                yield piece
                watch.since = watch.now()
                piece = await content.readany()
    finally:
        watch.end()


class _Watch:
    """Breaks off a read that brings nothing for `patience` seconds.

    One timer lasts for the whole stream. aiohttp's own `sock_read` sets one anew for each read, which costs as much as
    reading the frame. Time that a slow caller takes between two reads does not count.
    """

    def __init__(self, content: aiohttp.StreamReader, patience: float) -> None:
        loop = asyncio.get_running_loop()
        self._content, self._patience = content, patience
        self._later, self.now = loop.call_later, loop.time
        self.since: float | None = loop.time()  # when the running read began
        self._timer = loop.call_later(patience, self._look)

    def end(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        left = self._patience if self.since is None else self.since + self._patience - self.now()
        if left > 0:
            self._timer = self._later(left, self._look)
        else:
            self._content.set_exception(TimeoutError())


async def _bounded(response: aiohttp.ClientResponse, most: int) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > most:
            raise UpstreamBroken("answer_too_large")
    return bytes(body)


async def _refusal(response: aiohttp.ClientResponse) -> GatewayError:
    """Ours for theirs, by what its body begins with."""
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) >= MAX_ERROR_BYTES:
            break
    return error_of(response.status, bytes(body[:MAX_ERROR_BYTES]))


@contextmanager
def _mapped() -> Iterator[None]:
    """aiohttp's exceptions become ours, without their text: it can hold an address or a header."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError:  # nobody is there: nothing was sent
        raise UpstreamUnavailable from None
    except (aiohttp.ServerTimeoutError, TimeoutError):
        raise UpstreamTimeout from None
    except aiohttp.ClientPayloadError:
        raise UpstreamBroken("cut") from None
    except (aiohttp.ClientConnectionError, aiohttp.ClientSSLError, OSError):
        raise UpstreamUnavailable from None
    except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError):
        raise UpstreamBroken("protocol") from None
