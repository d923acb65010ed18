"""The outermost layer: one record and one count per request, whatever becomes of it. Plain ASGI, nothing per frame."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.addresses import NO_PROXIES, Proxies
from gateway.errors import GatewayError, ShuttingDown, UpstreamTimeout
from gateway.http import envelope
from gateway.http.arrivals import origin_of
from gateway.http.headers import error_event, error_response
from gateway.http.lifecycle import Lifecycle, Running
from gateway.observe.logs import Logs, RequestRecord, Value
from gateway.observe.metrics import Metrics
from gateway.types import RequestId

_RECORD: Final = "tightlip.record"
_SERVER_SEND: Final = "tightlip.send"
ID_BYTES: Final = 16  # of randomness: ids must not tell how many requests there are


def new_request_id() -> RequestId:
    return RequestId("req_" + secrets.token_hex(ID_BYTES))


def record_of(scope: Scope) -> RequestRecord:
    """The record of the request that this scope belongs to."""
    record: RequestRecord = scope[_RECORD]
    return record


def server_send(scope: Scope) -> Send:
    """The server's own `send`, past the layers between: for what stands between a response's head and its end. Nobody
    looks at that, and each layer would cost something for every frame."""
    send: Send = scope[_SERVER_SEND]
    return send


class Tracing(Protocol):
    """Makes traces of requests."""

    def begin(self, record: RequestRecord, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """A request with these header lines has come: its record has steps from here on, if a trace is made of it."""
        ...

    def end(self, record: RequestRecord, said: Mapping[str, Value]) -> None:
        """It has ended; `said` is its record's line."""
        ...


class NoTracing:
    """Fulfils `Tracing`."""

    def begin(self, record: RequestRecord, headers: Sequence[tuple[bytes, bytes]]) -> None:
        return

    def end(self, record: RequestRecord, said: Mapping[str, Value]) -> None:
        return


NO_TRACING: Final = NoTracing()


class Accounted:
    """Wraps the public application."""

    def __init__(
        self,
        app: ASGIApp,
        logs: Logs,
        metrics: Metrics,
        lifecycle: Lifecycle,
        longest: float | None = None,
        proxies: Proxies = NO_PROXIES,
        policy: Callable[[], str | None] = lambda: None,
        used: Callable[[RequestRecord], None] = lambda record: None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """`longest`: seconds that one request may take, however lively it is. `proxies` say where callers are, `policy`
        which version of it is in force. `used` and `tracing` hear of each request when it has ended."""
        self._app, self._logs, self._metrics = app, logs, metrics
        self._lifecycle, self._longest, self._proxies, self._policy = lifecycle, longest, proxies, policy
        self._used, self._tracing = used, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[_RECORD] = record = _new_record(scope, self._proxies)
        record.policy = self._policy()
        self._tracing.begin(record, scope["headers"])
        scope[_SERVER_SEND] = send
        envelope.begin(scope)
        exchange = _Exchange(send, record)
        try:
            with self._lifecycle.request(record) as running, self._metrics.stream():
                await self._run(scope, receive, exchange, running)
        finally:
            self._close(record)

    async def _run(self, scope: Scope, receive: Receive, exchange: _Exchange, running: Running) -> None:
        if self._lifecycle.draining:
            return await exchange.end(ShuttingDown(), scope, receive)
        timeout = asyncio.timeout(self._longest)
        try:
            async with timeout:
                await self._app(scope, receive, exchange.send)
        except asyncio.CancelledError:
            if running.ended is None:
                raise
            await exchange.end(running.ended, scope, receive)
        except TimeoutError:
            if not timeout.expired():
                raise
            await exchange.end(UpstreamTimeout("total"), scope, receive)

    def _close(self, record: RequestRecord) -> None:
        record.duration = record.elapsed()
        role = record.principal.role if record.principal else None
        self._metrics.request(record.route, role, record.model, record.release, record.status, record.duration)
        if record.error is not None:
            self._metrics.failed(record.route, record.error, record.fault)
        self._tracing.end(record, self._logs.request(record))
        self._used(record)


class _Exchange:
    """One answer on its way: remembers how far it got."""

    def __init__(self, send: Send, record: RequestRecord) -> None:
        self._send, self._record = send, record
        self._streams = self._complete = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._record.status = message["status"]
            self._streams = any(
                name == b"content-type" and b"event-stream" in value for name, value in message["headers"]
            )
        elif not message.get("more_body", False):
            self._complete = True
        await self._send(message)

    async def end(self, error: GatewayError, scope: Scope, receive: Receive) -> None:
        """Say why it ends here, in the form that the answer has by now; half a JSON document is only cut off."""
        self._record.failed(error)
        way = envelope.envelope_of(scope)
        if not self._record.status:
            await error_response(error, self._record.request_id, way)(scope, receive, self.send)
        elif self._streams and not self._complete:
            await self.send(envelope.piece(error_event(error, way), more=False))


def _new_record(scope: Scope, proxies: Proxies) -> RequestRecord:
    origin = origin_of(scope)
    return RequestRecord(
        request_id=new_request_id(),
        arrived=time.time(),
        clock=time.monotonic(),
        address=proxies.caller(origin.peer, scope["headers"], origin.announced),
    )
