"""One table: every field of a request that we know, and what becomes of it. What is not in it is unknown, and refused.

The names are OpenAI's and vLLM's (its 0.32 protocol, chat and completions). Four actions:

- FORWARD: goes upstream once its value is checked.
- OWN: the gateway's own affair; it is read and checked by `parameters` and reaches the engine in another form or never.
- IGNORE: ordinary clients always send it; it does nothing here.
- GRANT: refused, unless the role lists it; then forwarded once its value is checked.
- REFUSE: refused to everybody, since it would switch off evidence that the filters need, or carry text, tokens or
  scores past them.

A neutral value (null, or one that asks for nothing) of a field that would be refused is ignored.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.errors import BadField
from gateway.types import Endpoint

MAX_TOKEN_ID: Final = 2**31 - 1
MAX_LISTED: Final = 1024  # entries of a list or mapping that a role was given: OpenAI's bound for logit_bias

Checked = Callable[[Any], Any]


class Action(enum.Enum):
    FORWARD = "forward"
    OWN = "own"
    IGNORE = "ignore"
    GRANT = "grant"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Rule:
    """`check` returns the value to forward, or raises ValueError or TypeError, which carry nothing outwards."""

    action: Action
    check: Checked | None = None
    neutral: tuple[Any, ...] = ()

    def is_neutral(self, value: Any) -> bool:
        """Null always is. Types count: 0 is not false (`logprobs: 0` asks for log-probabilities)."""
        return value is None or any(type(value) is type(other) and value == other for other in self.neutral)

    def checked(self, name: str, value: Any) -> Any:
        """Raises BadField, naming the field as the table does."""
        if self.check is None:
            return value
        try:
            return self.check(value)
        except (ValueError, TypeError):
            raise BadField(param=name) from None


# ---- values ----------------------------------------------------------------------------------------------------------


def number(low: float, high: float) -> Checked:
    """A number in [low, high]. A boolean is not one."""

    def check(value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
            raise ValueError
        return float(value)

    return check


def integer(low: int, high: int) -> Checked:
    """A whole number in [low, high]; 2.0 is not one."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return check


def boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def text(longest: int) -> Checked:
    def check(value: Any) -> str:
        if type(value) is not str or len(value) > longest:
            raise ValueError
        return value

    return check


def one_of(*names: str) -> Checked:
    def check(value: Any) -> str:
        if type(value) is not str or value not in names:
            raise ValueError
        return value

    return check


def listed(check_one: Checked) -> Checked:
    def check(value: Any) -> list[Any]:
        if type(value) is not list or not 1 <= len(value) <= MAX_LISTED:
            raise ValueError
        return [check_one(entry) for entry in value]

    return check


def biases(value: Any) -> dict[str, float]:
    if type(value) is not dict or len(value) > MAX_LISTED:
        raise ValueError
    return {str(integer(0, MAX_TOKEN_ID)(int(key))): number(-100, 100)(bias) for key, bias in value.items()}


def mapping(value: Any) -> dict[str, Any]:
    if type(value) is not dict or len(value) > MAX_LISTED:
        raise ValueError
    return value


def top_k(value: Any) -> int:
    """A count, or -1 or 0 for all."""
    checked: int = integer(-1, MAX_TOKEN_ID)(value)
    return checked


def top_p(value: Any) -> float:
    """In (0, 1]: the engine refuses 0."""
    checked: float = number(0, 1)(value)
    if checked == 0:
        raise ValueError
    return checked


def repetition(value: Any) -> float:
    checked: float = number(0, 2)(value)
    if checked == 0:
        raise ValueError
    return checked


# ---- the table -------------------------------------------------------------------------------------------------------


def _forward(check: Checked) -> Rule:
    return Rule(Action.FORWARD, check)


def _grant(check: Checked, *neutral: Any) -> Rule:
    return Rule(Action.GRANT, check, neutral)


def _refuse(*neutral: Any) -> Rule:
    return Rule(Action.REFUSE, None, neutral)


_OWN: Final = Rule(Action.OWN)
_IGNORE: Final = Rule(Action.IGNORE)

_SAMPLING: Final[Mapping[str, Rule]] = {
    "temperature": _forward(number(0, 2)),
    "top_p": _forward(top_p),
    "top_k": _forward(top_k),
    "min_p": _forward(number(0, 1)),
    "presence_penalty": _forward(number(-2, 2)),
    "frequency_penalty": _forward(number(-2, 2)),
    "repetition_penalty": _forward(repetition),
    "seed": _forward(integer(-(2**63), 2**63 - 1)),
}

_GATEWAYS: Final[Mapping[str, Rule]] = {
    "model": _OWN,
    "stream": _OWN,
    "stream_options": _OWN,
    "n": _OWN,
    "max_tokens": _OWN,
    "stop": _OWN,
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
    "structured_outputs": _grant(mapping, {}),
    "thinking_token_budget": _grant(integer(0, 131_072)),
    "priority": _grant(integer(-1000, 1000), 0),
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
    "cache_salt": _refuse(),
    "ec_transfer_params": _refuse(),
    "echo": _refuse(False),
    "include_stop_str_in_output": _refuse(False),
    "kv_transfer_params": _refuse(),
    "length_penalty": _refuse(1, 1.0),
    "logprob_token_ids": _refuse([]),
    "media_io_kwargs": _refuse({}),
    "mm_payload": _refuse(),
    "mm_processor_kwargs": _refuse({}),
    "prompt_embeds": _refuse(),
    "prompt_logprobs": _refuse(),
    "repetition_detection": _refuse(),
    "request_id": _refuse(),
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

# The gateway's own, and only for roles that list them.
CONTINUE: Final = "continue_final_message"
LOGPROBS: Final = "logprobs"
RETURN_IDS: Final = "return_token_ids"
_TOLD: Final = {LOGPROBS: Rule(Action.OWN, None, (False,)), RETURN_IDS: Rule(Action.OWN, None, (False,))}

_BOTH: Final = {**_TOLD, **_SAMPLING, **_GATEWAYS, **_ALWAYS_SENT, **_SHAPING, **_GUIDED, **_ENGINE}

CHAT: Final[Mapping[str, Rule]] = {
    **_BOTH,
    "messages": _OWN,
    "tools": _OWN,
    "tool_choice": _OWN,
    "response_format": _OWN,
    "max_completion_tokens": _OWN,
    CONTINUE: Rule(Action.OWN, None, (False,)),
    "add_generation_prompt": Rule(Action.OWN, None, (True,)),
    "parallel_tool_calls": _forward(boolean),
    "reasoning_effort": _forward(one_of("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    "include_reasoning": _refuse(True),  # without it the engine gives neither log-probabilities nor token ids
    "chat_template": _refuse(),
    "chat_template_kwargs": _grant(mapping, {}),
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
    "prompt": _OWN,
    "suffix": _refuse(""),
    "response_format": _OWN,
}

TABLES: Final[Mapping[Endpoint, Mapping[str, Rule]]] = {Endpoint.CHAT: CHAT, Endpoint.COMPLETIONS: COMPLETIONS}

# What a role may list under `fields`.
GRANTABLE: Final = frozenset(
    {name for table in TABLES.values() for name, rule in table.items() if rule.action is Action.GRANT}
    | {CONTINUE, LOGPROBS, RETURN_IDS}
)
