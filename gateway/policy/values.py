"""Checks of single values. Each returns what goes on, or raises ValueError or TypeError, whose texts go nowhere. Each
says, as a JSON Schema, what it takes: the gateway's own description is made of that."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_TOKEN_ID: Final = 2**31 - 1
MAX_LISTED: Final = 1024  # entries of a list or mapping: OpenAI's bound for logit_bias

LEAST_REPETITION: Final = 0.01  # engines divide scores by it in 32 bits; far smaller ones overflow
LONGEST_TOLD: Final = 1 << 20  # a longer text than this is bounded by the body's size


@dataclass(frozen=True, slots=True)
class Checked:
    """`schema` is never narrower than `read`: what it forbids is refused."""

    read: Callable[[Any], Any]
    schema: Mapping[str, Any]

    def __call__(self, value: Any) -> Any:
        return self.read(value)


def takes(**schema: Any) -> Callable[[Callable[[Any], Any]], Checked]:
    """Turns a function into a check."""
    return lambda read: Checked(read, schema)


def number(low: float, high: float) -> Checked:
    """A number in [low, high]. A boolean is not one."""

    @takes(type="number", minimum=low, maximum=high)
    def check(value: Any) -> float:
        if type(value) not in (int, float) or not math.isfinite(value) or not low <= value <= high:
            raise ValueError
        return float(value)

    return check


def integer(low: int, high: int) -> Checked:
    """A whole number in [low, high]; 2.0 is not one."""

    @takes(type="integer", minimum=low, maximum=high)
    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise ValueError
        return value

    return check


@takes(type="boolean")
def boolean(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def text(longest: int) -> Checked:
    @takes(type="string", **({"maxLength": longest} if longest <= LONGEST_TOLD else {}))
    def check(value: Any) -> str:
        if type(value) is not str or len(value) > longest:
            raise ValueError
        return value

    return check


def matching(pattern: str) -> Checked:
    whole = re.compile(pattern, re.ASCII)

    @takes(type="string", pattern=f"^(?:{pattern})$")
    def check(value: Any) -> str:
        if type(value) is not str or not whole.fullmatch(value):
            raise ValueError
        return value

    return check


def one_of(*names: str) -> Checked:
    @takes(enum=list(names))
    def check(value: Any) -> str:
        if type(value) is not str or value not in names:
            raise ValueError
        return value

    return check


def listed(check_one: Checked) -> Checked:
    @takes(type="array", minItems=1, maxItems=MAX_LISTED, items=check_one.schema)
    def check(value: Any) -> list[Any]:
        if type(value) is not list or not 1 <= len(value) <= MAX_LISTED:
            raise ValueError
        return [check_one(entry) for entry in value]

    return check


@takes(
    type="object", maxProperties=MAX_LISTED, additionalProperties={"type": "number", "minimum": -100, "maximum": 100}
)
def biases(value: Any) -> dict[str, float]:
    if type(value) is not dict or len(value) > MAX_LISTED:
        raise ValueError
    return {str(integer(0, MAX_TOKEN_ID)(int(key))): number(-100, 100)(bias) for key, bias in value.items()}


@takes(type="object", maxProperties=MAX_LISTED)
def mapping(value: Any) -> dict[str, Any]:
    if type(value) is not dict or len(value) > MAX_LISTED:
        raise ValueError
    return value


@takes(type="integer", minimum=-1, maximum=MAX_TOKEN_ID)
def top_k(value: Any) -> int:
    """A count, or -1 or 0 for all."""
    checked: int = integer(-1, MAX_TOKEN_ID)(value)
    return checked


@takes(type="number", exclusiveMinimum=0, maximum=1)
def top_p(value: Any) -> float:
    """In (0, 1]: the engine refuses 0."""
    checked: float = number(0, 1)(value)
    if checked == 0:
        raise ValueError
    return checked


# What a template is given beside these is the engine's affair.
_OF_TEMPLATES: Final = frozenset(
    {"messages", "conversation", "tools", "documents", "chat_template", "add_generation_prompt"}
    | {"continue_final_message", "tokenize", "return_dict", "add_special_tokens", "tokenizer_kwargs"}
)


@takes(type="object", maxProperties=MAX_LISTED, additionalProperties={"type": ["boolean", "number", "string"]})
def template_values(value: Any) -> dict[str, Any]:
    """Switches of a chat template (`enable_thinking`): plain values, and none that stands for another field."""
    checked: dict[str, Any] = mapping(value)
    for name, entry in checked.items():
        if name in _OF_TEMPLATES or not isinstance(entry, bool | int | float | str):
            raise ValueError
        if isinstance(entry, str) and len(entry) > 256:
            raise ValueError
    return checked
