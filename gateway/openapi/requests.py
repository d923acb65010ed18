"""Request bodies as JSON Schemas (draft 2020-12), read off the table of fields that the gateway itself goes by.

A schema says what any role may come to send. It is never narrower than the gateway: what it forbids is refused. What it
allows may still be refused, since what must agree between fields (a `tool_choice` and its tool), what a role was not
given and how much it may send are not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.policy.fields import BODIES, IGNORE, REFUSE, Rule, Shape
from gateway.policy.parameters import MAX_MODEL_CHARS
from gateway.types import Endpoint, FieldAction

Schema = dict[str, Any]

IGNORED: Final = "Ignored."
BY_ROLE: Final = "Refused, unless the caller's role was given it."
REFUSED: Final = "Refused, but for what asks for nothing."

# Fields that are read before the table, or as a whole after it.
_TEXT: Final[Schema] = {"type": "string", "minLength": 1}
_READ_APART: Final[Mapping[str, Schema]] = {
    "model": _TEXT | {"maxLength": MAX_MODEL_CHARS},
    "prompt": {"anyOf": [_TEXT, {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 1}]},
    "stop": {"anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT}]},
}
_REQUIRED: Final[Mapping[Endpoint, list[str]]] = {
    Endpoint.CHAT: ["model", "messages"],
    Endpoint.COMPLETIONS: ["model", "prompt"],
}
# That anybody may send, as it stands but for the model's name.
_HELLO: Final = {"model": "the-model", "messages": [{"role": "user", "content": "How long may I return a lamp?"}]}
_GO_ON: Final = {"model": "the-model", "prompt": "Lamps may be returned"}
EXAMPLES: Final[Mapping[Endpoint, Mapping[str, Schema]]] = {
    Endpoint.CHAT: {
        "plain": {"value": _HELLO},
        "streamed": {"value": _HELLO | {"stream": True, "stream_options": {"include_usage": True}}},
    },
    Endpoint.COMPLETIONS: {
        "plain": {"value": _GO_ON},
        "streamed": {"value": _GO_ON | {"stream": True, "max_tokens": 32}},
    },
}
_FILLED: Final = frozenset({"messages", "content"})  # lists that may not be empty


def body(endpoint: Endpoint) -> Schema:
    """Of a request to this endpoint."""
    (fields,) = BODIES[endpoint].variants.values()
    return _object(fields, _REQUIRED[endpoint])


def _object(rules: Mapping[str, Rule], required: list[str], fixed: Mapping[str, Schema] | None = None) -> Schema:
    """`fixed`: properties whose schema is known better than by their rule."""
    properties = {name: _property(name, rule, name in required) for name, rule in rules.items()}
    return {
        "type": "object",
        "properties": properties | dict(fixed or {}),
        "required": required,
        "additionalProperties": {"type": "null"},  # what says nothing is not looked at
    }


def _property(name: str, rule: Rule, required: bool) -> Schema:
    """A field with all that may stand in it; null is as good as no field, unless there must be one."""
    if rule.action is IGNORE:
        return {"description": IGNORED}
    never = FieldAction.FORWARD not in rule.permits and rule.action is REFUSE and not rule.follows
    said = [] if never else [_READ_APART.get(name) or _value(name, rule)]
    neutral = [value for value in rule.neutral if never or rule.action is REFUSE]
    said += [{"enum": neutral}] if neutral else []
    said += [] if required else [{"type": "null"}]
    schema = said[0] if len(said) == 1 else {"anyOf": said}
    return schema | ({"description": REFUSED if never else BY_ROLE} if rule.action is REFUSE else {})


def _value(name: str, rule: Rule) -> Schema:
    said: list[Schema] = [] if rule.check is None else [dict(rule.check.schema)]
    if rule.inner is not None:
        inner = _shape(rule.inner)
        many: Schema = {"type": "array", "items": inner} | ({"minItems": 1} if name in _FILLED else {})
        said = [*(said if rule.or_text else []), many if rule.many else inner]
    assert said, f"nothing says what {name} may be"
    return said[0] if len(said) == 1 else {"anyOf": said}


def _shape(shape: Shape) -> Schema:
    """One object, or one of several that differ by the value of a field."""
    objects = []
    for kind, rules in shape.variants.items():
        required = sorted(shape.needs & rules.keys())
        objects.append(_object(rules, required, {shape.by: {"const": kind}} if shape.by else None))
    return objects[0] if len(objects) == 1 else {"anyOf": objects}
