"""From a request's body to a Plan. `read` is what can be said without knowing who asks; `admit` is the rest.

The upstream's body is built from nothing: a field is in it because the table in `fields` put it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from filters.specificity.described import Speaker, Turn
from gateway.errors import BadField, FieldRefused, UnknownField
from gateway.policy import bounded
from gateway.policy.body import Json, parse_object
from gateway.policy.fields import CONTINUE, LOGPROBS, RETURN_IDS, TABLES, Action, Checked, Rule, boolean, integer
from gateway.policy.messages import Chat, keys_in, keys_in_texts, read_messages, read_tool_choice, read_tools
from gateway.types import Endpoint, Grant, Plan, Tells

MAX_MODEL_CHARS: Final = 128
MAX_STOPS: Final = 4  # OpenAI's
MAX_STOP_CHARS: Final = 256  # the gateway matches them itself, on everything that it releases
SCHEMA_NAME_CHARS: Final = 64  # OpenAI's
COMPLETION_TOKENS: Final = 16  # OpenAI's, of a completion that names no max_tokens


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A parsed body of either endpoint: its fields are as the caller wrote them, except that nulls are gone."""

    endpoint: Endpoint
    model: str
    fields: Mapping[str, Any]


def read(raw_body: bytes, endpoint: Endpoint) -> ChatRequest:
    """Raises BadJson; BadField when there is no usable model name."""
    fields = parse_object(raw_body)
    model = fields.get("model")
    if type(model) is not str or not 1 <= len(model) <= MAX_MODEL_CHARS:
        raise BadField(param="model")
    return ChatRequest(endpoint, model, {name: value for name, value in fields.items() if value is not None})


def admit(request: ChatRequest, grant: Grant) -> Plan:
    """What this grant lets through.

    Raises UnknownField, FieldRefused, BadField, each with the name of a field of the protocol or none.
    """
    fields, body = request.fields, _table_fields(request, grant)
    about = _chat(fields, grant) if request.endpoint is Endpoint.CHAT else _completion(fields)
    body.update(about.body)
    json_mode, schema = _response_format(fields.get("response_format"), body)
    n, max_tokens = _integer(fields, "n", 1, grant.max_choices), _max_tokens(fields, grant)
    body |= {"max_tokens": max_tokens} | ({"n": n} if n > 1 else {})
    stream = _boolean(fields, "stream")
    plan = Plan(
        grant=grant,
        body=body,
        stream=stream,
        include_usage=_include_usage(fields.get("stream_options"), stream),
        n=n,
        max_tokens=max_tokens,
        stop=_stop(fields.get("stop")),
        own_texts=about.own_texts,
        turns=about.turns,
        continued=about.continued,
        json_keys=about.json_keys | frozenset(keys_in(schema)),
        tool_names=about.tool_names,
        json_mode=json_mode,
        answer_schema=schema,
        tool_schemas=about.tool_schemas,
        tells=Tells(
            logprobs=_logprobs(fields, grant),
            token_ids=_told(fields, RETURN_IDS, grant) and _boolean(fields, RETURN_IDS),
        ),
    )
    if grant.profile.bounded is not None:
        bounded.check(plan)
    return plan


def _table_fields(request: ChatRequest, grant: Grant) -> Json:
    """Goes through the body field by field; what the table calls the gateway's own is read elsewhere."""
    table, body = TABLES[request.endpoint], Json()
    for name, value in request.fields.items():
        rule = table.get(name)
        if rule is None:
            raise UnknownField
        if _goes_upstream(name, rule, value, grant):
            body[name] = rule.checked(name, value)
    return body


def _goes_upstream(name: str, rule: Rule, value: Any, grant: Grant) -> bool:
    """Raises FieldRefused."""
    if rule.action in (Action.OWN, Action.IGNORE) or rule.is_neutral(value):
        return False
    if rule.action is Action.FORWARD or (rule.action is Action.GRANT and name in grant.allowed_fields):
        return True
    raise FieldRefused(param=name)


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


def _chat(fields: Mapping[str, Any], grant: Grant) -> _About:
    chat = read_messages(fields.get("messages"))
    tools = read_tools(fields.get("tools", []))
    continues = _continues(fields, chat, grant)
    body: Json = {"messages": chat.messages}
    if continues:
        body |= {CONTINUE: True, "add_generation_prompt": False}
    if tools.tools:
        body["tools"] = tools.tools
    if "tool_choice" in fields and (choice := _tool_choice(fields["tool_choice"], tools.names)) is not None:
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


def _tool_choice(value: Any, names: frozenset[str]) -> str | Json | None:
    """None where there is nothing to choose from: "auto" and "none" then mean the same, and engines refuse them."""
    choice = read_tool_choice(value, names)
    if names:
        return choice
    if choice == "required":
        raise BadField(param="tool_choice")
    return None


