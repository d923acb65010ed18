"""From a request's body to a Plan. `read` is what can be said without knowing who asks; `admit` is the rest.

The upstream's body is built from nothing: a field is in it because the table in `fields` put it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from filters.specificity.described import Speaker, Turn
from gateway.auth.tokens import MAX_SUBJECT_CHARS, can_be
from gateway.errors import BadField, FieldRefused, OverLimit
from gateway.policy import bounded
from gateway.policy.body import DEFAULT_BOUNDS, BodyBounds, Json, parse_object
from gateway.policy.fields import BODIES, CONTINUE, LOGPROBS, RETURN_IDS, TABLES, content_part
from gateway.policy.messages import (
    Chat,
    check_schema_size,
    keys_in,
    keys_in_texts,
    read_messages,
    read_tool_choice,
    read_tools,
)
from gateway.types import Endpoint, EndUser, FieldAction, Grant, Plan, Tells

MAX_MODEL_CHARS: Final = 128
COMPLETION_TOKENS: Final = 16  # OpenAI's, of a completion that names no max_tokens


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A parsed body of either endpoint: its fields are as the caller wrote them."""

    endpoint: Endpoint
    model: str
    fields: Mapping[str, Any]


def read(raw_body: bytes, endpoint: Endpoint, bounds: BodyBounds = DEFAULT_BOUNDS) -> ChatRequest:
    """Raises BadJson, OverLimit; BadField when there is no usable model name."""
    fields = parse_object(raw_body, bounds)
    model = fields.get("model")
    if type(model) is not str or not 1 <= len(model) <= MAX_MODEL_CHARS:
        raise BadField(param="model")
    return ChatRequest(endpoint, model, fields)


def admit(request: ChatRequest, grant: Grant) -> Plan:
    """What this grant lets through.

    Raises UnknownField, FieldRefused, BadField, OverLimit, each with the name of a field of the protocol or none.
    """
    actions = {**grant.fields, **{content_part(part): FieldAction.FORWARD for part in grant.content_parts}}
    fields = BODIES[request.endpoint].read("", request.fields, actions)
    is_chat = request.endpoint is Endpoint.CHAT
    about = _chat(request.fields, fields, grant) if is_chat else _completion(fields, grant)
    table = TABLES[request.endpoint]
    body = {name: value for name, value in fields.items() if not table[name].own} | about.body
    json_mode, schema = _response_format(fields.get("response_format"), body, grant)
    if "structured_outputs" in fields:
        check_schema_size(fields["structured_outputs"], grant.request, "structured_outputs")
    n, max_tokens = _at_most(fields, "n", 1, grant.max_choices), _max_tokens(fields, grant)
    body |= {"max_tokens": max_tokens} | ({"n": n} if n > 1 else {})
    stream = fields.get("stream", False)
    plan = Plan(
        grant=grant,
        body=body,
        stream=stream,
        include_usage=_include_usage(fields.get("stream_options"), stream),
        n=n,
        max_tokens=max_tokens,
        stop=_stop(fields.get("stop"), grant),
        own_texts=about.own_texts,
        turns=about.turns,
        continued=about.continued,
        json_keys=about.json_keys | frozenset(keys_in(schema)),
        tool_names=about.tool_names,
        json_mode=json_mode,
        answer_schema=schema,
        tool_schemas=about.tool_schemas,
        # a completion says how many alternatives it wants; without any the chosen token is told all the same
        tells=Tells(logprobs=fields.get(LOGPROBS) not in (None, False), token_ids=fields.get(RETURN_IDS, False)),
        end_user=grant.principal.end_user or _unsigned(request.fields),
    )
    if grant.profile.bounded is not None:
        bounded.check(plan)
    return plan


# ---- the two endpoints -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _About:
    """What one endpoint's own fields come to."""

    body: Json
    own_texts: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    continued: str = ""
    json_keys: frozenset[str] = frozenset()
    tool_names: frozenset[str] = frozenset()
    tool_schemas: Mapping[str, Json] = field(default_factory=dict)


def _chat(raw_fields: Mapping[str, Any], fields: Mapping[str, Any], grant: Grant) -> _About:
    if "messages" not in fields:
        raise BadField(param="messages")
    chat = read_messages(raw_fields["messages"], fields["messages"], grant)
    tools = read_tools(fields.get("tools", []), grant.request)
    if chat.chars + tools.chars > grant.request.prompt_chars:
        raise OverLimit(param="tools")
    continues = _continues(fields, chat, grant)
    body: Json = {"messages": chat.messages}
    if continues:
        body |= {CONTINUE: True, "add_generation_prompt": False}
    if tools.tools:
        body["tools"] = tools.tools
    if "tool_choice" in fields and (choice := read_tool_choice(fields["tool_choice"], tools.names)) is not None:
        body["tool_choice"] = choice
    return _About(
        body=body,
        own_texts=chat.own_texts,
        turns=chat.turns,
        continued=chat.last_text if continues else "",
        json_keys=chat.json_keys | tools.json_keys,
        tool_names=chat.tool_names | tools.names,
        tool_schemas=tools.schemas,
    )


