"""One table: every field of a request that we know, and what becomes of it. What is not in it is unknown, and refused.

The names are OpenAI's and vLLM's (its 0.32 protocol, chat and completions). The table goes as deep as objects have
fields of a known meaning; what lies deeper (a JSON schema, a tool's arguments) is the caller's own. Three actions:

- FORWARD: it takes part, once its value is checked: it goes upstream, or `parameters` reads it (`own`), from where it
  reaches the engine in another form or never.
- IGNORE: it is dropped. Ordinary clients always send some that do nothing here.
- REFUSE: the request is.

A neutral value (null, or one that asks for nothing) of a field that would be refused is dropped.

A role may have another action for a field, where the field `permits` it. What would switch off evidence that the
filters need, or carry text, tokens or scores past them, can be forwarded for nobody; nor can what the gateway sets
itself. Without a request's own text, model or way of answering there is no request, so that these stand fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from gateway.errors import BadField, CallerError, FieldRefused, UnknownField
from gateway.policy.values import (
    LEAST_REPETITION,
    MAX_TOKEN_ID,
    Checked,
    biases,
    boolean,
    integer,
    listed,
    mapping,
    matching,
    number,
    one_of,
    template_values,
    text,
    top_k,
    top_p,
)
from gateway.types import Endpoint, FieldAction, PartType

FORWARD, IGNORE, REFUSE = FieldAction.FORWARD, FieldAction.IGNORE, FieldAction.REFUSE
Actions = Mapping[str, FieldAction]  # by the field's path: names joined by dots
Json = dict[str, Any]

_ANY: Final = frozenset(FieldAction)
_NEVER_FORWARD: Final = frozenset({IGNORE, REFUSE})


@dataclass(frozen=True, slots=True)
class Rule:
    """`check` returns the value that goes on, or raises ValueError or TypeError, which carry nothing outwards. A value
    that is an object, or with `many` a list of objects, has an `inner` shape; with `or_text` it may be a text too."""

    action: FieldAction
    check: Checked | None = None
    neutral: tuple[Any, ...] = ()
    permits: frozenset[FieldAction] = _ANY
    own: bool = False  # read by `parameters`, so that it is in no upstream body as it came
    follows: str = ""  # another field, for whose action a role is asked
    inner: Shape | None = None
    many: bool = False
    or_text: bool = False

    def is_neutral(self, value: Any) -> bool:
        """Null always is. Types count: 0 is not false (`logprobs: 0` asks for log-probabilities)."""
        return value is None or any(type(value) is type(other) and value == other for other in self.neutral)

    def takes_part(self, path: str, value: Any, actions: Actions) -> bool:
        """Raises FieldRefused."""
        if value is None:
            return False
        action = self._action(path, actions)
        if action is REFUSE and not self.is_neutral(value):
            raise FieldRefused
        return action is FORWARD and not (self.neutral and self.is_neutral(value))

    def _action(self, path: str, actions: Actions) -> FieldAction:
        """What a role says counts only where the field permits it, whoever made the grant."""
        if self.follows:
            return actions.get(self.follows, self.action)
        told = actions.get(path)
        return told if told in self.permits else self.action

    def read(self, path: str, value: Any, actions: Actions) -> Any:
        """What goes on of a value that takes part. Raises CallerError, ValueError, TypeError."""
        if self.inner is None or (self.or_text and type(value) is str):
            return value if self.check is None else self.check(value)
        if not self.many:
            return self.inner.read(path, value, actions)
        if type(value) is not list:
            raise BadField
        return [self.inner.read(path, entry, actions) for entry in value]


@dataclass(frozen=True, slots=True)
class Shape:
    """An object: its fields by name, all alike or, with `by`, by the value of that field. `refused` are values of it
    that mean something elsewhere."""

    variants: Mapping[str, Mapping[str, Rule]]
    by: str = ""
    usual: str = ""  # the variant of an object that does not say
    refused: frozenset[str] = frozenset()
    needs: frozenset[str] = field(default_factory=frozenset)

    def read(self, path: str, value: Any, actions: Actions) -> Json:
        """The object with what goes on of it. Raises CallerError, without `param` where the object has no path."""
        if type(value) is not dict:
            raise BadField
        rules, built = self._rules(value), Json()
        for name, entry in value.items():
            rule = rules.get(name)
            if rule is None:
                if entry is None:
                    continue
                raise UnknownField
            inner = f"{path}.{name}" if path else name
            with _Named(inner):
                if rule.takes_part(inner, entry, actions):
                    built[name] = rule.read(inner, entry, actions)
        if not self.needs & rules.keys() <= built.keys():
            raise BadField
        return built

    def _rules(self, value: Json) -> Mapping[str, Rule]:
        kind = value.get(self.by, self.usual) if self.by else ""
        rules = self.variants.get(kind) if type(kind) is str else None
        if rules is None:
            raise FieldRefused if type(kind) is str and kind in self.refused else BadField
        return rules

    def paths(self, prefix: str = "") -> Iterator[tuple[str, Rule]]:
        """Every field with its path."""
        for rules in self.variants.values():
            for name, rule in rules.items():
                yield prefix + name, rule
                if rule.inner is not None:
                    yield from rule.inner.paths(f"{prefix}{name}.")


class _Named:
    """Errors inside get the name of the outermost field; those of a value's check become BadField."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, CallerError):
            error.param = self._path.partition(".")[0]
        elif isinstance(error, ValueError | TypeError):
            raise BadField(param=self._path.partition(".")[0]) from None


