"""The exchange as httpx transports: what is above them (`httpx.Client`, the openai package) works as without.

A response's extension `tightlip_sealed` is True where the gateway vouches for it. Otherwise it is an error of 400 and
up, which anybody on the way could have written.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

import httpx

from tightlip_client.protocol import (
    MOST_FRAME_CHARS,
    STREAMED,
    Altered,
    Events,
    Exchange,
    GatewayKeys,
    NotTheGateway,
    PlainAnswer,
    PrivateKey,
)

JOSE: Final = "application/jose"
SSE: Final = "text/event-stream"
HEADER: Final = "tightlip-request"  # carries a request that has no body
END_USER: Final = "tightlip-end-user"  # an assertion of who sits before the application, which is bound as well
UNKNOWN_KEY: Final = b'"unknown_encryption_key"'
MOST_PLAIN_BYTES: Final = 64 * 1024  # of an error
# What describes the body that was there before.
_OF_BODIES: Final = frozenset({"content-length", "content-type", "content-encoding", "transfer-encoding"})
_REPLACED: Final = _OF_BODIES | {"accept-encoding"}


class _Sealing:
    """What both transports do around the network."""

    def __init__(self, gateway: GatewayKeys, own: PrivateKey | Sequence[PrivateKey]) -> None:
        """`own`: the key that answers are to be encrypted to, or several, the one to ask for first: while a key is
        being replaced, answers to the old one can still be on their way."""
        self.gateway = gateway
        self._own = (own,) if isinstance(own, PrivateKey) else tuple(own)
        if not self._own:
            raise ValueError("needs a key of this client")

    def sealed(self, request: httpx.Request, body: bytes, kid: str) -> tuple[Exchange, httpx.Request]:
        """The request as it is sent, and what opens its answer."""
        exchange = Exchange(self.gateway, kid, self._own)
        message = exchange.seal(body, token=_token(request), path=request.url.path)
        headers = [(name, value) for name, value in request.headers.raw if name.lower().decode() not in _REPLACED]
        headers.append((b"accept-encoding", b"identity"))  # compressed on the way it would not be the gateway's
        if request.method in ("GET", "HEAD"):
            headers.append((HEADER.encode(), message.encode()))
            content = b""
        else:
            content = message.encode()
            headers += [(b"content-type", JOSE.encode()), (b"content-length", str(len(content)).encode())]
        sent = httpx.Request(request.method, request.url, headers=headers, content=content)
        sent.extensions = request.extensions
        return exchange, sent

    @staticmethod
    def answer(response: httpx.Response, exchange: Exchange, body: bytes) -> httpx.Response:
        """Of an answer in one piece, or of an error that nobody vouches for. Raises NotTheGateway."""
        sealed = _type(response) == JOSE
        if sealed:
            body = exchange.open(body.decode("latin-1"), status=response.status_code)
            exchange.close()
        elif _type(response) == SSE:
            raise Altered("the status is not the one that the gateway sent")
        elif response.status_code < 400:
            raise PlainAnswer("the answer is not encrypted")
        headers = [*_kept(response), (b"content-type", b"application/json")]
        extensions = {**response.extensions, "tightlip_sealed": sealed}
        return httpx.Response(response.status_code, headers=headers, content=body, extensions=extensions)

    @staticmethod
    def streamed(response: httpx.Response, stream: httpx.SyncByteStream | httpx.AsyncByteStream) -> httpx.Response:
        headers = [*_kept(response), (b"content-type", SSE.encode() + b"; charset=utf-8")]
        extensions = {**response.extensions, "tightlip_sealed": True}
        return httpx.Response(STREAMED, headers=headers, stream=stream, extensions=extensions)


class EncryptedTransport(httpx.BaseTransport):
    """`OpenAI(http_client=httpx.Client(transport=EncryptedTransport(keys, own)))`."""

    def __init__(
        self,
        gateway: GatewayKeys,
        own: PrivateKey | Sequence[PrivateKey],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`transport` reaches the network; by default httpx's own."""
        self._sealing = _Sealing(gateway, own)
        self._inner = transport or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises NotTheGateway here for an answer in one piece, and while a streamed one is read."""
        body = request.read()
        for left, kid in _countdown(self._sealing.gateway.kids):
            exchange, sent = self._sealing.sealed(request, body, kid)
            response = self._inner.handle_request(sent)
            assert isinstance(response.stream, httpx.SyncByteStream)
            if _streams(response):
                return self._sealing.streamed(response, _Stream(response.stream, exchange))
            collected = _Collected(response)
            try:
                for piece in response.stream:
                    collected.add(piece)
            finally:
                response.close()
            if not (left and _unknown_key(response, collected.raw)):
                break
        return self._sealing.answer(response, exchange, collected.raw)

    def close(self) -> None:
        self._inner.close()


class AsyncEncryptedTransport(httpx.AsyncBaseTransport):
    """The same for `AsyncOpenAI` and `httpx.AsyncClient`."""

    def __init__(
        self,
        gateway: GatewayKeys,
        own: PrivateKey | Sequence[PrivateKey],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`transport` reaches the network; by default httpx's own."""
        self._sealing = _Sealing(gateway, own)
        self._inner = transport or httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As `EncryptedTransport.handle_request`."""
        body = await request.aread()
        for left, kid in _countdown(self._sealing.gateway.kids):
            exchange, sent = self._sealing.sealed(request, body, kid)
            response = await self._inner.handle_async_request(sent)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            if _streams(response):
                return self._sealing.streamed(response, _AsyncStream(response.stream, exchange))
            collected = _Collected(response)
            try:
                async for piece in response.stream:
                    collected.add(piece)
            finally:
                await response.aclose()
            if not (left and _unknown_key(response, collected.raw)):
                break
        return self._sealing.answer(response, exchange, collected.raw)

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Stream(httpx.SyncByteStream):
    def __init__(self, inner: httpx.SyncByteStream, exchange: Exchange) -> None:
        self._inner, self._events = inner, Events(exchange)

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._inner:
            yield from self._events.feed(piece)
        self._events.close()

    def close(self) -> None:
        self._inner.close()


class _AsyncStream(httpx.AsyncByteStream):
    def __init__(self, inner: httpx.AsyncByteStream, exchange: Exchange) -> None:
        self._inner, self._events = inner, Events(exchange)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._inner:
            for opened in self._events.feed(piece):
                yield opened
        self._events.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Collected:
    """An answer in one piece, as far as it has come: whoever sends without end must not fill the memory."""

    def __init__(self, response: httpx.Response) -> None:
        self._pieces: list[bytes] = []
        self._sealed = _type(response) == JOSE
        self._left = MOST_FRAME_CHARS if self._sealed else MOST_PLAIN_BYTES

    def add(self, piece: bytes) -> None:
        """Raises NotTheGateway."""
        self._left -= len(piece)
        if self._left < 0:
            raise Altered("a frame is too long") if self._sealed else PlainAnswer("the answer is not encrypted")
        self._pieces.append(piece)

    @property
    def raw(self) -> bytes:
        return b"".join(self._pieces)


def _streams(response: httpx.Response) -> bool:
    return _type(response) == SSE and response.status_code == STREAMED


def _countdown(kids: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each key, and how many there are after it: the gateway may have retired one before this client heard of it. All
    were given by whoever set this client up, so that nothing is gained by making it take another one."""
    yield from zip(range(len(kids) - 1, -1, -1), kids, strict=True)


def _unknown_key(response: httpx.Response, raw: bytes) -> bool:
    return response.status_code == 400 and _type(response) != JOSE and UNKNOWN_KEY in raw


def _kept(response: httpx.Response) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in response.headers.raw if name.lower().decode("latin-1") not in _OF_BODIES]


def _type(response: httpx.Response) -> str:
    return str(response.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _token(request: httpx.Request) -> str:
    scheme, _, token = str(request.headers.get("authorization", "")).partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise NotTheGateway("a request needs its access token before it can be encrypted")
    assertion = request.headers.get(END_USER)
    return token.strip() if assertion is None else f"{token.strip()}\n{assertion}"
