"""Bodies and header lines without a server: what ASGI may deliver."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from starlette.types import Receive

from gateway.errors import BadJson, BodyTooLarge, NotAuthenticated, RequestTimeout, UnsupportedMedia
from gateway.http import inbound
from gateway.http.inbound import BodyLimits, read_body, read_head, refuse_token_in_query
from tests.support.clock import leap

LIMITS = BodyLimits(10, 1.0)
JSON = (b"content-type", b"application/json")


def delivering(*messages: dict[str, Any]) -> Receive:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    return receive


def piece(body: bytes, more: bool = True) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_pieces_are_joined_up_to_the_limit() -> None:
    body = await read_body(read_head([JSON]), delivering(piece(b"12345"), piece(b"67890", more=False)), LIMITS)
    assert body == b"1234567890"
    with pytest.raises(BodyTooLarge):
        await read_body(read_head([JSON]), delivering(piece(b"12345"), piece(b"678901")), LIMITS)


async def test_a_stated_length_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(BodyTooLarge):
        await read_body(read_head([JSON, (b"content-length", b"11")]), delivering(), LIMITS)


async def test_a_caller_who_goes_away_ends_the_request() -> None:
    with pytest.raises(BadJson):
        await read_body(read_head([JSON]), delivering(piece(b"1"), {"type": "http.disconnect"}), LIMITS)


def dripping(pieces: int, size: int, seconds: float) -> Receive:
    """So many pieces of so many bytes, one each so many seconds of the loop's clock; the first at once."""
    left = iter(range(pieces))

    async def receive() -> dict[str, Any]:
        if at := next(left):
            leap(seconds)
            for _ in range(3):  # what is due is done
                await asyncio.sleep(0)
        return piece(b"x" * size, more=at < pieces - 1)

    return receive


@pytest.fixture
def no_long_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbound, "BODY_GRACE_SECONDS", 20.0)


@pytest.mark.usefixtures("no_long_grace")
@pytest.mark.parametrize(("pieces", "size"), [(500, 1), (4, 50), (3, 0)], ids=["drips", "stalls", "nothing"])
async def test_a_body_slower_than_the_least_rate_is_given_up_long_before_its_deadline(pieces: int, size: int) -> None:
    limits, seconds = BodyLimits(10_000, 6000.0, 10), 2.0 if pieces == 500 else 100.0
    began = asyncio.get_running_loop().time()
    with pytest.raises(RequestTimeout):
        await read_body(read_head([JSON]), dripping(pieces, size, seconds), limits)
    assert asyncio.get_running_loop().time() - began < 110


@pytest.mark.usefixtures("no_long_grace")
async def test_a_body_that_keeps_the_least_rate_may_take_its_time() -> None:
    body = await read_body(read_head([JSON]), dripping(8, 200, 10.0), BodyLimits(10_000, 6000.0, 10))
    assert len(body) == 1600


async def test_a_body_is_late_however_fast_it_comes() -> None:
    with pytest.raises(RequestTimeout):
        await read_body(read_head([JSON]), dripping(100, 90, 5.0), BodyLimits(10_000, 20.0, 1))


@pytest.mark.parametrize("lines", [[JSON, JSON], [], [(b"content-type", b"text/html")], [(b"content-type", b"\xff")]])
async def test_one_json_media_type_is_wanted(lines: Sequence[tuple[bytes, bytes]]) -> None:
    with pytest.raises(UnsupportedMedia):
        await read_body(read_head(lines), delivering(piece(b"{}", more=False)), LIMITS)


@pytest.mark.parametrize(
    "kind", [b"application/json", b"Application/JSON ; charset=utf-8", b'application/json;charset="UTF-8"']
)
async def test_spellings_of_json(kind: bytes) -> None:
    head = read_head([(b"content-type", kind), (b"content-encoding", b"identity")])
    assert await read_body(head, delivering(piece(b"{}", more=False)), LIMITS) == b"{}"


def test_lines_that_we_do_not_read_do_not_exist() -> None:
    head = read_head([(b"x-forwarded-for", b"1"), (b"authorization", b"a"), (b"authorization", b"b"), JSON])
    assert head.authorization == [b"a", b"b"]
    assert head.content_type == [b"application/json"]


@pytest.mark.parametrize("query", [b"token", b"a=1&KEY=2", b"eyJx=1", b"\xff=eyJ", b"jwt=%00"])
def test_tokens_in_queries(query: bytes) -> None:
    with pytest.raises(NotAuthenticated):
        refuse_token_in_query(query)


@pytest.mark.parametrize("query", [b"", b"api-version=2024-06-01", b"a&b", b"\xff"])
def test_other_queries(query: bytes) -> None:
    refuse_token_in_query(query)
