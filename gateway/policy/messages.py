"""Chat messages and tools, once the table has let their fields through: what must agree, what a role may send, and what
the filters must know of them.

Errors name the top field only (`messages`, `tools`), never a value or a caller's own key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from filters.specificity.described import Speaker, Turn
from gateway.errors import BadField, OverLimit
from gateway.policy import media
from gateway.policy.body import Json
from gateway.policy.limits import RequestLimits
from gateway.types import Grant

_JSON_KEY: Final = re.compile(r'"((?:[^"\\]|\\.){1,64})"\s*:')

_SAID_BESIDE: Final = ("refusal", "reasoning", "reasoning_content")  # of earlier answers
GROUNDING_ROLES: Final = frozenset({"user", "tool"})


@dataclass(frozen=True, slots=True)
class Chat:
    """Messages as they go upstream, and what the filters must know of them."""

    messages: list[Json]
    own_texts: tuple[str, ...]
    turns: tuple[Turn, ...]
    json_keys: frozenset[str]
    tool_names: frozenset[str]
    chars: int  # of all texts

    @property
    def last_role(self) -> str:
        return str(self.messages[-1]["role"])

    @property
    def last_text(self) -> str:
        return "\n".join(texts_of(self.messages[-1]))


def read_messages(raw_messages: Sequence[Json], messages: Sequence[Json], grant: Grant) -> Chat:
    """`raw_messages` as the caller wrote them, `messages` what the table lets through of them.

    Raises BadField, FieldRefused or OverLimit, all with param `messages`.
    """
    if not messages:
        raise BadField(param="messages")
    if sum(_parts_of(message) for message in messages) > grant.request.messages:
        raise OverLimit(param="messages")
    if sum(len(list(_media_of(message.get("content")))) for message in messages) > grant.request.media:
        raise OverLimit(param="messages")
    messages = [_message(message, grant) for message in messages]
    calls = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    texts = [text for message in messages for text in texts_of(message)]
    chars = sum(map(len, texts)) + sum(len(call["arguments"]) for call in calls)
    if chars > grant.request.prompt_chars:
        raise OverLimit(param="messages")
    return Chat(
        messages=messages,
        own_texts=tuple(t for m in messages if m["role"] in GROUNDING_ROLES for t in texts_of(m) if t),
        turns=tuple(
            turn for entry, message in zip(raw_messages, messages, strict=True) for turn in _turns(entry, message)
        ),
        json_keys=frozenset(keys_in_texts([*texts, *(call["arguments"] for call in calls)])),
        tool_names=frozenset(call["name"] for call in calls),
        chars=chars,
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
        if "text" in part:
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


def _parts_of(message: Json) -> int:
    content = message.get("content")
    return len(content) if isinstance(content, list) else 1


def _message(message: Json, grant: Grant) -> Json:
    built: Json = {"role": message["role"], "content": _content(message.get("content"), grant)}
    for name in ("name", "tool_calls", "tool_call_id"):
        if name in message:
            built[name] = message[name]
    calls = built.get("tool_calls", ())
    if built["content"] is None and not calls:
        raise BadField(param="messages")
    for call in calls:
        call["type"] = "function"  # which clients may leave out
    names = [built.get("name", ""), *(call["function"]["name"] for call in calls)]
    if len(calls) > grant.request.tools or max(map(len, names)) > grant.request.name_chars:
        raise OverLimit(param="messages")
    return built


def _media_of(content: str | list[Json] | None) -> Iterator[Json]:
    if isinstance(content, list):
        yield from (part for part in content if part["type"] not in ("text", "refusal"))


def _content(content: str | list[Json] | None, grant: Grant) -> str | list[Json] | None:
    if content is None or isinstance(content, str):
        return content
    if not content:
        raise BadField(param="messages")
    for part in _media_of(content):
        media.check(part, grant.request)
    # an earlier refusal is a text like any other, and engines know no such part
    parts = [{"type": "text", "text": part["refusal"]} if part["type"] == "refusal" else part for part in content]
    # one part is sent as plain text, which every chat template takes
    return str(parts[0]["text"]) if len(parts) == 1 and "text" in parts[0] else parts


# ---- tools -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tools:
    tools: Sequence[Json]
    names: frozenset[str]
    json_keys: frozenset[str]
    schemas: Mapping[str, Json]  # of the arguments, by name
    chars: int  # as they are written; templates put them into the prompt


def read_tools(tools: Sequence[Json], limits: RequestLimits) -> Tools:
    """Raises BadField or OverLimit with param `tools`. An empty list is none."""
    functions = [tool["function"] for tool in tools]
    names = frozenset(function["name"] for function in functions)
    if len(tools) > limits.tools or any(len(name) > limits.name_chars for name in names):
        raise OverLimit(param="tools")
    if len(names) != len(tools):
        raise BadField(param="tools")
    schemas = {function["name"]: function["parameters"] for function in functions if "parameters" in function}
    for schema in schemas.values():
        check_schema_size(schema, limits, "tools")
    keys = frozenset(key for schema in schemas.values() for key in keys_in(schema))
    return Tools(tools, names, keys, schemas, _written_chars(tools) if tools else 0)


def check_schema_size(schema: Json, limits: RequestLimits, param: str) -> None:
    """Raises OverLimit."""
    if _written_chars(schema) > limits.schema_chars:
        raise OverLimit(param=param)


def _written_chars(value: Json | Sequence[Json]) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def read_tool_choice(choice: str | Json, names: frozenset[str]) -> str | Json | None:
    """None where there is nothing to choose from: "auto" and "none" then mean the same, and engines refuse them.

    Raises BadField with param `tool_choice`: a tool that the request does not define.
    """
    if isinstance(choice, str):
        if not names and choice == "required":
            raise BadField(param="tool_choice")
        return choice if names else None
    if choice["function"]["name"] not in names:
        raise BadField(param="tool_choice")
    return choice