def one(rules: Mapping[str, Rule], *needs: str) -> Shape:
    """Objects that are all alike."""
    return Shape({"": rules}, needs=frozenset(needs))


# ---- what stands in the tables ---------------------------------------------------------------------------------------


def _forward(check: Checked, *neutral: Any) -> Rule:
    return Rule(FORWARD, check, neutral)


def _own(check: Checked | None = None) -> Rule:
    return Rule(FORWARD, check, own=True)


def _fixed(check: Checked | None = None, inner: Shape | None = None, *, many: bool = False) -> Rule:
    return Rule(FORWARD, check, permits=frozenset(), own=True, inner=inner, many=many)


def _grant(check: Checked, *neutral: Any) -> Rule:
    """Refused, unless a role says otherwise."""
    return Rule(REFUSE, check, neutral)


def _refuse(*neutral: Any) -> Rule:
    """Forwarded for nobody."""
    return Rule(REFUSE, None, neutral, _NEVER_FORWARD)


def _object(inner: Shape, *, many: bool = False) -> Rule:
    return Rule(FORWARD, inner=inner, many=many)


def _needed(check: Checked) -> Rule:
    """Part of an object that is nothing without it."""
    return Rule(FORWARD, check, permits=frozenset())


_IGNORE: Final = Rule(IGNORE, permits=_NEVER_FORWARD)
_ANY_TEXT: Final = text(1 << 30)  # the body's size bounds it
_NAME: Final = matching(r"[A-Za-z0-9_.-]{1,256}")  # how long is the role's to say

# ---- messages --------------------------------------------------------------------------------------------------------


def content_part(part: PartType) -> str:
    """The path under which a role's `content_parts` stand among its actions."""
    return f"content_parts.{part}"


def _media(part: PartType, inner: Shape) -> Rule:
    return Rule(REFUSE, permits=frozenset(), follows=content_part(part), inner=inner)


