"""Reading an engine's frames: recorded shapes, and what a hostile one could send."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from filters.events import Channel, Ending, Field, RawText, RawTokens
from gateway.errors import UpstreamBroken, UpstreamError
from gateway.upstream.frames import Ended, FrameReader, Item, Usage

CONTENT = Channel(0, Field.CONTENT)
BOTH = pytest.mark.parametrize("evidence", [True, False])


def chat(delta: dict[str, Any], index: int = 0, **more: Any) -> bytes:
    """A chat frame as vLLM writes it."""
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None, "token_ids": None} | more
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return json.dumps(head | {"choices": [choice], "prompt_token_ids": None}).encode()


def legacy(text: str, index: int = 0, **more: Any) -> bytes:
    """A legacy completion's frame."""
    choice = {"index": index, "text": text, "logprobs": None, "finish_reason": None, "stop_reason": None} | more
    return json.dumps({"id": "cmpl-1", "object": "text_completion", "choices": [choice], "usage": None}).encode()


def scored(text: str, token: int, logprob: float) -> bytes:
    """A chat frame with evidence."""
    entry = {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}
    return chat({"content": text}, logprobs={"content": [entry]}, token_ids=[token])


def read(*events: bytes, evidence: bool = True) -> list[Item]:
    return FrameReader(evidence=evidence).read(events)


@BOTH
def test_neighbouring_text_is_one_item(evidence: bool) -> None:
    frames = [chat({"role": "assistant", "content": ""}), chat({"content": "Good "}), chat({"content": "day"})]
    assert read(*frames, evidence=evidence) == [RawText(CONTENT, "Good day")]


def test_tokens_come_no_later_than_their_text() -> None:
    said = read(scored("a", 7, -0.5), scored("b", 8, -1.5))
    assert said == [RawTokens(0, (7,), (-0.5,)), RawTokens(0, (8,), (-1.5,)), RawText(CONTENT, "ab")]


def test_without_evidence_tokens_are_not_looked_at() -> None:
    reader = FrameReader(evidence=False)
    assert reader.read([scored("a", 7, -0.5)]) == [RawText(CONTENT, "a")]
    assert (reader.prompt, reader.generated) == ([], 0)


def test_legacy_tokens() -> None:
    frame = legacy("ab", logprobs={"token_logprobs": [None, -2.0], "tokens": ["a", "b"]}, token_ids=[1, 2])
    tokens, text = read(frame)
    assert isinstance(tokens, RawTokens)
    assert tokens.logprobs is not None
    assert math.isnan(tokens.logprobs[0])
    assert tokens.logprobs[1] == -2.0
    assert text == RawText(Channel(0, Field.TEXT), "ab")


@BOTH
@pytest.mark.parametrize(
    ("delta", "channel"),
    [
        ({"content": "x"}, Channel(0, Field.CONTENT)),
        ({"reasoning": "x"}, Channel(0, Field.REASONING)),
        ({"reasoning_content": "x"}, Channel(0, Field.REASONING)),
        ({"refusal": "x"}, Channel(0, Field.REFUSAL)),
        ({"tool_calls": [{"index": 2, "function": {"name": "x"}}]}, Channel(0, Field.TOOL_NAME, 2)),
        ({"tool_calls": [{"index": 2, "function": {"arguments": "x"}}]}, Channel(0, Field.TOOL_ARGUMENTS, 2)),
        ({"function_call": {"arguments": "x"}}, Channel(0, Field.TOOL_ARGUMENTS)),
    ],
    ids=str,
)
def test_every_field_that_holds_text(delta: dict[str, Any], channel: Channel, evidence: bool) -> None:
    assert read(chat(delta), evidence=evidence) == [RawText(channel, "x")]


def test_channels_and_choices_stay_apart() -> None:
    events = [chat({"reasoning": "r", "content": "a"}), chat({"content": "b"}, index=1), chat({"content": "c"})]
    assert FrameReader(evidence=True, choices=2).read(events) == [
        RawText(Channel(0, Field.REASONING), "r"),
        RawText(CONTENT, "a"),
        RawText(Channel(1, Field.CONTENT), "b"),
        RawText(CONTENT, "c"),
    ]


@pytest.mark.parametrize("index", [-1, 1, 7])
def test_a_choice_that_nobody_asked_for_is_no_frame(index: int) -> None:
    with pytest.raises(UpstreamBroken):
        read(chat({"content": "b"}, index=index))