def _continues(fields: Mapping[str, Any], chat: Chat, grant: Grant) -> bool:
    """Whether the answer goes on with the last message.

    An assistant's half-said message puts words into the model's mouth ("her number starts with 138"), so that ordinary
    roles may not end with one. Raises FieldRefused; BadField where the three things that must agree do not.
    """
    asked, prompted = _boolean(fields, CONTINUE), _boolean(fields, "add_generation_prompt", default=True)
    ends_with_assistant = chat.last_role == "assistant"
    if CONTINUE not in grant.allowed_fields and (asked or ends_with_assistant or not prompted):
        raise FieldRefused(param=CONTINUE if asked else "messages" if prompted else "add_generation_prompt")
    if asked is prompted or (asked and not ends_with_assistant):
        raise BadField(param=CONTINUE)
    return asked


def _completion(fields: Mapping[str, Any]) -> _About:
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
    return _About(
        body={"prompt": prompt},
        turns=(Turn(Speaker.MODEL, prompt),),
        continued=prompt,
        json_keys=frozenset(keys_in_texts([prompt])),
    )


# ---- the gateway's own fields ----------------------------------------------------------------------------------------


def _boolean(fields: Mapping[str, Any], name: str, *, default: bool = False) -> bool:
    return bool(_checked(fields, name, boolean, default))


def _integer(fields: Mapping[str, Any], name: str, default: int, most: int) -> int:
    return int(_checked(fields, name, integer(1, most), default))


def _checked(fields: Mapping[str, Any], name: str, check: Checked, default: Any) -> Any:
    return Rule(Action.OWN, check).checked(name, fields[name]) if name in fields else default


def _logprobs(fields: Mapping[str, Any], grant: Grant) -> bool:
    """A chat says true, a completion how many alternatives: the chosen token itself is all that it can have."""
    if not _told(fields, LOGPROBS, grant):
        return False
    if grant.endpoint is Endpoint.CHAT:
        return _boolean(fields, LOGPROBS)
    _checked(fields, LOGPROBS, integer(0, 1), 0)
    return True


def _told(fields: Mapping[str, Any], name: str, grant: Grant) -> bool:
    """Whether the request asks for what this field tells. Raises FieldRefused."""
    asked = name in fields and fields[name] is not False
    if asked and name not in grant.allowed_fields:
        raise FieldRefused(param=name)
    return asked


def _max_tokens(fields: Mapping[str, Any], grant: Grant) -> int:
    """Either name; both must say the same. Where the request names none it is the endpoint's default, a chat's being
    the role's most (which must be within the model's context: engines refuse a larger one)."""
    most = grant.max_output_tokens
    asked = {_integer(fields, name, most, most) for name in ("max_tokens", "max_completion_tokens") if name in fields}
    if len(asked) > 1:
        raise BadField(param="max_tokens")
    if asked:
        return asked.pop()
    return most if grant.endpoint is Endpoint.CHAT else min(most, COMPLETION_TOKENS)


def _stop(value: Any) -> tuple[str, ...]:
    stops = [value] if type(value) is str else [] if value is None else value
    if type(stops) is not list or len(stops) > MAX_STOPS:
        raise BadField(param="stop")
    if not all(type(stop) is str and 1 <= len(stop) <= MAX_STOP_CHARS for stop in stops):
        raise BadField(param="stop")
    return tuple(dict.fromkeys(stops))


def _include_usage(value: Any, stream: bool) -> bool:
    """Raises BadField; FieldRefused for counts on every frame, which would tell how much was held back."""
    if value is None:
        return False
    if type(value) is not dict or not stream:
        raise BadField(param="stream_options")
    if value.keys() - {"include_usage", "include_obfuscation", "continuous_usage_stats"}:
        raise UnknownField(param="stream_options")
    if value.get("continuous_usage_stats"):
        raise FieldRefused(param="stream_options")
    if type(value.get("include_usage", False)) not in (bool, type(None)):
        raise BadField(param="stream_options")
    return value.get("include_usage") is True


def _response_format(value: Any, body: Json) -> tuple[bool, Json | None]:
    """Whether the answer is one JSON document, and the schema that it follows; adds the field to `body`."""
    kind = value.get("type") if type(value) is dict else None
    if value is None or (kind == "text" and len(value) == 1):
        return False, None
    if kind == "json_object" and len(value) == 1:
        body["response_format"] = {"type": "json_object"}
        return True, None
    if kind != "json_schema" or value.keys() != {"type", "json_schema"}:
        raise BadField(param="response_format")
    schema = _json_schema(value["json_schema"])
    body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return True, dict(schema["schema"])


def _json_schema(value: Any) -> Json:
    kinds = {"name": str, "description": str, "schema": dict, "strict": bool}
    if type(value) is not dict or value.keys() - kinds.keys():
        raise BadField(param="response_format")
    given = {key: entry for key, entry in value.items() if entry is not None}
    if any(type(entry) is not kinds[key] for key, entry in given.items()):
        raise BadField(param="response_format")
    if not {"name", "schema"} <= given.keys() or not 1 <= len(given["name"]) <= SCHEMA_NAME_CHARS:
        raise BadField(param="response_format")
    return given
