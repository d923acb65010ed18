"""What a model would answer that does as it is asked: a tool call where there are tools, a document where there is a
schema, otherwise a sentence. Clients go on from such answers as they would from a real model's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.scripted import Say, Step

SENTENCE = "Good day, the ferry leaves in the evening."
WORD = "harbour"
COUNT = 3

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Reply:
    """Either a text or the call of one tool."""

    text: str
    tool: str | None = None

    @property
    def finish(self) -> str:
        return "tool_calls" if self.tool else "stop"


def reply(body: Json) -> Reply:
    """To the body of a chat or a completion."""
    if (function := _called(body)) is not None:
        return Reply(_document(function.get("parameters") or {}), function["name"])
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return Reply(_document(form["json_schema"]["schema"]))
    return Reply(_document(_ASKED_IN_WORDS) if form.get("type") == "json_object" else SENTENCE)


def steps(body: Json) -> tuple[list[Step], str]:
    """The same for a scripted engine, in every choice: its steps, and how the first choice ends."""
    said = reply(body)
    script: list[Step] = []
    for choice in reversed(range(body.get("n") or 1)):
        ends = said.finish if choice else None  # the engine ends the first one
        if said.tool:
            assert not choice, "a tool is called by the first choice alone"
            script += [Say(said.tool, "tool_name"), Say(said.text, "tool_arguments")]
        else:
            script.append(Say(said.text, choice=choice, finish=ends))
    return script, said.finish


_ASKED_IN_WORDS = {"properties": {"place": {"type": "string"}, "ferries": {"type": "integer"}}}


def _called(body: Json) -> Json | None:
    """The tool that is called: the one that must be, or the first; once that has answered, the last if one must be."""
    tools = [tool["function"] for tool in body.get("tools") or ()]
    choice, answered = body.get("tool_choice"), body.get("messages", [{}])[-1].get("role") == "tool"
    if not tools or choice == "none" or (answered and choice != "required"):
        return None
    if isinstance(choice, dict):
        return next(tool for tool in tools if tool["name"] == choice["function"]["name"])
    return tools[-1] if answered else tools[0]


def _document(schema: Json) -> str:
    return json.dumps(_value(schema, schema))


def _value(schema: Json, root: Json) -> Any:
    if "$ref" in schema:
        return _value(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], root)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "array":
        return [_value(schema.get("items", {"type": "string"}), root)]
    if kind == "object":
        return {name: _value(inner, root) for name, inner in schema.get("properties", {}).items()}
    return {"string": WORD, "integer": COUNT, "number": float(COUNT), "boolean": True}.get(kind)
