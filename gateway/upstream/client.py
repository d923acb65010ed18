"""Calls to model servers. Headers are built from nothing; foreign exceptions are mapped here and nowhere else."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from gateway.errors import GatewayError, UpstreamBroken, UpstreamTimeout, UpstreamUnavailable
from gateway.upstream.refusals import error_of

CHAT: Final = "/v1/chat/completions"
COMPLETIONS: Final = "/v1/completions"
MODELS: Final = "/v1/models"
TOKENIZE: Final = "/tokenize"

MAX_ERROR_BYTES: Final = 64 * 1024  # read of a refusal, to tell by it whose mistake it was
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024  # scores of 2,048 tokens are about 200 kB
_OUR_HEADERS: Final = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")


@dataclass(frozen=True, slots=True)
class Server:
    """One model on one server; `url` without a path, `model` is the name that the server knows it by."""

    url: str
    model: str
    api_key: str | None = None
    schedules: bool = False  # by the requests' priority: vLLM's --scheduling-policy priority
    tls: ssl.SSLContext | None = field(default=None, compare=False)  # whom it trusts and what it shows; None: as usual

    def __repr__(self) -> str:
        return f"Server({self.model!r})"

    @property
    def place(self) -> str:
        """Host and port, for records: a path may be what lets one in."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        host = ipaddress.ip_address(host).exploded if ":" in host else host
        return f"{host}:{parts.port}" if parts.port else host


@dataclass(frozen=True, slots=True)
class Errand:
    """For whom a server is asked: what every request that is made for it says, beside its own body.

    `cache_salt` keeps the prefix caches of tenants apart, so that nobody learns from how soon an answer begins what
    others have asked. `priority` is vLLM's: higher is later; it goes to servers that schedule by it, since others
    would not look at it, or refuse it.
    """

    request_id: str
    cache_salt: str | None = None
    priority: int = 0

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

    connect: float = 5.0
    first_byte: float = 60.0  # until the response's head: an engine answers it when the prefill is done
    stall: float = 60.0  # between two reads


Heard = Callable[[str, bool], None]


def nobody_hears(url: str, answered: bool) -> None:
    """Who does not want to know how servers are."""


class UpstreamClient:
    """One pool of connections for all servers. To be made and closed inside the event loop."""

    def __init__(self, timeouts: Timeouts, heard: Heard = nobody_hears) -> None:
        """`heard` is told of each call whether the server at this address answered, with whatever status."""
        self.timeouts, self._heard = timeouts, heard
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=10),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeouts.connect),
            skip_auto_headers=_OUR_HEADERS,
            trust_env=False,
        )

    async def aclose(self) -> None:
        await self._session.close()

    @asynccontextmanager
    async def stream(
        self, server: Server, path: str, body: Mapping[str, Any], errand: Errand
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an event stream, in the pieces in which they arrive. Leaving early closes the connection,
        which ends the generation. Raises UpstreamError, and CallerError where the engine refused the request."""
        with self._told_of(server), _mapped():
            response = await self._post(server, path, body, errand)
        pieces = _pieces(response.content, self.timeouts.stall)
        try:
            if response.content_type != "text/event-stream":
                raise UpstreamBroken("content_type")
            yield pieces
        finally:
            await pieces.aclose()
            response.close()

    async def post(self, server: Server, path: str, body: Mapping[str, Any], errand: Errand, deadline: float) -> bytes:
        """The body of a JSON answer, all of it within `deadline` seconds."""
        with self._told_of(server), _mapped():
            async with asyncio.timeout(deadline):
                response = await self._post(server, path, body, errand)
                async with response:
                    return await _bounded(response, MAX_ANSWER_BYTES)

    async def models(self, server: Server, errand: Errand, deadline: float) -> bytes:
        """The body of the server's list of models."""
        with self._told_of(server), _mapped():
            async with asyncio.timeout(deadline):
                response = await self._session.get(
                    server.url + MODELS,
                    headers=_headers(server, errand.request_id),
                    allow_redirects=False,
                    ssl=server.tls or True,
                )
                async with response:
                    if response.status != 200:
                        raise await _refusal(response)
                    return await _bounded(response, MAX_ANSWER_BYTES)

    @contextmanager
    def _told_of(self, server: Server) -> Iterator[None]:
        try:
            yield
        except (UpstreamUnavailable, UpstreamTimeout):
            self._heard(server.url, False)
            raise
        except GatewayError:  # it refused, or what it said was no use
            self._heard(server.url, True)
            raise
        self._heard(server.url, True)

    async def _post(self, server: Server, path: str, body: Mapping[str, Any], errand: Errand) -> aiohttp.ClientResponse:
        async with asyncio.timeout(self.timeouts.first_byte):
            response = await self._session.post(
                server.url + path,
                data=msgspec.json.encode(errand.body(server, path, body)),
                headers=_headers(server, errand.request_id),
                allow_redirects=False,
                ssl=server.tls or True,
            )
            if response.status == 200:
                return response
            async with response:
                raise await _refusal(response)


def _headers(server: Server, request_id: str) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "X-Request-Id": request_id}
    return headers | ({"Authorization": f"Bearer {server.api_key}"} if server.api_key else {})


async def _pieces(content: aiohttp.StreamReader, patience: float) -> AsyncGenerator[bytes, None]:
    watch = _Watch(content, patience)
    try:
        with _mapped():
            while piece := await content.readany():
                watch.since = None
                yield piece
                watch.since = watch.now()
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
    except (aiohttp.ServerTimeoutError, TimeoutError):
        raise UpstreamTimeout from None
    except aiohttp.ClientPayloadError:
        raise UpstreamBroken("cut") from None
    except (aiohttp.ClientConnectionError, aiohttp.ClientSSLError, OSError):
        raise UpstreamUnavailable from None
    except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError):
        raise UpstreamBroken("protocol") from None