_CACHED: Final = {"prompt_cache_breakpoint": _IGNORE, "cache_control": _IGNORE, "annotations": _IGNORE}
_TEXT: Final = {"type": _needed(one_of("text")), "text": _needed(_ANY_TEXT), **_CACHED}
# What a role may be given (`content_parts`); where a value lies elsewhere, no engine is asked to fetch it (media.py).
_IMAGE: Final = {
    "type": _needed(one_of("image_url")),
    "image_url": _media(
        PartType.IMAGE,
        one({"url": _needed(_ANY_TEXT), "detail": _forward(one_of("auto", "low", "high", "original"))}, "url"),
    ),
    **_CACHED,
}
_AUDIO: Final = {
    "type": _needed(one_of("input_audio")),
    "input_audio": _media(
        PartType.AUDIO, one({"data": _needed(_ANY_TEXT), "format": _needed(one_of("wav", "mp3"))}, "data", "format")
    ),
    **_CACHED,
}
_FILE: Final = {
    "type": _needed(one_of("file")),
    "file": _media(
        PartType.FILE,
        one({"file_data": _needed(_ANY_TEXT), "filename": _forward(text(256)), "file_id": _refuse()}, "file_data"),
    ),
    **_CACHED,
}
_ELSEWHERE: Final = frozenset(
    {
        "image_url",
        "input_audio",
        "file",
        "audio_url",
        "video_url",
        "image_embeds",
        "audio_embeds",
        "video_embeds",
        "prompt_embeds",
        "image_pil",
        "input_image",
        "input_file",
        "tool_reference",
        "thinking",
        "refusal",
    }
)
_PART_NEEDS: Final = frozenset({"type", "text", "refusal", "image_url", "input_audio", "file"})


def _parts(**variants: Mapping[str, Rule]) -> Rule:
    shape = Shape({"text": _TEXT, **variants}, by="type", refused=_ELSEWHERE - variants.keys(), needs=_PART_NEEDS)
    return Rule(FORWARD, _ANY_TEXT, permits=frozenset(), inner=shape, many=True, or_text=True)


_CALLED: Final = one({"name": _needed(_NAME), "arguments": _needed(_ANY_TEXT)}, "name", "arguments")
_CALL: Final = one(
    {
        "id": _needed(text(256)),
        "type": _needed(one_of("function")),
        "function": Rule(FORWARD, permits=frozenset(), inner=_CALLED),
        "index": _IGNORE,
    },
    "id",
    "function",
)
# What clients copy back from an answer: it goes no further, but `messages` reads what it said.
_COPIED: Final = {
    "annotations": _IGNORE,
    "refusal": _IGNORE,
    "reasoning": _IGNORE,
    "reasoning_content": _IGNORE,
    "audio": _refuse(),
    "function_call": _refuse(),
    "tool_calls": _refuse([]),  # some clients write an empty one into every message
}
_ROLE: Final = _needed(one_of("system", "developer", "user", "assistant", "tool"))
_SAYS: Final = {**_COPIED, "role": _ROLE, "content": _parts(), "name": _forward(_NAME, "")}
_MESSAGE: Final = Shape(
    {
        "system": _SAYS,
        "developer": _SAYS,
        "user": {**_SAYS, "content": _parts(image_url=_IMAGE, input_audio=_AUDIO, file=_FILE)},
        "assistant": {
            **_SAYS,
            "content": _parts(refusal={"type": _needed(one_of("refusal")), "refusal": _needed(_ANY_TEXT)}),
            "tool_calls": Rule(FORWARD, neutral=([],), inner=_CALL, many=True),
        },
        "tool": {**_SAYS, "tool_call_id": _forward(text(256))},
    },
    by="role",
    needs=frozenset({"role"}),
)

# ---- tools and forms of answers --------------------------------------------------------------------------------------

