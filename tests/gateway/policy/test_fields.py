"""The table of fields at every depth: complete against the clients' own types; a role's word within what it permits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from openai.types import chat as types
from openai.types.chat import chat_completion_assistant_message_param as assistant
from openai.types.chat import chat_completion_content_part_image_param as image
from openai.types.chat import chat_completion_content_part_input_audio_param as audio
from openai.types.chat import chat_completion_content_part_param as parts
from openai.types.chat import completion_create_params as chat_params
from openai.types.completion_create_params import CompletionCreateParamsStreaming as Legacy
from openai.types.shared_params import FunctionDefinition, ResponseFormatJSONObject, ResponseFormatText
from openai.types.shared_params import response_format_json_schema as json_schema

from gateway.errors import BadField, CallerError, FieldRefused, OverLimit, UnknownField
from gateway.policy.fields import PATHS, TABLES, Rule, Shape
from gateway.policy.limits import RequestLimits
from gateway.policy.parameters import admit, read
from gateway.types import Endpoint, FieldAction, Plan
from tests.gateway.support import CANARY, forwarded, make_grant

CHAT, COMPLETIONS = TABLES[Endpoint.CHAT], TABLES[Endpoint.COMPLETIONS]


def inside(rules: Mapping[str, Rule], *path: str) -> Shape:
    """The shape under these fields; `=name` picks a variant."""
    shape = None
    for step in path:
        if step.startswith("="):
            rules = shape.variants[step[1:]] if shape else rules
            continue
        shape = rules[step].inner
        assert shape is not None
        rules = next(iter(shape.variants.values()))
    assert shape is not None
    return shape


def names(shape: Shape, variant: str = "") -> set[str]:
    return set(shape.variants[variant])


MESSAGES = inside(CHAT, "messages")
TYPED: list[tuple[type, set[str]]] = [
    (chat_params.CompletionCreateParamsStreaming, set(CHAT)),
    (Legacy, set(COMPLETIONS)),
    (types.ChatCompletionStreamOptionsParam, names(inside(CHAT, "stream_options"))),
    (types.ChatCompletionSystemMessageParam, names(MESSAGES, "system")),
    (types.ChatCompletionDeveloperMessageParam, names(MESSAGES, "developer")),
    (types.ChatCompletionUserMessageParam, names(MESSAGES, "user")),
    (types.ChatCompletionToolMessageParam, names(MESSAGES, "tool")),
    (assistant.ChatCompletionAssistantMessageParam, names(MESSAGES, "assistant")),
    (parts.ChatCompletionContentPartTextParam, names(inside(CHAT, "messages", "=user", "content"), "text")),
    (image.ChatCompletionContentPartImageParam, names(inside(CHAT, "messages", "=user", "content"), "image_url")),
    (
        audio.ChatCompletionContentPartInputAudioParam,
        names(inside(CHAT, "messages", "=user", "content"), "input_audio"),
    ),
    (parts.File, names(inside(CHAT, "messages", "=user", "content"), "file")),
    (image.ImageURL, names(inside(CHAT, "messages", "=user", "content", "=image_url", "image_url"))),
    (audio.InputAudio, names(inside(CHAT, "messages", "=user", "content", "=input_audio", "input_audio"))),
    (parts.FileFile, names(inside(CHAT, "messages", "=user", "content", "=file", "file"))),
    (
        types.ChatCompletionMessageFunctionToolCallParam,
        names(inside(CHAT, "messages", "=assistant", "tool_calls")),
    ),
    (types.ChatCompletionFunctionToolParam, names(inside(CHAT, "tools"))),
    (FunctionDefinition, names(inside(CHAT, "tools", "function"))),
    (types.ChatCompletionNamedToolChoiceParam, names(inside(CHAT, "tool_choice"))),
    (ResponseFormatText, names(inside(CHAT, "response_format"), "text")),
    (ResponseFormatJSONObject, names(inside(CHAT, "response_format"), "json_object")),
    (json_schema.ResponseFormatJSONSchema, names(inside(CHAT, "response_format"), "json_schema")),
    (json_schema.JSONSchema, names(inside(CHAT, "response_format", "=json_schema", "json_schema"))),
]


@pytest.mark.parametrize(("typed", "known"), TYPED, ids=[typed.__name__ for typed, _ in TYPED])
def test_every_field_that_the_installed_client_can_send_is_known(typed: type, known: set[str]) -> None:
    sendable = typed.__required_keys__ | typed.__optional_keys__  # type: ignore[attr-defined]
    assert len(sendable) > 0
    assert not sendable - known


# ---- a role's word ---------------------------------------------------------------------------------------------------

TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {}, "strict": True}}
SCHEMA = {"name": "s", "description": "d", "schema": {"type": "object"}, "strict": True}
# A request in which every object of the table stands that an ordinary role may send.
WHOLE: dict[str, Any] = {
    "model": "assistant",
    "stream": True,
    "stream_options": {"include_usage": True, "include_obfuscation": False},
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Hello"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "found"},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": SCHEMA},
}


def plan_of(body: Mapping[str, Any], endpoint: Endpoint = Endpoint.CHAT, **grant: Any) -> Plan:
    return admit(read(json.dumps(body).encode(), endpoint), make_grant(endpoint=endpoint, **grant))


def refusal(body: Mapping[str, Any], **grant: Any) -> CallerError:
    with pytest.raises(CallerError) as refused:
        plan_of(body, **grant)
    assert CANARY not in json.dumps(refused.value.body()) + str(refused.value) + refused.value.reason
    return refused.value


def objects(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where objects stand that the table describes."""
    if isinstance(value, dict):
        if path and path[-1] in ("schema", "parameters"):
            return
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from objects(entry, (*path, key))


