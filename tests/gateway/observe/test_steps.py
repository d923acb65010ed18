"""What is noted of a request's way, and how much of it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UpstreamTimeout
from gateway.observe.steps import CANCELLED, MOST_STEPS, NOTHING, Called, Kind, Step, Trace, new_id
from tests.gateway.support import CANARY


def root(**more: bool) -> Step:
    return Step(Trace(1), Kind.REQUEST, **more)


def test_nothing_is_noted_where_there_are_no_traces() -> None:
    with NOTHING.step(Kind.ADMIT) as step, step.call("/v1/models", "base", "http://127.0.0.1:1") as call:
        call.failed(UpstreamTimeout())
    assert step is call is NOTHING
    assert NOTHING.traceparent is None


def test_steps_stand_within_steps_and_last_as_long_as_their_blocks() -> None:
    request = root()
    with request.step(Kind.QUESTION) as question, question.call("/v1/completions", "base", "http://a:1"):
        pass
    (first,) = request.within
    (call,) = first.within
    assert (first.kind, call.kind, call.called) == (
        Kind.QUESTION,
        Kind.CALL,
        Called("/v1/completions", "base", "http://a:1"),
    )
    assert first.ended is not None
    assert call.ended is not None
    assert request.begun <= first.begun <= call.begun <= call.ended <= first.ended
    assert (first.error, request.ended) == (None, None)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UpstreamTimeout(CANARY), "upstream_timeout"),
        (asyncio.CancelledError(CANARY), CANCELLED),
        (GeneratorExit(CANARY), CANCELLED),
        (ValueError(CANARY), "ValueError"),
    ],
)
def test_an_error_is_a_code_and_never_its_text(error: BaseException, code: str) -> None:
    request = root()
    with pytest.raises(type(error)), request.step(Kind.ADMIT):
        raise error
    assert request.within[0].error == code


def test_so_many_are_noted_and_the_others_counted() -> None:
    request = root()
    for _ in range(MOST_STEPS + 3):
        with request.step(Kind.QUESTION) as step:
            step.call("/v1/completions", "base", "http://a:1")
    noted = len(request.within) + sum(len(each.within) for each in request.within)
    assert noted == MOST_STEPS
    assert request.trace.left_out >= 3


def test_the_next_service_is_told_only_where_it_is_to_be() -> None:
    assert root().step(Kind.ADMIT).traceparent is None
    step = root(tells=True).step(Kind.CALL)
    assert isinstance(step, Step)
    assert step.traceparent == f"00-{1:032x}-{step.id:016x}-01"


def test_nobody_is_told_of_a_fallback() -> None:
    """Its server's own spans would show what the trace leaves out."""
    fallback = root(tells=True).step(Kind.FALL_BACK)
    assert (fallback.traceparent, fallback.call("/v1/completions", "base", "http://a").traceparent) == (None, None)


def test_ids_are_never_none() -> None:
    assert all(0 < new_id(1) < 2 for _ in range(64))