_FUNCTION: Final = one(
    {
        "name": _needed(_NAME),
        "description": _forward(_ANY_TEXT),
        "parameters": _forward(mapping),
        "strict": _forward(boolean),
    },
    "name",
)
_TOOL: Final = one(
    {"type": _needed(one_of("function")), "function": Rule(FORWARD, permits=frozenset(), inner=_FUNCTION)},
    "type",
    "function",
)
_CHOSEN: Final = one(
    {
        "type": _needed(one_of("function")),
        "function": Rule(FORWARD, permits=frozenset(), inner=one({"name": _needed(_NAME)}, "name")),
    },
    "type",
    "function",
)
_SCHEMA: Final = one(
    {
        "name": _needed(matching(r"[^\n]{1,256}")),
        "description": _forward(_ANY_TEXT),
        "schema": _needed(mapping),
        "strict": _forward(boolean),
    },
    "name",
    "schema",
)
_FORMAT: Final = Shape(
    {
        "text": {"type": _needed(one_of("text"))},
        "json_object": {"type": _needed(one_of("json_object"))},
        "json_schema": {"type": _needed(one_of("json_schema")), "json_schema": _object(_SCHEMA)},
    },
    by="type",
    needs=frozenset({"type", "json_schema"}),
)
_STREAM_OPTIONS: Final = one(
    {
        "include_usage": _forward(boolean),
        "include_obfuscation": _IGNORE,
        "continuous_usage_stats": _refuse(False),  # counts on every frame would tell how much was held back
    }
)
_STRUCTURED: Final = one(
    {
        "json": _forward(mapping),
        "regex": _forward(text(4096)),
        "choice": _forward(listed(text(1024))),
        "grammar": _forward(text(65_536)),
        "json_object": _forward(boolean),
        "disable_any_whitespace": _forward(boolean),
        "disable_additional_properties": _forward(boolean),
        "whitespace_pattern": _refuse(),  # a pattern that may match anything, between any two tokens
        "structural_tag": _refuse(),
    }
)

# ---- the table -------------------------------------------------------------------------------------------------------

_SAMPLING: Final[Mapping[str, Rule]] = {
    "temperature": _forward(number(0, 2)),
    "top_p": _forward(top_p),
    "top_k": _forward(top_k),
    "min_p": _forward(number(0, 1)),
    "presence_penalty": _forward(number(-2, 2)),
    "frequency_penalty": _forward(number(-2, 2)),
    "repetition_penalty": _forward(number(LEAST_REPETITION, 2)),
    "seed": _forward(integer(-(2**63), 2**63 - 1)),
}

_COUNT: Final = integer(1, 1 << 40)  # what of it is too much is the role's to say
_GATEWAYS: Final[Mapping[str, Rule]] = {
    "model": _fixed(),
    "stream": _fixed(boolean),
    "stream_options": Rule(FORWARD, own=True, inner=_STREAM_OPTIONS),
    "n": _own(_COUNT),
    "max_tokens": _own(_COUNT),
    "stop": _own(),
    "response_format": Rule(FORWARD, own=True, inner=_FORMAT),
}

_ALWAYS_SENT: Final[Mapping[str, Rule]] = dict.fromkeys(
    (
        "user",
        "metadata",
        "store",
        "service_tier",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
        "safety_identifier",
        "verbosity",
    ),
    _IGNORE,
)

# Each shapes the answer, and can be used to pull something out of the model bit by bit.
_SHAPING: Final[Mapping[str, Rule]] = {
    "logit_bias": _grant(biases, {}),
    "allowed_token_ids": _grant(listed(integer(0, MAX_TOKEN_ID)), []),
    "bad_words": _grant(listed(text(256)), []),
    "min_tokens": _grant(integer(0, 131_072), 0),
    "ignore_eos": _grant(boolean, False),
    "structured_outputs": Rule(REFUSE, neutral=({},), inner=_STRUCTURED),
    "thinking_token_budget": _grant(integer(0, 131_072)),
}

# Structured output under the names of older engines; the present one ignores them without a word.
_GUIDED: Final[Mapping[str, Rule]] = dict.fromkeys(
    (
        "guided_json",
        "guided_regex",
        "guided_choice",
        "guided_grammar",
        "guided_decoding_backend",
        "guided_whitespace_pattern",
        "structural_tag",
    ),
    _refuse(),
)

