"""A collector of traces on loopback: takes what OTLP over HTTP sends, and keeps it."""

from __future__ import annotations

import ssl
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"


@dataclass
class Collected:
    """What has come. `status` and `answer` are what it says to the next delivery."""

    url: str = ""
    status: int = 200
    answer: bytes = ExportTraceServiceResponse().SerializeToString()
    more: dict[str, str] = field(default_factory=dict)  # head lines of its answers
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)  # of all deliveries
    taken: list[bytes] = field(default_factory=list)  # of those that it said yes to

    @property
    def messages(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in list(self.taken)]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for message in self.messages
            for resource in message.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def traces(self) -> dict[str, list[Span]]:
        """By the id, each with the request's own span first."""
        traces: dict[str, list[Span]] = defaultdict(list)
        for span in self.spans:
            traces[span.trace_id.hex()].append(span)
        return {
            number: sorted(each, key=lambda span: span.kind != Span.SPAN_KIND_SERVER) for number, each in traces.items()
        }


@contextmanager
def collector(tls: ssl.SSLContext | None = None) -> Iterator[Collected]:
    """It listens for as long as the block lasts."""
    collected = Collected()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collected.paths.append(self.path)
            collected.headers.append({name.lower(): value for name, value in self.headers.items()})
            collected.bodies.append(body)
            if collected.status == 200:
                collected.taken.append(body)
            self.send_response(collected.status)
            for name, value in ({"content-length": str(len(collected.answer))} | collected.more).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(collected.answer)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that does not trust us ends the handshake."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    collected.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collected
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def told(span: Span) -> dict[str, Any]:
    """A span's attributes, which each stand there once."""
    pairs = [(pair.key, _value(pair.value)) for pair in span.attributes]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)


def check_trace(spans: Iterable[Span]) -> Span:
    """That these are one whole trace which says nothing but attributes; the request's own span."""
    first, *others = spans
    assert first.kind == Span.SPAN_KIND_SERVER
    ids = [span.span_id for span in (first, *others)]
    assert len(set(ids)) == len(ids)
    assert {len(each) for each in ids} == {8}
    assert {span.trace_id for span in others} <= {first.trace_id}
    assert len(first.trace_id) == 16
    assert any(first.trace_id)
    for span in others:
        assert span.parent_span_id in ids
        assert span.kind in (Span.SPAN_KIND_INTERNAL, Span.SPAN_KIND_CLIENT)
    for span in (first, *others):
        assert first.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= first.end_time_unix_nano
        assert not any((span.events, span.links, span.trace_state, span.status.message))
        assert span.flags & 1
    return first
