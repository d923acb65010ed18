"""Headers of our answers: built from nothing, by the list below. Whatever an upstream sent stays there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from starlette.responses import Response

from gateway.errors import GatewayError, LeakBudgetSpent, LimitReached, MethodNotAllowed, NotAuthenticated, ShuttingDown
from gateway.http.envelope import Envelope, Wire, response
from gateway.types import RequestId

_ENCODE: Final = msgspec.json.Encoder().encode

RETRY_SECONDS: Final = 1  # after one process has said that it ends: another one takes the request, or is about to

Headers = list[tuple[bytes, bytes]]
NOTHING_TOLD: Final[Mapping[str, str]] = MappingProxyType({})


def answer_headers(
    request_id: RequestId,
    content_type: str,
    *,
    error: GatewayError | None = None,
    limits: Mapping[str, str] = NOTHING_TOLD,
) -> Headers:
    """All that an answer carries, beside its length. `limits` is what it says of its caller's limits. Answers are
    personal: no cache may keep one."""
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode("latin-1")),
    ]
    if content_type.startswith("text/event-stream"):
        headers.append((b"x-accel-buffering", b"no"))  # an nginx in front would collect the stream
    if isinstance(error, NotAuthenticated):
        headers.append((b"www-authenticate", b"Bearer"))  # RFC 6750 would let us say why; we don't
    if isinstance(error, MethodNotAllowed) and error.allowed:
        headers.append((b"allow", error.allowed.encode("latin-1")))
    if isinstance(error, LeakBudgetSpent):
        headers.append((b"x-should-retry", b"false"))  # OpenAI's clients would try a 429 again at once
    if isinstance(error, ShuttingDown):  # another connection may lead to another process
        headers += [(b"retry-after", b"%d" % RETRY_SECONDS), (b"connection", b"close")]
    if isinstance(error, LimitReached):
        limits = {**error.told, **error.retry}
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in limits.items()]
    return headers


def json_response(content: object, request_id: RequestId, envelope: Envelope) -> Response:
    headers = answer_headers(request_id, envelope.whole_type)
    return response(envelope.whole(_ENCODE(content), 200), 200, headers)


def error_response(error: GatewayError, request_id: RequestId, envelope: Envelope) -> Response:
    """OpenAI's error object, with the status of the error's class."""
    headers = answer_headers(request_id, envelope.whole_type, error=error)
    return response(envelope.whole(_ENCODE(error.body()), error.status), error.status, headers)


def error_event(error: GatewayError, envelope: Envelope) -> Wire:
    """The same as the last event of a stream, for an error after the first byte."""
    return envelope.events([_ENCODE(error.body())], last=True)
