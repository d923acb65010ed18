"""Traces of requests, to a collector of OpenTelemetry's (OTLP over HTTP, protobuf).

1. OpenTelemetry's messages and names are used, its SDK is not: that reads dozens of variables of the environment
   (OTEL_…), among them ones that load exporters, detectors and sources of credentials, add attributes and headers, or
   switch it off. Here there is nothing that would read them.
2. No request waits for a trace. What is to be sent waits in a queue of at most MOST_WAITING spans; a trace that finds
   no room in it is dropped as a whole and counted.
3. What the collector could not take is tried again, in growing pauses; what it refused for good is dropped and counted.
   Its answers are read for a number and never told.
4. A caller's `traceparent` is not read unless callers are trusted: it would let him choose what is sampled, and put
   sixteen bytes of his own into every place where traces go.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Final, Protocol

import aiohttp
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from opentelemetry.semconv.attributes.service_attributes import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION

from gateway.observe.logs import RequestRecord, Value
from gateway.observe.metrics import Metrics
from gateway.observe.spans import spans
from gateway.observe.steps import Kind, Step, Trace, new_id

LONGEST_PAUSE: Final = 30.0  # seconds, after failures
MOST_WAITING: Final = 8192  # spans; one is about 700 bytes
MOST_AT_ONCE: Final = 512  # spans of a delivery
MOST_ANSWER_BYTES: Final = 64 * 1024
# What OTLP says may be tried again; of all else the collector would say the same once more.
_LATER: Final = frozenset({429, 502, 503, 504})
# W3C Trace Context, 3.2: a later version may have more behind it.
_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.{0,64})?")


class Undelivered(Exception):
    """The collector has not taken them, and might later."""


class Refused(Exception):
    """The collector will never take them."""


class Deliver(Protocol):
    async def deliver(self, raw: bytes) -> int:
        """How many spans of this message it refused. Raises Undelivered, Refused."""
        ...

    async def aclose(self) -> None: ...


class Collector:
    """Fulfils `Deliver`. To be made and closed inside the event loop."""

    def __init__(
        self, endpoint: str, headers: Mapping[str, str], tls: ssl.SSLContext | None, timeout_seconds: float
    ) -> None:
        """`endpoint` is the whole address; `headers` may let us in. `tls`: whom it trusts and what it shows."""
        self._endpoint, self._tls, self._timeout = endpoint, tls, timeout_seconds
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": "application/x-protobuf", "Accept-Encoding": "identity", **headers},
            skip_auto_headers=("User-Agent", "Accept"),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )

    async def deliver(self, raw: bytes) -> int:
        """As `Deliver.deliver`."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._session.post(self._endpoint, data=raw, allow_redirects=False, ssl=self._tls or True) as answer,
            ):
                if answer.status != 200:
                    raise Undelivered if answer.status in _LATER else Refused
                return _refused(await _bounded(answer))
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise Undelivered from None

    async def aclose(self) -> None:
        await self._session.close()


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > MOST_ANSWER_BYTES:
            raise Refused
    return bytes(body)


def _refused(raw_answer: bytes) -> int:
    try:
        return int(ExportTraceServiceResponse.FromString(raw_answer).partial_success.rejected_spans)
    except DecodeError:
        raise Refused from None


