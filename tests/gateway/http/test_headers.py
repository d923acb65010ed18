"""Answer headers come from one list."""

from __future__ import annotations

import json

from gateway.errors import (
    BadField,
    LeakBudgetSpent,
    MethodNotAllowed,
    NotAuthenticated,
    ShuttingDown,
    TokenExpired,
    UpstreamTimeout,
)
from gateway.http.envelope import JSON, PLAIN
from gateway.http.headers import answer_headers, error_event, error_response
from gateway.types import RequestId

ID = RequestId("req_1")


def test_every_answer_is_private_and_has_our_id() -> None:
    assert answer_headers(ID, JSON) == [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-store"),
        (b"x-request-id", b"req_1"),
    ]


def test_streams_are_not_to_be_collected_by_a_proxy() -> None:
    assert (b"x-accel-buffering", b"no") in answer_headers(ID, "text/event-stream; charset=utf-8")


def test_errors_add_what_their_status_demands() -> None:
    assert (b"x-should-retry", b"false") in answer_headers(ID, JSON, error=LeakBudgetSpent())
    assert (b"www-authenticate", b"Bearer") in answer_headers(ID, JSON, error=NotAuthenticated())
    assert (b"www-authenticate", b"Bearer") in answer_headers(ID, JSON, error=TokenExpired())
    assert (b"allow", b"POST") in answer_headers(ID, JSON, error=MethodNotAllowed("POST"))
    ending = answer_headers(ID, JSON, error=ShuttingDown())
    assert {(b"retry-after", b"1"), (b"connection", b"close")} < set(ending)
    assert answer_headers(ID, JSON, error=MethodNotAllowed()) == answer_headers(ID, JSON)


def test_an_error_is_the_same_object_as_a_body_and_as_a_frame() -> None:
    error = BadField(param="top_p")
    response = error_response(error, ID, PLAIN)
    assert (response.status_code, json.loads(response.body)) == (400, error.body())
    frame = error_event(UpstreamTimeout(), PLAIN)
    assert frame.startswith(b"data: ")
    assert frame.endswith(b"\n\n")
    assert json.loads(frame.removeprefix(b"data: ")) == UpstreamTimeout().body()
