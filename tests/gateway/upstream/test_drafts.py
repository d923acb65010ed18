"""What servers answer to drafts, read as hostile; the servers are real and on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from filters.specificity.bounded import TOP, Drafted
from gateway.errors import CallerError, ContextTooLong, GatewayError, UpstreamBroken, UpstreamError
from gateway.upstream.client import Errand, Server, Timeouts, UpstreamClient
from gateway.upstream.drafts import Drafter
from tests.support.processes import HOST

SECRET = "vexlo.trund47@kipmora.example"


def choice(index: int = 0, **changes: Any) -> dict[str, Any]:
    tops = [{"token_id:5": -0.25, "token_id:6": -1.5}, {"token_id:7": -0.5, "token_id:5": -0.9}]
    whole = {"index": index, "token_ids": [5, 7], "logprobs": {"top_logprobs": tops}, "finish_reason": "length"}
    return whole | changes


def answer(*choices: dict[str, Any]) -> dict[str, Any]:
    return {"choices": list(choices), "text": SECRET}


async def test_a_draft_is_asked_for_with_everything_that_shapes_it() -> None:
    async with serving(answer(choice(finish_reason="stop"))) as (drafter, server, asked):
        draft = await drafter.draft(server, [1, 2], 2, 0.7, 1.0, 11)
    assert draft.stopped
    assert draft.places == (Drafted(5, {5: -0.25, 6: -1.5}), Drafted(7, {7: -0.5, 5: -0.9}))
    (body,) = asked
    assert body == {
        "model": "m",
        "prompt": [1, 2],
        "max_tokens": 2,
        "temperature": 0.7,
        "top_p": 1.0,
        "top_k": TOP,
        "min_p": 0.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "repetition_penalty": 1.0,
        "add_special_tokens": False,
        "logprobs": TOP,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "seed": 11,
    }


async def test_places_come_back_in_the_order_of_their_prompts() -> None:
    rows = [choice(at, token_ids=[at], logprobs={"top_logprobs": [{f"token_id:{at}": -0.5}]}) for at in (2, 0, 1)]
    async with serving(answer(*rows)) as (drafter, server, asked):
        assert await drafter.likely(server, [[1], [1, 2], [1, 2, 3]]) == [{0: -0.5}, {1: -0.5}, {2: -0.5}]
    assert asked[0]["prompt"] == [[1], [1, 2], [1, 2, 3]]
    assert "seed" not in asked[0]


async def test_the_prompt_s_tokens_are_the_chat_template_s() -> None:
    async with serving({"prompt_token_ids": [3, 4], "choices": []}) as (drafter, server, asked):
        assert await drafter.prompt(server, {"messages": [{"role": "user", "content": "a"}]}) == (3, 4)
    assert asked[0]["max_tokens"] == 1


BAD = {
    "nothing": {},
    "no choice": answer(),
    "two choices": answer(choice(), choice(1)),
    "no tokens": answer(choice(token_ids=[], logprobs={"top_logprobs": []})),
    "fewer scores than tokens": answer(choice(token_ids=[5, 7, 9])),
    "a token that is not among the likely": answer(choice(token_ids=[5, 8])),
    "names that are no ids": answer(choice(logprobs={"top_logprobs": [{SECRET: -0.1}, {"token_id:7": -0.1}]})),
    "ids that are no numbers": answer(choice(logprobs={"top_logprobs": [{"token_id:x": -0.1}, {"token_id:7": -1}]})),
    "null scores": answer(choice(logprobs=None)),
    "more than was asked for": answer(choice(token_ids=[5] * 3, logprobs={"top_logprobs": [{"token_id:5": -0.1}] * 3})),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD)
async def test_an_answer_that_is_none_is_broken(body: dict[str, Any]) -> None:
    async with serving(body) as (drafter, server, _):
        error = await raised(drafter.draft(server, [1], 2, 1.0, 1.0, None))
    assert type(error) is UpstreamBroken
    assert SECRET not in repr(error)


@pytest.mark.parametrize("indices", [(0,), (0, 0), (1, 2), (0, 1, 2)])
async def test_a_place_that_is_missing_is_broken(indices: tuple[int, ...]) -> None:
    async with serving(answer(*map(choice, indices))) as (drafter, server, _):
        assert type(await raised(drafter.likely(server, [[1], [1, 2]]))) is UpstreamBroken


@pytest.mark.parametrize("body", [{}, {"prompt_token_ids": []}, {"prompt_token_ids": None}])
async def test_a_prompt_without_tokens_is_broken(body: dict[str, Any]) -> None:
    async with serving(body) as (drafter, server, _):
        assert type(await raised(drafter.prompt(server, {}))) is UpstreamBroken


async def test_who_is_at_fault_when_an_engine_refuses() -> None:
    """The caller for his messages; nobody but us for a draft, unless his context is full."""
    async with serving({"error": {"message": SECRET}}, status=400) as (drafter, server, _):
        assert type(await raised(drafter.prompt(server, {}))) is CallerError
        for call in (drafter.draft(server, [1], 1, 1.0, 1.0, None), drafter.likely(server, [[1]])):
            error = await raised(call)
            assert type(error) is UpstreamError
            assert SECRET not in repr(error)
    full = {"error": {"message": "This model's maximum context length is 9 tokens."}}
    async with serving(full, status=400) as (drafter, server, _):
        assert type(await raised(drafter.draft(server, [1], 1, 1.0, 1.0, None))) is ContextTooLong


async def raised(call: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        await call
    return caught.value


@asynccontextmanager
async def serving(body: dict[str, Any], status: int = 200) -> AsyncIterator[tuple[Drafter, Server, list[Any]]]:
    """A server that always answers this, and what it was asked."""
    asked: list[Any] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        asked.append(json.loads(await reader.readexactly(length)))
        data = json.dumps(body).encode()
        writer.write(b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\nconnection: close\r\n" % status)
        writer.write(b"content-length: %d\r\n\r\n%s" % (len(data), data))
        await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, HOST, 0)
    client = UpstreamClient(Timeouts())
    try:
        port = listener.sockets[0].getsockname()[1]
        yield Drafter(client, Errand("r"), 5.0), Server(f"http://{HOST}:{port}", "m"), asked
    finally:
        await client.aclose()
        listener.close()
