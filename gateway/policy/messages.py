"""Chat messages and tools: checked, and built anew from a list of keys. Nothing passes that is not named here.

Errors name the top field only (`messages`, `tools`), never a value or a caller's own key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from filters.specificity.described import Speaker, Turn
from gateway.errors import BadField, FieldRefused, UnknownField
from gateway.policy.body import Json

MAX_MESSAGES: Final = 2048  # templates walk them several times over
MAX_TOOLS: Final = 128  # OpenAI's
MAX_NAME_CHARS: Final = 64  # OpenAI's, of tool and participant names

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_JSON_KEY: Final = re.compile(r'"((?:[^"\\]|\\.){1,64})"\s*:')

# Per role the keys of a message that we forward. What clients copy back from an answer beside them is dropped.
_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"role", "content", "name"}),
    "developer": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "tool_calls"}),
    "tool": frozenset({"role", "content", "tool_call_id", "name"}),
}
_SAID_BESIDE: Final = ("refusal", "reasoning", "reasoning_content")  # of earlier answers
_DROPPED: Final = frozenset({"annotations", *_SAID_BESIDE})
_REFUSED: Final = frozenset({"audio", "function_call"})
GROUNDING_ROLES: Final = frozenset({"user", "tool"})


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages as they go upstream, and what the filters must know of them."""

    messages: list[Json]
    own_texts: tuple[str, ...]
    turns: tuple[Turn, ...]
    json_keys: frozenset[str]
    tool_names: frozenset[str]

    @property
    def last_role(self) -> str:
        return str(self.messages[-1]["role"])

    @property
    def last_text(self) -> str:
        return "\n".join(texts_of(self.messages[-1]))


def read_messages(value: Any) -> Chat:
    """Raises BadField, UnknownField or FieldRefused, all with param `messages`."""
    if type(value) is not list or not 1 <= len(value) <= MAX_MESSAGES:
        raise BadField(param="messages")
    messages = [_message(entry) for entry in value]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    texts = [text for message in messages for text in texts_of(message)]
    return Chat(
        messages=messages,
        own_texts=tuple(t for m in messages if m["role"] in GROUNDING_ROLES for t in texts_of(m) if t),
        turns=tuple(turn for entry, message in zip(value, messages, strict=True) for turn in _turns(entry, message)),
        json_keys=frozenset(keys_in_texts([*texts, *(call["arguments"] for call in calls)])),
        tool_names=frozenset(call["name"] for call in calls),
    )


def _turns(entry: Json, message: Json) -> Iterator[Turn]:
    """What a message says, and of an earlier answer what goes no further: its reasoning, its tools' arguments."""
    speaker = Speaker.CALLER if message["role"] in GROUNDING_ROLES else Speaker.OTHER
    if message["role"] == "assistant":
        speaker = Speaker.MODEL
        beside = [entry.get(key) for key in _SAID_BESIDE]
        beside += [call["function"]["arguments"] for call in message.get("tool_calls", ())]
        yield from (Turn(speaker, text) for text in beside if type(text) is str and text)
    yield from (Turn(speaker, text) for text in texts_of(message) if text)


