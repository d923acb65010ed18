"""One connection's bounds, before there is a request: how long a head may take, how large it may be, how many
connections there may be, and what two readers could read differently.

The parser (llhttp, in its strict mode) refuses by itself: bare line feeds, folded lines, Content-Length beside
Transfer-Encoding, two lengths, white space before a colon, control characters. Here a request is refused, besides, that

1. is of another version than 1.0 and 1.1, has another number of Host lines than one, or more than one Authorization
   (RFC 9112, 3.2; two would make us choose);
2. has a transfer coding other than `chunked` (RFC 9112, 7: whoever does not decode it reads another body);
3. has more than MOST_HEADERS lines, or more than MOST_HEAD_BYTES in its first line or in its head;
4. has not sent its head within `head_seconds` of its first byte, or of the connection's beginning.

All get a fixed answer, and the connection is closed: what follows can't be told apart from another request.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEADERS: Final = 100
MOST_HEAD_BYTES: Final = 32 * 1024
MOST_TARGET_BYTES: Final = 8 * 1024

_ONCE: Final = frozenset({b"host", b"authorization"})
_BODIES: Final = {
    status: b'{"error":{"message":"%s","type":"invalid_request_error","param":null,"code":"%s"}}' % (message, code)
    for status, message, code in (
        (400, b"The request is not valid HTTP.", b"invalid_request"),
        (408, b"The request was not sent in time.", b"request_timeout"),
        (414, b"The request's address is too long.", b"request_too_large"),
        (431, b"The request's headers are too large.", b"request_too_large"),
    )
}


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections at once, and how many of them from one address; seconds for a request's head."""

    total: int = 10_000
    per_address: int = 1_000
    head_seconds: float = 5.0


@dataclass(slots=True)
class Connections:
    """Those that are open now."""

    total: int = 0
    by_address: Counter[str] = field(default_factory=Counter)


class _Refused(Exception):
    """The head is not acceptable. Carries a status."""


def guarded(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """A protocol class for uvicorn, with one count of connections."""
    return cast("type[HttpToolsProtocol]", type("Guarded", (_Guarded,), {"limits": limits, "open": Connections()}))


class _Guarded(HttpToolsProtocol):
    limits: ConnectionLimits
    open: Connections

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._counted: str | None = None
        self._refused = False

    # ---- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        address = self.client[0] if self.client else ""
        if self.open.total >= self.limits.total or self.open.by_address[address] >= self.limits.per_address:
            transport.abort()  # an answer would cost more than the connection
            return
        self._counted = address
        self.open.total += 1
        self.open.by_address[address] += 1
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        if self._counted is not None:
            self.open.total -= 1
            self.open.by_address[self._counted] -= 1
            if not self.open.by_address[self._counted]:
                del self.open.by_address[self._counted]
            self._counted = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused or self._counted is None:
            return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            self._refuse(error.__context__)
        except httptools.HttpParserError:
            self._refuse(None)
        except httptools.HttpParserUpgrade:
            return  # the request has been read as one of HTTP/1.1, and is answered as one

    # ---- the head ----------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer is None:
            self._expect_head()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MOST_TARGET_BYTES:
            raise _Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if len(self.headers) > MOST_HEADERS or self._head_bytes > MOST_HEAD_BYTES:
            raise _Refused(431)

    def on_headers_complete(self) -> None:
        self._head_came()
        names = Counter(name for name, _ in self.headers)
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if any(names[name] > 1 for name in _ONCE) or codings not in ([], [b"chunked"]):
            raise _Refused(400)
        version = self.parser.get_http_version()
        if version not in ("1.0", "1.1") or (version == "1.1" and not names[b"host"]):
            raise _Refused(400)
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.limits.head_seconds, self._late)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        self._head_timer = None
        self._answer(408)

    def _refuse(self, cause: BaseException | None) -> None:
        self._answer(cause.args[0] if isinstance(cause, _Refused) else 400)

    def _answer(self, status: int) -> None:
        """A fixed text, unless an answer is on its way already; then only the end."""
        self._refused = True
        self._head_came()
        if self.transport.is_closing():
            return
        running = self.cycle is not None and not self.cycle.response_complete
        if not (running and self.cycle.response_started):
            body = _BODIES[status]
            length = b"content-length: %d\r\n" % len(body)
            head = STATUS_LINE[status] + b"content-type: application/json\r\n" + length + b"connection: close\r\n\r\n"
            self.transport.write(head + body)
        if running:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
