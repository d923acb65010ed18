"""Headers of our answers: built from nothing, by the list below. Whatever an upstream sent stays there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import msgspec
from starlette.responses import Response

from gateway.errors import GatewayError, LeakBudgetSpent, LimitReached, MethodNotAllowed, NotAuthenticated
from gateway.types import RequestId

JSON: Final = "application/json"

_ENCODE: Final = msgspec.json.Encoder().encode

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
    if isinstance(error, LimitReached):
        limits = {**error.told, **error.retry}
    headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in limits.items()]
    return headers


def json_response(content: object, request_id: RequestId) -> Response:
    return _response(_ENCODE(content), 200, answer_headers(request_id, JSON))


def error_response(error: GatewayError, request_id: RequestId) -> Response:
    """OpenAI's error object, with the status of the error's class."""
    return _response(_ENCODE(error.body()), error.status, answer_headers(request_id, JSON, error=error))


def error_event(error: GatewayError) -> bytes:
    """The same as one frame of an event stream, for an error after the first byte."""
    return b"data: " + _ENCODE(error.body()) + b"\n\n"


def _response(body: bytes, status: int, headers: Headers) -> Response:
    response = Response(body, status)
    response.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    return response
