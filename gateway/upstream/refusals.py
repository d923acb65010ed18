"""Ours for theirs: what a model server's error means to a caller. Its text is looked at and never passed on.

The shapes are vLLM 0.32's (entrypoints/serve/exception_handling, renderers/params, v1/engine/input_processor), with the
status as `code` in the body; in-band errors of a stream have the same body. A text is matched wherever it stands, since
bodies quote what was asked: a caller who writes such words himself gets another code for his own mistake, no more.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from gateway.errors import (
    BadField,
    BodyTooLarge,
    CallerError,
    ContextTooLong,
    FieldRefused,
    GatewayError,
    UpstreamBusy,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)

_CALLERS: Final = frozenset({400, 409, 413, 422})
_IN_BODY: Final = re.compile(rb'"code"\s*:\s*"?(\d{3})\b')
_PARAM: Final = re.compile(rb'"param"\s*:\s*"([a-z_]{1,40})"')

# What a caller may be told that he sent wrongly: he sent it, and it went on as he sent it.
_TOLD: Final = frozenset(
    {
        "messages",
        "prompt",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "allowed_token_ids",
        "bad_words",
        "min_tokens",
        "max_tokens",
        "n",
        "tools",
        "tool_choice",
        "response_format",
        "structured_outputs",
        "reasoning_effort",
        "thinking_token_budget",
        "chat_template_kwargs",
    }
)

# By what stands in the body of an error that the request is to blame for; the first that fits.
_BY_TEXT: Final[Sequence[tuple[re.Pattern[bytes], Callable[[], GatewayError]]]] = [
    (
        re.compile(
            rb"context length|maximum model length|max_model_len|longer than the (?:maximum )?model"
            rb'|"param"\s*:\s*"input_(?:tokens|text)"|max_tokens must be at least 1, got 0',  # the prompt fills it all
            re.IGNORECASE,
        ),
        ContextTooLong,
    ),
    (re.compile(rb"n must be 1 when using greedy sampling"), lambda: BadField(param="n")),
    (
        re.compile(rb"tool choice requires|enable-auto-tool-choice|tool-call-parser"),
        lambda: FieldRefused(param="tool_choice"),
    ),
    (
        re.compile(
            rb"roles must alternate|role not supported|is not a multimodal model|At most \d+ (?:image|audio)", re.I
        ),
        lambda: BadField(param="messages"),
    ),
    (
        re.compile(rb"not supported by xgrammar|[Ff]ailed to (?:convert|compile)[^\"]{0,60}(?:grammar|schema)"),
        lambda: BadField(param="response_format"),
    ),
]


def error_of(status: int, raw_body: bytes) -> GatewayError:
    """The error that stands for an answer with this status, which is none of success."""
    if status in _CALLERS:
        return _callers(status, raw_body)
    if status == 429:
        return UpstreamBusy()
    if status in (502, 503):
        return UpstreamUnavailable(f"status_{status}")
    if status in (408, 504):
        return UpstreamTimeout()
    return UpstreamError("refused" if status < 500 or status == 501 else "status_5xx")


def in_band(raw_error: bytes) -> GatewayError:
    """The same for an error that came in a frame; one that does not say whose fault it is was the server's."""
    code = _IN_BODY.search(raw_error)
    return error_of(int(code[1]), raw_error) if code and 400 <= int(code[1]) < 500 else UpstreamError("in_band")


def _callers(status: int, raw_body: bytes) -> GatewayError:
    for pattern, make in _BY_TEXT:
        if pattern.search(raw_body):
            return make()
    if status == 413:
        return BodyTooLarge()
    param = _PARAM.search(raw_body)
    if param and (name := param[1].decode()) in _TOLD:
        return BadField(param=name)
    return CallerError("refused_by_engine")