class Traces:
    """Fulfils `gateway.http.accounting.Tracing`. For one event loop."""

    def __init__(
        self,
        collector: Deliver,
        service: str,
        version: str,
        metrics: Metrics,
        *,
        sample: float = 1.0,
        trust_callers: bool = False,
        tells: bool = False,
        every_seconds: float = 1.0,
        last_seconds: float = 2.0,
    ) -> None:
        """`sample` is the part of the requests that traces are made of; `tells`: model servers are told of ours. There
        is a delivery every so many seconds, and `last_seconds` are for what is left when the process ends."""
        self._collector, self._metrics = collector, metrics
        self._last = last_seconds
        self._below = int(sample * (1 << 64))
        self._trust, self._tells, self._every = trust_callers, tells, every_seconds
        self._resource = _resource(service, version)
        self._scope = InstrumentationScope(name="tightlip", version=version)
        self._traces: deque[list[Span]] = deque()
        self._waiting = 0
        self._delivery: asyncio.Task[bool] | None = None

    # ---- of requests ------------------------------------------------------------------------------------------------

    def begin(self, record: RequestRecord, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """As `Tracing.begin`."""
        trace = self._trace(headers)
        if trace is not None:
            record.trace = f"{trace.id:032x}"
            record.steps = Step(trace, Kind.REQUEST, begun=record.clock, tells=self._tells)

    def end(self, record: RequestRecord, said: Mapping[str, Value]) -> None:
        """As `Tracing.end`."""
        if not isinstance(record.steps, Step):
            return
        made = spans(record, said, record.steps)
        if self._waiting + len(made) > MOST_WAITING:
            self._metrics.spans("dropped", len(made))
            return
        self._traces.append(made)
        self._waiting += len(made)

    def _trace(self, headers: Sequence[tuple[bytes, bytes]]) -> Trace | None:
        """A new one, or the trusted caller's, who has said whether it is sampled. Else its id says so, the same of all
        services that sample so many."""
        told = _told(headers) if self._trust else None
        if told is not None:
            number, parent, sampled = told
            return Trace(number, parent) if sampled else None
        number = new_id(128)
        return Trace(number) if number & ((1 << 64) - 1) < self._below else None

    # ---- to the collector -------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Deliver for ever."""
        pause = self._every
        while True:
            await asyncio.sleep(pause)
            delivered = await asyncio.shield(self._deliver())
            pause = self._every if delivered else max(self._every, min(2 * pause, LONGEST_PAUSE))

    async def aclose(self) -> None:
        """Deliver what is left, in the time for that; what can't be is dropped."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._last):
                await self._deliver()
        if self._waiting:
            self._metrics.spans("dropped", self._waiting)
        await self._collector.aclose()

    def _deliver(self) -> asyncio.Task[bool]:
        """The delivery of all that waits; whether all of it was. One at a time, which a cancelled watch leaves going:
        nothing is sent twice."""
        if self._delivery is None or self._delivery.done():
            self._delivery = asyncio.get_running_loop().create_task(self._deliver_all())
        return self._delivery

    async def _deliver_all(self) -> bool:
        while self._traces:
            traces = self._next()
            sent = [span for trace in traces for span in trace]
            try:
                refused = min(len(sent), max(0, await self._collector.deliver(self._message(sent))))
            except Undelivered:
                self._metrics.trace_delivery_failed()
                return False
            except Refused:
                refused = len(sent)
            for _ in traces:
                self._traces.popleft()
            self._waiting -= len(sent)
            self._metrics.spans("refused", refused)
            self._metrics.spans("delivered", len(sent) - refused)
        return True

    def _next(self) -> list[list[Span]]:
        """Whole traces: one at the least, together not many more spans than MOST_AT_ONCE."""
        count = spans_in = 0
        for trace in self._traces:
            if count and spans_in + len(trace) > MOST_AT_ONCE:
                break
            count, spans_in = count + 1, spans_in + len(trace)
        return list(islice(self._traces, count))

    def _message(self, sent: Sequence[Span]) -> bytes:
        within = ScopeSpans(scope=self._scope, spans=sent)
        whole = ResourceSpans(resource=self._resource, scope_spans=[within])
        return bytes(ExportTraceServiceRequest(resource_spans=[whole]).SerializeToString())


def _told(headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, int, bool] | None:
    """The trace, the span and whether it is sampled, of the one header line that says so."""
    lines = [value for name, value in headers if name == b"traceparent"]
    found = _TRACEPARENT.fullmatch(lines[0]) if len(lines) == 1 else None
    if found is None:
        return None
    trace, parent, flags = (int(part, 16) for part in found.groups())
    return (trace, parent, bool(flags & 1)) if trace and parent else None


def _resource(service: str, version: str) -> Resource:
    says = {SERVICE_NAME: service, SERVICE_VERSION: version, SERVICE_INSTANCE_ID: f"{new_id(64):016x}"}
    return Resource(attributes=[KeyValue(key=key, value=AnyValue(string_value=text)) for key, text in says.items()])