def _continues(fields: Mapping[str, Any], chat: Chat, grant: Grant) -> bool:
    """Whether the answer goes on with the last message.

    An assistant's half-said message puts words into the model's mouth ("her number starts with 138"), so that ordinary
    roles may not end with one. Raises FieldRefused; BadField where the three things that must agree do not.
    """
    asked, prompted = fields.get(CONTINUE, False), fields.get("add_generation_prompt", True)
    ends_with_assistant = chat.last_role == "assistant"
    if ends_with_assistant and not grant.forwards(CONTINUE):
        raise FieldRefused(param="messages")
    if asked is prompted or (asked and not ends_with_assistant):
        raise BadField(param=CONTINUE)
    return bool(asked)


def _completion(fields: Mapping[str, Any], grant: Grant) -> _About:
    """A prompt is text: token ids would pass words that the filters never read; several prompts are several requests.

    It grounds nothing: what in it the end user wrote can't be told from what the application put before it. What it
    says of persons counts as if an earlier answer had said it.
    """
    prompt = fields.get("prompt")
    if type(prompt) is list and len(prompt) == 1 and type(prompt[0]) is str:
        prompt = prompt[0]
    if type(prompt) is list:
        raise FieldRefused(param="prompt")
    if type(prompt) is not str or not prompt:
        raise BadField(param="prompt")
    if len(prompt) > grant.request.prompt_chars:
        raise OverLimit(param="prompt")
    return _About(
        body={"prompt": prompt},
        turns=(Turn(Speaker.MODEL, prompt),),
        continued=prompt,
        json_keys=frozenset(keys_in_texts([prompt])),
    )


# ---- the gateway's own fields ----------------------------------------------------------------------------------------


def _at_most(fields: Mapping[str, Any], name: str, default: int, most: int) -> int:
    value = int(fields.get(name, default))
    if value > most:
        raise OverLimit(param=name)
    return value


def _max_tokens(fields: Mapping[str, Any], grant: Grant) -> int:
    """Either name; both must say the same. Where the request names none it is the endpoint's default, a chat's being
    the role's most (which must be within the model's context: engines refuse a larger one)."""
    most = grant.max_output_tokens
    asked = {_at_most(fields, name, most, most) for name in ("max_tokens", "max_completion_tokens") if name in fields}
    if len(asked) > 1:
        raise BadField(param="max_tokens")
    if asked:
        return asked.pop()
    return most if grant.endpoint is Endpoint.CHAT else min(most, COMPLETION_TOKENS)


def _unsigned(fields: Mapping[str, Any]) -> EndUser | None:
    """Whom the application says to speak for, where nobody signed it; OpenAI's newer name of the field comes first.
    What can't be a name is nobody's, so that it counts as the application's own."""
    named = next((fields[name] for name in ("safety_identifier", "user") if fields.get(name) is not None), None)
    return EndUser(None, named) if type(named) is str and can_be(named, MAX_SUBJECT_CHARS) else None


def _stop(value: Any, grant: Grant) -> tuple[str, ...]:
    stops = [value] if type(value) is str else [] if value is None else value
    if type(stops) is not list or not all(type(stop) is str and stop for stop in stops):
        raise BadField(param="stop")
    if len(stops) > grant.request.stops or any(len(stop) > grant.request.stop_chars for stop in stops):
        raise OverLimit(param="stop")
    return tuple(dict.fromkeys(stops))


def _include_usage(options: Mapping[str, Any] | None, stream: bool) -> bool:
    """Raises BadField."""
    if options is None:
        return False
    if not stream:
        raise BadField(param="stream_options")
    return bool(options.get("include_usage"))


def _response_format(asked: Mapping[str, Any] | None, body: Json, grant: Grant) -> tuple[bool, Json | None]:
    """Whether the answer is one JSON document, and the schema that it follows; adds the field to `body`."""
    if asked is None or asked["type"] == "text":
        return False, None
    body["response_format"] = asked
    if asked["type"] == "json_object":
        return True, None
    schema: Json = asked["json_schema"]["schema"]
    check_schema_size(schema, grant.request, "response_format")
    if len(asked["json_schema"]["name"]) > grant.request.name_chars:
        raise OverLimit(param="response_format")
    return True, schema