def texts_of(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    for part in content if isinstance(content, list) else ():
        yield part["text"]


def keys_in_texts(texts: Sequence[str]) -> Iterator[str]:
    """What looks like a JSON key in a text: a quoted word before a colon."""
    for text in texts:
        if '"' in text:
            yield from _JSON_KEY.findall(text)


def keys_in(value: Any) -> Iterator[str]:
    """Every key of a JSON value, however deep: a schema's properties are among them."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield from current
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)


# ---- one message -----------------------------------------------------------------------------------------------------


def _message(value: Any) -> Json:
    role = value.get("role") if type(value) is dict else None
    if type(role) is not str or role not in _KEYS:
        raise BadField(param="messages")
    _check_keys(value, _KEYS[role])
    built: Json = {"role": role, "content": _content(value.get("content"), empty=role == "assistant")}
    for key, read in _OPTIONAL.items():
        if value.get(key) not in (None, []):
            built[key] = read(value[key])
    if built["content"] is None and not built.get("tool_calls"):
        raise BadField(param="messages")
    return built


def _check_keys(value: Json, known: frozenset[str]) -> None:
    for key in value.keys() - known - _DROPPED:
        if key in _REFUSED:
            if value[key] is not None:
                raise FieldRefused(param="messages")
        elif key != "tool_calls" or value[key]:  # some clients write an empty one into every message
            raise UnknownField(param="messages")


def _content(value: Any, *, empty: bool) -> str | list[Json] | None:
    if value is None and empty:
        return None
    if type(value) is str:
        return value
    if type(value) is not list or not value:
        raise BadField(param="messages")
    parts = [_part(part) for part in value]
    # one part is sent as plain text, which every chat template takes
    return parts[0]["text"] if len(parts) == 1 else parts


def _part(value: Any) -> Json:
    if type(value) is not dict or type(value.get("type")) is not str:
        raise BadField(param="messages")
    if value["type"] != "text":  # images, audio, files: they would be fetched, and the filters can't read them
        raise FieldRefused(param="messages")
    if type(value.get("text")) is not str or value.keys() - {"type", "text", "annotations"}:
        raise BadField(param="messages")
    return {"type": "text", "text": value["text"]}


def _name(value: Any) -> str:
    if type(value) is not str or not _NAME.fullmatch(value):
        raise BadField(param="messages")
    return value


def _call_id(value: Any) -> str:
    if type(value) is not str or not 1 <= len(value) <= 2 * MAX_NAME_CHARS:
        raise BadField(param="messages")
    return value


def _calls(value: Any) -> list[Json]:
    if type(value) is not list or len(value) > MAX_TOOLS:
        raise BadField(param="messages")
    return [_call(call) for call in value]


def _call(value: Any) -> Json:
    function = value.get("function") if type(value) is dict else None
    if type(function) is not dict or value.get("type", "function") != "function":
        raise BadField(param="messages")
    if value.keys() - {"id", "type", "function", "index"} or function.keys() - {"name", "arguments"}:
        raise UnknownField(param="messages")
    if type(function.get("arguments")) is not str:
        raise BadField(param="messages")
    named = {"name": _name(function.get("name")), "arguments": function["arguments"]}
    return {"id": _call_id(value.get("id")), "type": "function", "function": named}


_OPTIONAL: Final[Mapping[str, Callable[[Any], Any]]] = {"name": _name, "tool_calls": _calls, "tool_call_id": _call_id}


# ---- tools -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tools:
    tools: list[Json]
    names: frozenset[str]
    json_keys: frozenset[str]
    schemas: Mapping[str, Json]  # of the arguments, by name


def read_tools(value: Any) -> Tools:
    """Raises BadField or UnknownField with param `tools`. An empty list is none."""
    if type(value) is not list or len(value) > MAX_TOOLS:
        raise BadField(param="tools")
    tools = [_tool(entry) for entry in value]
    names = frozenset(tool["function"]["name"] for tool in tools)
    if len(names) != len(tools):
        raise BadField(param="tools")
    functions = [tool["function"] for tool in tools]
    schemas = {function["name"]: function["parameters"] for function in functions if "parameters" in function}
    return Tools(tools, names, frozenset(key for schema in schemas.values() for key in keys_in(schema)), schemas)


def read_tool_choice(value: Any, names: frozenset[str]) -> str | Json:
    """Raises BadField with param `tool_choice`: no known word, or a tool that the request does not define."""
    if value in ("none", "auto", "required") and type(value) is str:
        return value
    function = value.get("function") if type(value) is dict and value.get("type") == "function" else None
    name = function.get("name") if type(function) is dict else None
    if type(name) is not str or name not in names:
        raise BadField(param="tool_choice")
    return {"type": "function", "function": {"name": name}}


def _tool(value: Any) -> Json:
    function = value.get("function") if type(value) is dict else None
    if type(function) is not dict or value.get("type") != "function":
        raise BadField(param="tools")
    if value.keys() - {"type", "function"} or function.keys() - {"name", "description", "parameters", "strict"}:
        raise UnknownField(param="tools")
    name = function.get("name")
    if type(name) is not str or not _NAME.fullmatch(name):
        raise BadField(param="tools")
    return {"type": "function", "function": {"name": name, **_tool_details(function)}}


def _tool_details(function: Json) -> Json:
    details = {key: function[key] for key in ("description", "parameters", "strict") if function.get(key) is not None}
    kinds = {"description": str, "parameters": dict, "strict": bool}
    if any(type(value) is not kinds[key] for key, value in details.items()):
        raise BadField(param="tools")
    return details
