"""Tool calls and JSON mode as the official client reads them: in pieces, valid at the end, by the caller's schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import openai
import pytest

from tests.support.clients import client
from tests.support.gateways import MODEL, Gateway
from tests.support.scripted import SURPRISED, Engine, Frames, Pause, Raw, Step

MAIL = "vexlo.trund47@kipmora.example"
NOTE = "The parcel is at the harbour, dear friend. It waits for you until the evening ferry leaves. "
SAID = json.dumps({"to": MAIL, "count": 13812345678, "note": NOTE * 2 + "Good night."})
TOLD = {"to": "[EMAIL_1]", "count": 1, "note": NOTE * 2 + "Good night."}
SCHEMA = {
    "type": "object",
    "properties": {
        "to": {"type": "string", "maxLength": 40},
        "count": {"type": "integer", "minimum": 1},
        "note": {"type": "string"},
    },
    "required": ["to", "count", "note"],
    "additionalProperties": False,
}
ASKED: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": "Send it, please."}]}
TOOLS: dict[str, Any] = {
    "tools": [
        {"type": "function", "function": {"name": "send", "parameters": SCHEMA, "strict": True}},
        {"type": "function", "function": {"name": "ring", "parameters": {"type": "object", "properties": {}}}},
    ]
}
FORMAT: dict[str, Any] = {
    "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA, "strict": True}}
}


@pytest.fixture
def api(front: Gateway) -> Iterator[openai.OpenAI]:
    with client(front) as api:
        yield api


def pieces(text: str) -> Iterator[Step]:
    """Each in a read of its own."""
    for at in range(0, len(text), 40):
        yield text[at : at + 40]
        yield Pause(0.02)


def calls(said: str, *, then_rings: bool = False) -> Sequence[Any]:
    """Two calls as vLLM streams them: the name once, then the arguments piece by piece."""
    first = {"index": 0, "id": "x", "type": "function", "function": {"name": "send", "arguments": ""}}
    frames: list[Any] = [{"tool_calls": [first]}]
    frames += [
        {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} if isinstance(piece, str) else piece
        for piece in pieces(said)
    ]
    second = {"index": 1, "id": "y", "type": "function", "function": {"name": "ring", "arguments": "{}"}}
    return [*frames, *([{"tool_calls": [second]}] if then_rings else [])]


def test_arguments_come_in_pieces_and_their_sum_is_the_whole(api: openai.OpenAI, engine: Engine) -> None:
    engine.tuned, engine.finish = calls(SAID, then_rings=True), "tool_calls"
    whole = api.chat.completions.create(**ASKED, **TOOLS).choices[0]
    engine.tuned = calls(SAID, then_rings=True)
    deltas = [
        call
        for chunk in api.chat.completions.create(**ASKED, **TOOLS, stream=True)
        for call in chunk.choices[0].delta.tool_calls or ()
    ]
    assert [call.function.name for call in deltas if call.function.name] == ["send", "ring"]
    assert [call.id is not None for call in deltas] == [call.function.name is not None for call in deltas]
    arguments = [call.function.arguments or "" for call in deltas if call.index == 0]
    assert len(arguments) > 5
    assert json.loads("".join(arguments)) == TOLD
    assert whole.finish_reason == "tool_calls"
    assert [call.function.arguments for call in whole.message.tool_calls or ()] == ["".join(arguments), "{}"]


def test_the_clients_helper_takes_the_pieces(api: openai.OpenAI, engine: Engine) -> None:
    engine.tuned, engine.finish = calls(SAID, then_rings=True), "tool_calls"
    with api.chat.completions.stream(**ASKED, **TOOLS) as helper:
        grown = [event.arguments for event in helper if event.type == "tool_calls.function.arguments.delta"]
        (choice,) = helper.get_final_completion().choices
    assert len(grown) > 5
    first, second = choice.message.tool_calls or ()
    assert (first.function.name, json.loads(first.function.arguments)) == ("send", TOLD)
    assert (second.function.name, second.function.arguments) == ("ring", "{}")


def test_json_mode_streams_and_keeps_its_schema(api: openai.OpenAI, engine: Engine) -> None:
    engine.tuned = list(pieces(SAID))
    whole = api.chat.completions.create(**ASKED, **FORMAT).choices[0].message.content
    stream = api.chat.completions.create(**ASKED, **FORMAT, stream=True)
    parts = [chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content]
    assert len(parts) > 5
    assert whole == "".join(parts)
    assert json.loads(whole or "") == TOLD


@pytest.mark.parametrize("broken", [SAID[:-1] + ",}", SAID + "{}", SAID.replace(":", "", 1)])
def test_broken_json_ends_with_content_filter(api: openai.OpenAI, engine: Engine, broken: str) -> None:
    engine.tuned = (broken,)
    (choice,) = api.chat.completions.create(**ASKED, **FORMAT).choices
    assert choice.finish_reason == "content_filter"
    assert "trund" not in str(choice)
    assert "1381" not in str(choice)


def test_an_enum_of_candidates_tells_nothing(api: openai.OpenAI, engine: Engine) -> None:
    candidates = [f"138{at:08d}" for at in range(12_345_000, 12_346_000)]
    schema = {"type": "object", "properties": {"phone": {"type": "string", "enum": candidates}}}
    asked = {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}}
    engine.tuned = (json.dumps({"phone": candidates[678]}),)
    with pytest.raises(openai.BadRequestError) as refused:
        api.chat.completions.create(**ASKED, **asked)
    assert refused.value.code == "unsupported_schema"
    assert "138" not in refused.value.response.text
    assert not engine.requests


def test_a_fallback_in_json_mode_is_asked_for_json(engine: Engine, api: openai.OpenAI) -> None:
    frames = Frames({"logprobs": True}, chat=True)
    thought = [Raw(frames.delta({"reasoning": char}, char)) for char in f"Her mail is {MAIL}. So I"]
    engine.tuned, engine.base, engine.score = [*thought, '{"to": "x"}'], ('{"to": "nobody"}',), SURPRISED
    (choice,) = api.chat.completions.create(**ASKED, **FORMAT).choices
    assert (choice.message.content, choice.finish_reason) == ('{"to": "nobody"}', "stop")
    assert [request["response_format"] for request in engine.asked("base")] == [FORMAT["response_format"]]