def put(value: Any, path: tuple[Any, ...], entry: Any) -> Any:
    """A copy in which `entry` stands under this path."""
    if not path:
        return entry
    copy = value.copy()
    copy[path[0]] = put(value[path[0]] if isinstance(value, list) or path[0] in value else None, path[1:], entry)
    return copy


@pytest.mark.parametrize("path", list(objects(WHOLE)), ids=str)
def test_an_unknown_key_is_refused_at_every_depth(path: tuple[Any, ...]) -> None:
    assert plan_of(WHOLE).stream
    error = refusal(put(WHOLE, (*path, CANARY), "x"))
    assert (type(error), error.param) == (UnknownField, path[0] if path else None)
    assert plan_of(put(WHOLE, (*path, CANARY), None)) == plan_of(WHOLE)  # null asks for nothing


@pytest.mark.parametrize("path", [path for path in objects(WHOLE) if path], ids=str)
@pytest.mark.parametrize("other", [CANARY, 7, [CANARY], True])
def test_what_should_be_an_object_and_is_none_is_refused(path: tuple[Any, ...], other: Any) -> None:
    assert refusal(put(WHOLE, path, other)).param == path[0]


VALUES = {"temperature": 0.5, "user": "u", "logit_bias": {"5": 1}, "top_logprobs": 3, "max_tokens": 5, "stop": ["x"]}


@pytest.mark.parametrize("field", VALUES)
@pytest.mark.parametrize("action", FieldAction)
def test_a_role_says_what_becomes_of_a_field_as_far_as_the_field_permits(field: str, action: FieldAction) -> None:
    rule, body = CHAT[field], {"model": "assistant", "messages": WHOLE["messages"], field: VALUES[field]}
    grant = {"fields": {field: action}}
    effective = action if action in rule.permits else rule.action
    if effective is FieldAction.REFUSE:
        error = refusal(body, **grant)
        assert (type(error), error.param) == (FieldRefused, field)
    elif effective is FieldAction.IGNORE:
        plain = {name: value for name, value in body.items() if name != field}
        assert plan_of(body, **grant).body == plan_of(plain).body
    else:
        plan = plan_of(body, **grant)
        assert plan.body[field] == VALUES[field] if field != "stop" else plan.stop == ("x",)


def test_a_role_may_say_something_of_what_lies_deeper() -> None:
    path = "response_format.json_schema"
    assert refusal(WHOLE, fields={path: FieldAction.REFUSE}).param == "response_format"
    assert plan_of(WHOLE | {"response_format": {"type": "json_object"}}, fields={path: FieldAction.REFUSE}).json_mode
    plain = plan_of(WHOLE, fields={"tools.function.strict": FieldAction.IGNORE}).body["tools"]
    assert "strict" not in plain[0]["function"]


def test_what_no_request_is_without_is_not_for_roles_to_say() -> None:
    for path in ("model", "messages", "stream", "prompt", "messages.role", "tools.function.name"):
        assert not PATHS[path].permits
    for path in ("cache_salt", "priority", "request_id", "kv_transfer_params", "top_logprobs", "include_reasoning"):
        assert FieldAction.FORWARD not in PATHS[path].permits


