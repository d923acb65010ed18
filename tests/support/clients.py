"""The official `openai` client against a gateway, used as its own documentation shows it and in no other way."""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest

from tests.support.gateways import MODEL, Gateway


def client(gateway: Gateway, role: str = "customer") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.public}/v1", api_key=gateway.token(role))


def check_chat(gateway: Gateway, question: str, expected: str) -> None:
    """`expected` is the whole greedy answer to `question`."""
    with client(gateway) as api:
        assert [model.id for model in api.models.list()] == [MODEL]
        _check_whole(api, question, expected)
        _check_stream(api, question, expected)
        _check_choices(api, question)
        _check_ends(api, question, expected)


def _check_whole(api: openai.OpenAI, question: str, expected: str) -> None:
    answer = api.chat.completions.create(model=MODEL, messages=_messages(question), temperature=0)
    (choice,) = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", expected, "stop")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def _check_stream(api: openai.OpenAI, question: str, expected: str) -> None:
    plain = list(api.chat.completions.create(model=MODEL, messages=_messages(question), temperature=0, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in plain) == expected
    assert all(chunk.usage is None for chunk in plain)
    counted = list(
        api.chat.completions.create(
            model=MODEL,
            messages=_messages(question),
            temperature=0,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert counted[0].choices[0].delta.role == "assistant"
    assert counted[-2].choices[0].finish_reason == "stop"
    assert (counted[-1].choices, counted[-1].usage is not None) == ([], True)
    with api.chat.completions.stream(model=MODEL, messages=_messages(question), temperature=0) as helper:
        assert helper.get_final_completion().choices[0].message.content == expected


def _check_choices(api: openai.OpenAI, question: str) -> None:
    answer = api.chat.completions.create(model=MODEL, messages=_messages(question), n=2, temperature=0.8, seed=7)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)
    stream = api.chat.completions.create(
        model=MODEL, messages=_messages(question), n=2, temperature=0.8, seed=7, stream=True
    )
    ended = [choice.index for chunk in stream for choice in chunk.choices if choice.finish_reason]
    assert sorted(ended) == [0, 1]


def _check_ends(api: openai.OpenAI, question: str, expected: str) -> None:
    stop = expected[len(expected) // 2 :][:4]
    cut = api.chat.completions.create(model=MODEL, messages=_messages(question), temperature=0, stop=stop).choices[0]
    assert (cut.message.content, cut.finish_reason) == (expected.split(stop)[0], "stop")
    short = api.chat.completions.create(model=MODEL, messages=_messages(question), temperature=0, max_tokens=2)
    assert short.choices[0].finish_reason == "length"
    assert short.usage is not None
    assert short.usage.completion_tokens <= 2


def check_legacy(gateway: Gateway, prompt: str) -> None:
    with client(gateway, "legacy") as api:
        whole = api.completions.create(model=MODEL, prompt=prompt, max_tokens=12, temperature=0)
        assert (whole.object, whole.choices[0].finish_reason in ("stop", "length")) == ("text_completion", True)
        chunks = list(api.completions.create(model=MODEL, prompt=prompt, max_tokens=12, temperature=0, stream=True))
        assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole.choices[0].text


def check_tokens(gateway: Gateway, question: str, expected: str) -> None:
    """A role that may see tokens gets those of the released text, streamed and whole, in both endpoints."""
    with client(gateway, "tokens") as api:
        ask = {"model": MODEL, "messages": _messages(question), "temperature": 0, "logprobs": True}
        choice = api.chat.completions.create(**ask).choices[0]  # type: ignore[call-overload]
        entries = choice.logprobs.content
        told = b"".join(bytes(entry.bytes) for entry in entries).decode()
        assert told == expected == choice.message.content
        assert all(entry.logprob <= 0 and not entry.top_logprobs for entry in entries)
        stream = api.chat.completions.create(**ask, stream=True, extra_body={"return_token_ids": True})  # type: ignore[call-overload]
        parts = [chunk.choices[0] for chunk in stream]
        streamed = [entry for part in parts if part.logprobs for entry in part.logprobs.content]
        assert [entry.token for entry in streamed] == [entry.token for entry in entries]
        assert sum(len(part.model_extra.get("token_ids", ())) for part in parts) == len(entries)
        legacy = api.completions.create(model=MODEL, prompt=question, max_tokens=12, temperature=0, logprobs=1).choices[
            0
        ]
        assert legacy.logprobs is not None
        assert legacy.logprobs.tokens is not None
        assert legacy.logprobs.text_offset is not None
        for token, offset in zip(legacy.logprobs.tokens, legacy.logprobs.text_offset, strict=True):
            assert "\ufffd" in token or legacy.text[offset:].startswith(token)


def check_hidden_tokens(gateway: Gateway, question: str, value: str) -> None:
    """No token of a hidden value is told; those of what is said instead are."""
    with client(gateway, "tokens") as api:
        answer = api.chat.completions.create(
            model=MODEL,
            messages=_messages(question),
            temperature=0,
            logprobs=True,
            extra_body={"return_token_ids": True},
        )
        choice = answer.choices[0]
        assert choice.logprobs is not None
        assert choice.message.content is not None
        tokens = [entry.token for entry in choice.logprobs.content or ()]
        assert tokens
        rest = choice.message.content
        for token in tokens:
            rest = rest[rest.index(token) + len(token) :]
        told = "".join(tokens)
        assert not any(value[at : at + 4] in told for at in range(len(value) - 3) if value[at : at + 4] not in question)


def check_errors(gateway: Gateway) -> None:
    """Each of the client's error classes, by what an application does wrong."""
    question = _messages("Hello?")
    with client(gateway) as api:
        nobody = api.with_options(api_key="not-a-token")
        _raises(openai.AuthenticationError, lambda: nobody.chat.completions.create(model=MODEL, messages=question))
        _raises(openai.NotFoundError, lambda: api.chat.completions.create(model="no-such-model", messages=question))
        _raises(openai.BadRequestError, lambda: api.chat.completions.create(model=MODEL, messages=[]))
        _raises(
            openai.BadRequestError,
            lambda: api.chat.completions.create(model=MODEL, messages=question, extra_body={"no_such_field": 1}),
        )
        _raises(openai.PermissionDeniedError, lambda: api.completions.create(model=MODEL, prompt="Hello?"))


def _raises(kind: type[openai.APIStatusError], call: Callable[[], object]) -> None:
    with pytest.raises(kind) as raised:
        call()
    assert raised.value.code, "the error has no code"
    assert raised.value.request_id, "the error has no request id"


async def check_async(gateway: Gateway, question: str, expected: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.public}/v1", api_key=gateway.token()) as api:
        answer = await api.chat.completions.create(model=MODEL, messages=_messages(question), temperature=0)
        assert answer.choices[0].message.content == expected
        stream = await api.chat.completions.create(
            model=MODEL, messages=_messages(question), temperature=0, stream=True
        )
        parts = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(parts) == expected


def _messages(question: str) -> list[openai.types.chat.ChatCompletionMessageParam]:
    return [{"role": "user", "content": question}]
