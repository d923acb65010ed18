"""One connection's bounds: how long each of its stages may take and how much each may hold. What comes before there is
HTTP on it, and how many there may be, is entrance.py's.

| stage | ends by | then |
| --- | --- | --- |
| a head, from the connection's beginning or the head's first byte | `head_seconds` | 408 and the end |
| a body | `read_body`'s deadline and least rate (inbound.py) | 408 and the end |
| the rest of a body after the answer, which is thrown away | REST_SECONDS | the end |
| an answer of which more is waiting than the system takes | `write_seconds` | cut off |
| nothing, between two requests | `idle_seconds` | the end |
| what is still to be sent after the end | `write_seconds` | cut off |

While an answer waits, `send` does, so that its upstream is not read either. What one connection holds unread or unsent
is bounded: MOST_TARGET_BYTES and MOST_HEAD_BYTES of a head, of a chunk's or of a trailer; 64 KiB of a body that nobody
reads; about as much of an answer, and SEND_BUFFER_BYTES (listening.py) in the system.

One request at a time: what comes behind one that is not answered yet is not read, and the connection ends with that
answer (RFC 9112, 9.3.2, lets clients expect no more). Behind a proxy it is what somebody tried to smuggle.

What is refused (heads.py says which heads are) gets a fixed answer, and the connection is closed: what follows can't be
told apart from another request. Trailers are refused: they would come to stand among the headers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from gateway.http import heads
from gateway.http.arrivals import ORIGIN, Origin, Place
from gateway.http.tls import peer_certificate

MOST_HEADERS: Final = 100
MOST_HEAD_BYTES: Final = 32 * 1024
MOST_TARGET_BYTES: Final = 8 * 1024
REST_SECONDS: Final = 5.0  # a client that is told of an error while it sends should get to read it
IDLE_BYTES_PER_BYTE: Final = 8  # of a body in chunks of one byte each, six are framing

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
    """How many connections at once, and how many of them from one address (of IPv6: one /64); seconds for a request's
    head, for a caller to take what has piled up, and for a connection without a request."""

    total: int = 10_000
    per_address: int = 1_000
    head_seconds: float = 5.0
    write_seconds: float = 30.0
    idle_seconds: int = 75


@dataclass(frozen=True, slots=True)
class _Way:
    """What an answer sees of its transport."""

    write: Callable[[bytes], None]
    is_closing: Callable[[], bool]
    close: Callable[[], None]


class _Refused(Exception):
    """The request is not acceptable. Carries a status."""


class _Early(Exception):
    """A request that came before the answer to the one before it."""


def guarded(limits: ConnectionLimits) -> type[Guarded]:
    """A protocol class for uvicorn."""
    return cast("type[Guarded]", type("LimitedProtocol", (Guarded,), {"limits": limits}))


class Guarded(HttpToolsProtocol):
    """Made by `gateway.http.entrance`, which says where the connection comes from before it is made."""

    limits: ConnectionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stage_timer: asyncio.TimerHandle | None = None  # for a head, or the rest of a body
        self._write_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._head_read = False  # of the request that is being read
        self._idle_bytes = 0  # read, and no part of a body
        self._refused = False
        self._origin = Origin(None)
        self._place: Place | None = None

    # ---- the connection ----------------------------------------------------------------------------------------------

    def comes_from(self, origin: Origin, place: Place) -> None:
        """Called once, before `connection_made`; the place is given back when the connection is lost."""
        self._origin, self._place = origin, place

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._origin = replace(self._origin, certificate=peer_certificate(transport))
        self._way = _Way(transport.write, transport.is_closing, self._end)
        self._begin_stage(self.limits.head_seconds, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_stage()
        self._written()
        self._unset_keepalive_if_required()
        if self._place is not None:
            self._place.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._idle_bytes += len(data)
        try:
            while data:
                data = self._feed(data)
        except httptools.HttpParserCallbackError as error:
            self._refuse(error.__context__)
        except httptools.HttpParserError:
            self._refuse(None)
        if self._idle_bytes > MOST_TARGET_BYTES + MOST_HEAD_BYTES:
            self._answer(431)

    def _feed(self, data: bytes) -> bytes:
        """What the parser has not read: it stands behind a request that proposed another protocol, and was read as the
        HTTP/1.1 that it is."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        return b""

    def timeout_keep_alive_handler(self) -> None:
        self._end()

    # ---- a request ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            raise _Early
        super().on_message_begin()
        cast("Scope", self.scope)[ORIGIN] = self._origin
        self._unset_keepalive_if_required()
        self._head_bytes, self._head_read = 0, False
        if self._stage_timer is None:
            self._begin_stage(self.limits.head_seconds, self._late)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MOST_TARGET_BYTES:
            raise _Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_read:
            raise _Refused(400)
        super().on_header(name, value)
        self._head_bytes += len(name) + len(value)
        if len(self.headers) > MOST_HEADERS or self._head_bytes > MOST_HEAD_BYTES:
            raise _Refused(431)

    def on_headers_complete(self) -> None:
        self._end_stage()
        self._head_read = True
        parser = self.parser
        version, upgrade = parser.get_http_version(), parser.should_upgrade()
        heads.check(parser.get_method(), self.url, version, self.headers, upgrade=upgrade)
        super().on_headers_complete()
        self.scope["path"] = self.scope["raw_path"].decode("ascii")
        self.cycle.transport = self._way  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        self._idle_bytes = max(0, self._idle_bytes - IDLE_BYTES_PER_BYTE * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._idle_bytes = 0
        self._end_stage()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.more_body and not self.transport.is_closing():
            self._begin_stage(REST_SECONDS, self._end)

    # ---- deadlines ---------------------------------------------------------------------------------------------------

    def _begin_stage(self, seconds: float, late: Callable[[], None]) -> None:
        self._stage_timer = self.loop.call_later(seconds, late)

    def _end_stage(self) -> None:
        if self._stage_timer is not None:
            self._stage_timer.cancel()
            self._stage_timer = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_written()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._written()

    def _expect_written(self) -> None:
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def _written(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # ---- the end -----------------------------------------------------------------------------------------------------

    def _end(self) -> None:
        """Closes once all is written that the caller takes in time."""
        if not self.transport.is_closing():  # asyncio's TLS transport can't be asked anything once it is closed twice
            self.transport.close()
        if self.transport.get_write_buffer_size():
            self._expect_written()

    def _late(self) -> None:
        self._stage_timer = None
        self._answer(408)

    def _refuse(self, cause: BaseException | None) -> None:
        if isinstance(cause, _Early):
            self._refused, self.cycle.keep_alive = True, False
        else:
            self._answer(cause.args[0] if isinstance(cause, _Refused) else 400)

    def _answer(self, status: int) -> None:
        """A fixed text, unless an answer is on its way already; then only the end."""
        self._refused = True
        self._end_stage()
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
        self._end()
