"""What a request in bounded mode may ask for: the content of one chat answer, at a temperature and a top_p.

Everything else would draw from distributions that the bound does not speak of (penalties, biases, grammars), fill
channels that nobody drafts (tools), or tell what the tuned model holds likely (log-probabilities).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import FieldRefused
from gateway.policy.fields import CONTINUE, LOGPROBS, RETURN_IDS
from gateway.types import Plan

_TAKEN: Final = frozenset(
    {
        "messages",
        "max_tokens",
        "temperature",
        "top_p",
        "seed",
        "reasoning_effort",
        CONTINUE,
        "add_generation_prompt",
        "chat_template_kwargs",
        "parallel_tool_calls",  # says nothing where there are no tools
    }
)
# Ordinary clients write these out.
_NEUTRAL: Final[Mapping[str, tuple[Any, ...]]] = {
    "top_k": (-1, 0),
    "min_p": (0,),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
}


def check(plan: Plan) -> None:
    """Raises FieldRefused, naming the field, for what bounded mode can't serve."""
    for name, value in plan.body.items():
        if name not in _TAKEN and value not in _NEUTRAL.get(name, ()):
            raise FieldRefused(param=name)
    if plan.tells.logprobs:
        raise FieldRefused(param=LOGPROBS)
    if plan.tells.token_ids:
        raise FieldRefused(param=RETURN_IDS)
