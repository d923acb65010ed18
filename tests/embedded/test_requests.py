"""Bodies that are refused, and how: always an answer of 4xx, whatever comes."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.embedded.errors import ApiError
from gateway.embedded.requests import read_chat, read_legacy

CHAT: dict[str, Any] = {"messages": [{"role": "user", "content": "x"}]}
LEGACY: dict[str, Any] = {"prompt": "x"}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "messages",
    "prompt",
    "model",
    "n",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "logit_bias",
    "stop_token_ids",
    "ignore_eos",
    "min_tokens",
    "prompt_logprobs",
    "logprobs",
    "top_logprobs",
    "max_tokens",
    "max_completion_tokens",
    "tools",
    "tool_choice",
    "echo",
    "response_format",
    "chat_template_kwargs",
]


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server, timeout=60) as made:
        yield made


@settings(max_examples=150, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4))
def test_any_body_is_answered(client: httpx.Client, fields: dict[str, Any]) -> None:
    for path, least in (("/v1/chat/completions", CHAT), ("/v1/completions", LEGACY)):
        body = json.dumps({**least, "max_tokens": 1, "temperature": 0, **fields}).encode()
        answer = client.post(path, content=body)
        assert answer.status_code in (200, 400, 404), (answer.text, body)
        if answer.status_code != 200:
            assert list(answer.json()["error"]) == ["message", "type", "param", "code"]


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=40))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (read_chat, read_legacy):
        with pytest.raises(ApiError):
            read(body)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "1" * 10_000, '{"messages": "\\ud800"}', '"\\udfff"', '{"model": "\\uD83D"}']
)
def test_odd_json_is_refused(text: str) -> None:
    with pytest.raises(ApiError):
        read_chat(text.encode())


def test_a_whole_surrogate_pair_is_text() -> None:
    body = b'{"messages": [{"role": "user", "content": "\\ud83d\\ude00"}]}'
    assert read_chat(body).messages[0].content == "\N{GRINNING FACE}"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use_beam_search", True),
        ("response_format", {"type": "json_object"}),
        ("structured_outputs", {"regex": "a"}),
        ("allowed_token_ids", [1]),
        ("bad_words", ["a"]),
        ("truncate_prompt_tokens", 5),
        ("logprob_token_ids", [1]),
    ],
)
def test_what_is_not_built_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(ApiError, match=field) as caught:
        read_chat(json.dumps({**CHAT, field: value}).encode())
    assert caught.value.body["error"]["param"] == field


def test_neutral_values_of_it_and_unknown_fields_are_ignored() -> None:
    neutral = {
        "use_beam_search": False,
        "response_format": {"type": "text"},
        "bad_words": [],
        "allowed_token_ids": None,
        "priority": 3,
        "cache_salt": "s",
        "user": "u",
        "store": False,
        "metadata": {},
        "parallel_tool_calls": True,
    }
    assert read_chat(json.dumps({**CHAT, **neutral}).encode()).n == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": "x"}, "body.messages"),
        ({"messages": [{"role": 1}]}, "body.messages.0.role"),
        ({**CHAT, "temperature": "hot"}, "body.temperature"),
        ({**CHAT, "stop": 5}, "body.stop"),
        ({**CHAT, "seed": 2**64}, "body.seed"),
    ],
)
def test_a_wrong_type_is_named_by_its_path(body: dict[str, Any], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_chat(json.dumps(body).encode())
    assert caught.value.body["error"]["param"] == param
    assert caught.value.body["error"]["type"] == "Bad Request"