@BOTH
def test_text_comes_before_the_end_that_came_with_it(evidence: bool) -> None:
    said = read(chat({"content": "x"}), chat({"content": "y"}, finish_reason="stop"), evidence=evidence)
    assert said == [RawText(CONTENT, "xy"), Ended(0, Ending.STOP)]


@pytest.mark.parametrize(
    ("reason", "ending"),
    [("stop", Ending.STOP), ("length", Ending.LENGTH), ("tool_calls", Ending.TOOL_CALLS),
     ("function_call", Ending.TOOL_CALLS), ("content_filter", Ending.CONTENT_FILTER)],
)  # fmt: skip
def test_endings(reason: str, ending: Ending) -> None:
    assert read(chat({}, finish_reason=reason)) == [Ended(0, ending)]


@pytest.mark.parametrize("reason", ["abort", "error", "", "STOP"])
def test_an_unknown_ending_breaks(reason: str) -> None:
    with pytest.raises(UpstreamBroken, match="finish_reason"):
        read(chat({}, finish_reason=reason))


def test_a_fallback_speaks_for_its_choice() -> None:
    said = FrameReader(evidence=False, only=3).read([chat({"content": "x"}), chat({}, finish_reason="stop")])
    assert said == [RawText(Channel(3, Field.CONTENT), "x"), Ended(3, Ending.STOP)]


def test_what_is_remembered() -> None:
    reader = FrameReader(evidence=True)
    first = json.loads(chat({"role": "assistant"})) | {"prompt_token_ids": [1, 2, 3]}
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    reader.read([json.dumps(first).encode(), scored("a", 7, -0.5)])
    reader.read([scored("b", 8, -0.5), json.dumps(usage).encode()])
    assert (reader.prompt, reader.generated) == ([1, 2, 3], 2)
    assert reader.usage == Usage(3, 2)


def test_the_prompt_of_a_legacy_completion() -> None:
    reader = FrameReader(evidence=True)
    reader.read([legacy("a", prompt_token_ids=[4, 5])])
    assert reader.prompt == [4, 5]


@BOTH
@pytest.mark.parametrize(
    "event",
    [
        b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"choices":[{"delta":{"content":"\xff"}}]}',
        b'{"choices":{}}', b'{"choices":[1]}', b'{"choices":[{"index":"0"}]}', b'{"choices":[{"index":0.5}]}',
        b'{"choices":[{"delta":{"content":1}}]}', b'{"choices":[{"delta":{"content":["x"]}}]}',
        b'{"choices":[{"delta":"x"}]}', b'{"choices":[{"text":{}}]}', b'{"choices":[{"finish_reason":1}]}',
        b'{"choices":[{"delta":{"tool_calls":{}}}]}', b'{"choices":[{"delta":{"tool_calls":[{"function":"f"}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":null}]}}]}', b'{"usage":[]}', b'{"choices":[]} {"choices":[]}',
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_frame_breaks(event: bytes, evidence: bool) -> None:
    with pytest.raises(UpstreamBroken, match="frame"):
        read(event, evidence=evidence)


@pytest.mark.parametrize(
    "event",
    [
        b'{"choices":[{"token_ids":["1"]}]}', b'{"choices":[{"logprobs":[]}]}', b'{"prompt_token_ids":"1"}',
        b'{"choices":[{"logprobs":{"content":[{"logprob":"-1"}]}}]}', b'{"choices":[{"logprobs":{"content":[{}]}}]}',
    ],
    ids=repr,
)  # fmt: skip
def test_broken_evidence_breaks(event: bytes) -> None:
    with pytest.raises(UpstreamBroken, match="frame"):
        read(event)


@BOTH
@pytest.mark.parametrize("error", [{"message": "boom", "code": 500}, "boom", {}, False, 0, []])
def test_an_error_in_band(error: object, evidence: bool) -> None:
    with pytest.raises(UpstreamError, match="in_band") as caught:
        read(chat({"content": "x"}), json.dumps({"error": error}).encode(), evidence=evidence)
    assert "boom" not in str(caught.value)


@BOTH
def test_no_error(evidence: bool) -> None:
    assert read(b'{"error":null,"choices":[]}', evidence=evidence) == []