def test_structured_outputs_are_checked_inside_for_roles_that_have_them() -> None:
    given = {"fields": forwarded("structured_outputs", "structured_outputs.whitespace_pattern")}
    assert plan_of(put(WHOLE, ("structured_outputs",), {"regex": "a|b"}), **given).body["structured_outputs"]
    for inner, kind in (
        ({"regex": "a", CANARY: 1}, UnknownField),
        ({"regex": "a", "whitespace_pattern": CANARY}, FieldRefused),
        ({"choice": CANARY}, BadField),
        ({"json": CANARY}, BadField),
    ):
        assert type(refusal(put(WHOLE, ("structured_outputs",), inner), **given)) is kind


# ---- how much --------------------------------------------------------------------------------------------------------


def said(*contents: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content} for content in contents]


def tools(*named: str, **function: Any) -> list[dict[str, Any]]:
    return [{"type": "function", "function": {"name": name, **function}} for name in named]


def answer_schema(**inner: Any) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": {}, **inner}}


OVER: list[tuple[RequestLimits, str, Any, Any]] = [  # a limit, the field, what is within it and what is over
    (RequestLimits(messages=2), "messages", said("a", "b"), said("a", "b", "c")),
    (
        RequestLimits(messages=2),
        "messages",
        said([{"type": "text", "text": "a"}] * 2),
        said([{"type": "text", "text": "a"}] * 3),
    ),
    (RequestLimits(prompt_chars=5), "messages", said("abc", "de"), said("abc", "def")),
    (RequestLimits(prompt_chars=120), "tools", tools("a", description="b" * 40), tools("a", description="b" * 100)),
    (RequestLimits(stops=1), "stop", ["a"], ["a", "b"]),
    (RequestLimits(stop_chars=2), "stop", "ab", "abc"),
    (RequestLimits(tools=1), "tools", tools("a"), tools("a", "b")),
    (RequestLimits(tools=0), "tools", [], tools("a")),
    (RequestLimits(name_chars=3), "tools", tools("abc"), tools("abcd")),
    (RequestLimits(name_chars=3), "response_format", answer_schema(name="abc"), answer_schema(name="abcd")),
    (
        RequestLimits(schema_chars=12),
        "tools",
        tools("a", parameters={"type": "x"}),
        tools("a", parameters={"type": "xy"}),
    ),
    (
        RequestLimits(schema_chars=12),
        "response_format",
        answer_schema(schema={"a": "1234"}),
        answer_schema(schema={"a": "1234567"}),
    ),
]


@pytest.mark.parametrize(("limits", "field", "within", "over"), OVER)
def test_what_is_over_a_limit_is_refused_by_name(limits: RequestLimits, field: str, within: Any, over: Any) -> None:
    body = {"model": "assistant", "messages": said("a"), field: within}
    assert plan_of(body, request=limits)
    error = refusal(body | {field: over}, request=limits)
    assert (type(error), error.param, error.status) == (OverLimit, field, 400)
    assert error.body()["error"]["code"] == "above_limit"  # type: ignore[index]


def test_a_prompt_and_names_in_messages_have_the_same_limits() -> None:
    body = {"model": "assistant", "prompt": "abcdef"}
    with pytest.raises(OverLimit):
        plan_of(body, Endpoint.COMPLETIONS, request=RequestLimits(prompt_chars=5))
    calls = [{"id": "c", "function": {"name": "long_name", "arguments": "{}"}}]
    for message in ({"role": "user", "content": "a", "name": "long_name"}, {"role": "assistant", "tool_calls": calls}):
        body = {"model": "assistant", "messages": [message, *said("a")]}
        assert plan_of(body)
        assert type(refusal(body, request=RequestLimits(name_chars=8))) is OverLimit


def test_a_call_without_a_type_is_a_functions() -> None:
    calls = [{"id": "c", "function": {"name": "look", "arguments": "{}"}, "index": 0}]
    plan = plan_of({"model": "assistant", "messages": [{"role": "assistant", "tool_calls": calls}, *said("a")]})
    (call,) = plan.body["messages"][0]["tool_calls"]
    assert call == {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}


def test_an_earlier_refusal_in_parts_is_a_text() -> None:
    parts = [{"type": "text", "text": "Well."}, {"type": "refusal", "refusal": "I can't."}]
    plan = plan_of({"model": "assistant", "messages": [{"role": "assistant", "content": parts}, *said("Why?")]})
    assert plan.body["messages"][0]["content"] == [parts[0], {"type": "text", "text": "I can't."}]
    assert [turn.raw_text for turn in plan.turns] == ["Well.", "I can't.", "Why?"]