_ENGINE: Final[Mapping[str, Rule]] = {
    "add_special_tokens": _refuse(),  # its default differs between the two endpoints, so that no value is neutral
    "best_of": _refuse(1),
    "cache_salt": _refuse(),  # the gateway's to set, by tenant
    "ec_transfer_params": _refuse(),
    "echo": _refuse(False),
    "include_stop_str_in_output": _refuse(False),
    "kv_transfer_params": _refuse(),
    "length_penalty": _refuse(1, 1.0),
    "logprob_token_ids": _refuse([]),
    "media_io_kwargs": _refuse({}),
    "mm_payload": _refuse(),
    "mm_processor_kwargs": _refuse({}),
    "priority": _refuse(0),  # the gateway's to set, by role
    "prompt_embeds": _refuse(),
    "prompt_logprobs": _refuse(),
    "repetition_detection": _refuse(),
    "request_id": _refuse(),  # the gateway's to set
    "return_mm_kwargs": _refuse(False),
    "return_prompt_text": _refuse(False),
    "return_token_offsets": _refuse(False),
    "return_tokens_as_token_ids": _refuse(False),
    "routed_experts_prompt_start": _refuse(),
    "session_id": _refuse(),
    "skip_special_tokens": _refuse(True),
    "stop_token_ids": _refuse([]),  # the engine would match them against hidden text
    "spaces_between_special_tokens": _refuse(True),
    "stream_interval": _refuse(),
    "truncate_prompt_tokens": _refuse(),
    "truncation_side": _refuse(),
    "use_beam_search": _refuse(False),
    "vllm_xargs": _refuse({}),
    "watermarking": _refuse(False),
}

# What an answer tells of its tokens, and whose words it goes on from: for roles that were given them.
CONTINUE: Final = "continue_final_message"
LOGPROBS: Final = "logprobs"
RETURN_IDS: Final = "return_token_ids"


def _told(check: Checked) -> Rule:
    return Rule(REFUSE, check, (False,), own=True)


_BOTH: Final = {
    **_SAMPLING,
    **_GATEWAYS,
    **_ALWAYS_SENT,
    **_SHAPING,
    **_GUIDED,
    **_ENGINE,
    RETURN_IDS: _told(boolean),
}

CHAT: Final[Mapping[str, Rule]] = {
    **_BOTH,
    "messages": _fixed(inner=_MESSAGE, many=True),
    "tools": Rule(FORWARD, own=True, inner=_TOOL, many=True),
    "tool_choice": Rule(FORWARD, one_of("none", "auto", "required"), own=True, inner=_CHOSEN, or_text=True),
    "max_completion_tokens": _own(_COUNT),
    LOGPROBS: _told(boolean),
    CONTINUE: _told(boolean),
    "add_generation_prompt": Rule(REFUSE, boolean, (True,), frozenset(), own=True, follows=CONTINUE),
    "parallel_tool_calls": _forward(boolean),
    "reasoning_effort": _forward(one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    "include_reasoning": _refuse(True),  # without it the engine gives neither log-probabilities nor token ids
    "chat_template": _refuse(),
    "chat_template_kwargs": _grant(template_values, {}),
    "documents": _refuse([]),
    "top_logprobs": _refuse(0),  # alternatives are words of answers that no filter has read
    "audio": _refuse(),
    "function_call": _refuse("none"),
    "functions": _refuse([]),
    "modalities": _refuse(["text"]),
    "moderation": _refuse(),
    "prediction": _refuse(),
    "web_search_options": _refuse(),
}

COMPLETIONS: Final[Mapping[str, Rule]] = {
    **_BOTH,
    "prompt": _fixed(),
    LOGPROBS: _told(integer(0, 1)),  # how many alternatives: the chosen token itself is all that it can have
    "suffix": _refuse(""),
}

TABLES: Final[Mapping[Endpoint, Mapping[str, Rule]]] = {Endpoint.CHAT: CHAT, Endpoint.COMPLETIONS: COMPLETIONS}
BODIES: Final[Mapping[Endpoint, Shape]] = {endpoint: one(table) for endpoint, table in TABLES.items()}


def _by_path() -> Mapping[str, Rule]:
    return MappingProxyType({path: rule for body in BODIES.values() for path, rule in body.paths()})


# Every field by its path: what a role may say of it, and what holds where it says nothing.
PATHS: Final = _by_path()
