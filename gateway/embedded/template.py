"""Chat templates, rendered as transformers renders them and with the messages normalised as vLLM does before that."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from gateway.embedded.errors import ApiError, refuse

Message = dict[str, Any]

# Appended to the message to continue, so that the rendered text can be cut where it ends; its last space shows whether
# the template trims.
_MARK = "CONTINUE_FINAL_MESSAGE_TAG "


class ChatTemplate:
    """One model's template.

    Args:
        source: the Jinja source.
        specials: bos_token, eos_token and the like, which templates write out.
    """

    def __init__(self, source: str, specials: Mapping[str, str]) -> None:
        environment = _environment()
        self._source = source
        self._specials = specials
        self._compiled = environment.from_string(source)
        self._wants_parts = _loops_over_content(environment.parse(source))

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: list[dict[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        extra: Mapping[str, Any] | None = None,
    ) -> str:
        """The prompt's text.

        Args:
            messages: as in the request; text only, whole or in parts.
            tools: as in the request.
            add_generation_prompt: end with the opening of an assistant's turn.
            continue_final_message: end inside the last message instead of after it.
            extra: more variables for the template (`chat_template_kwargs`).

        Raises:
            ApiError: 400 where the template refuses, a part is not text, or the last message cannot be continued.
        """
        if not messages:
            raise ApiError("Cannot apply chat template to an empty conversation. Provide at least one message.")
        chat = self._normalise(messages)
        ending = _mark_end(chat) if continue_final_message else None
        names = {**self._specials, **(extra or {})}
        try:
            text = self._compiled.render(
                {
                    **names,
                    "messages": chat,
                    "tools": tools,
                    "documents": None,
                    "add_generation_prompt": add_generation_prompt,
                }
            )
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise ApiError(str(error)) from error
        return text if ending is None else _cut_at_mark(text, ending)

    def last_text(self, messages: Sequence[Mapping[str, Any]], role: str) -> str:
        """The last message's text where that message is of `role`, else nothing: what `echo` repeats."""
        last = messages[-1]
        return "\n".join(_texts(last.get("content"))) if last.get("role") == role else ""

    def _normalise(self, messages: Sequence[Mapping[str, Any]]) -> list[Message]:
        chat = [_normalise_message(message, self._wants_parts) for message in messages]
        known = '"developer"' in self._source or "'developer'" in self._source
        if known or not any(message["role"] == "developer" for message in chat):
            return chat
        return _merge_systems([{**m, "role": "system"} if m["role"] == "developer" else m for m in chat])


class _Generation(Extension):
    """`{% generation %} … {% endgeneration %}`, which marks an assistant's words for training: here the words alone."""

    tags = {"generation"}  # noqa: RUF012  # jinja2 declares it as an instance attribute

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


def _tojson(
    value: object,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON; jinja2's own filter escapes HTML."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> None:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _loops_over_content(template: nodes.Template) -> bool:
    """Whether the template takes content as a list of parts: it loops over `….content` or a variable of that name."""
    return any(_is_content(loop.iter) for loop in template.find_all(nodes.For))


def _is_content(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter | nodes.Test):
        return node.node is not None and _is_content(node.node)
    if isinstance(node, nodes.Getitem):
        return isinstance(node.arg, nodes.Const) and node.arg.value == "content"
    return (isinstance(node, nodes.Getattr) and node.attr == "content") or (
        isinstance(node, nodes.Name) and node.name == "content"
    )


def _normalise_message(message: Mapping[str, Any], wants_parts: bool) -> Message:
    role = str(message.get("role"))
    texts = _texts(message.get("content"))
    content: Any = (
        [{"type": "text", "text": text} for text in texts] if wants_parts and role != "tool" else "\n".join(texts)
    )
    result: Message = {"role": role, "content": content}
    for name in _KEPT.get(role, ()):
        if message.get(name) is not None:
            result[name] = deepcopy(message[name])
    if result.get("tool_calls"):
        result["tool_calls"] = [_with_parsed_arguments(call) for call in result["tool_calls"]]
    else:
        result.pop("tool_calls", None)
    if "reasoning" in result:
        result["reasoning_content"] = result["reasoning"]
    return result | ({"name": message["name"]} if isinstance(message.get("name"), str) else {})


_KEPT: Mapping[str, tuple[str, ...]] = {"assistant": ("tool_calls", "reasoning"), "tool": ("tool_call_id",)}


def _texts(content: object) -> list[str]:
    if content is None:
        return []
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise refuse("content must be text or a list of parts.", "messages")
    return [_part_text(part) for part in content]


def _part_text(part: object) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, dict) and part.get("type") in ("text", "input_text", "refusal"):
        text = part.get("refusal" if part["type"] == "refusal" else "text")
        if isinstance(text, str):
            return text
    raise refuse("This model takes text parts only.", "messages")


def _with_parsed_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """Templates want a call's arguments as an object; what is none becomes the empty one."""
    function = dict(call.get("function") or {})
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except json.JSONDecodeError:
            arguments = {}
    return {**call, "function": {**function, "arguments": arguments if isinstance(arguments, dict) else {}}}


def _merge_systems(chat: list[Message]) -> list[Message]:
    """One system message, at the start, where several roles became it."""
    texts = [_joined_text(message["content"]) for message in chat if message["role"] == "system"]
    if len(texts) == 1 and chat[0]["role"] == "system":
        return chat
    merged: Message = {"role": "system", "content": "\n\n".join(text for text in texts if text)}
    return [merged, *(message for message in chat if message["role"] != "system")]


def _joined_text(content: str | list[dict[str, str]]) -> str:
    return content if isinstance(content, str) else "\n".join(part["text"] for part in content)


def _mark_end(chat: list[Message]) -> str:
    """Append the mark to the last message's text, and return that text."""
    last = chat[-1]
    if isinstance(last["content"], str):
        text, last["content"] = last["content"], last["content"] + _MARK
        return text
    if not last["content"]:
        raise ApiError("continue_final_message is set but we could not find any text to continue in the final message!")
    part = last["content"][-1]
    text, part["text"] = part["text"], part["text"] + _MARK
    return str(text)


def _cut_at_mark(text: str, ending: str) -> str:
    at = text.rfind(_MARK.strip())
    if at < 0 or ending.strip() not in text:
        raise ApiError(
            "continue_final_message is set but the final message does not appear in the chat after "
            "applying the chat template!"
        )
    return text[:at] if text[at:].startswith(_MARK) else text[:at].rstrip()
