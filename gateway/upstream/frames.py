"""The engine's stream frames, read as hostile: what is not listed here does not exist.

vLLM 0.32 writes them (chat and legacy completions). `[DONE]` alone does not say that an answer is whole, since an
engine that dies sends it too: only a finish reason for every choice does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from filters.events import Channel, Ending, Field, RawText, RawTokens
from gateway.errors import UpstreamBroken, UpstreamError

DONE = b"[DONE]"

_ENDINGS = {
    "stop": Ending.STOP,
    "length": Ending.LENGTH,
    "tool_calls": Ending.TOOL_CALLS,
    "function_call": Ending.TOOL_CALLS,
    "content_filter": Ending.CONTENT_FILTER,
}


class _Entry(msgspec.Struct, gc=False):
    logprob: float


class _Logprobs(msgspec.Struct, gc=False):
    content: list[_Entry] | None = None  # chat
    token_logprobs: list[float | None] | None = None  # legacy


class _Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct, gc=False):
    index: int = 0
    function: _Function | None = None


class _Delta(msgspec.Struct, gc=False):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _Choice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None  # legacy


class Usage(msgspec.Struct, gc=False):
    """The engine's true counts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Frame(msgspec.Struct, gc=False):
    """One event of the stream."""

    choices: list[_Choice] = []
    usage: Usage | None = None
    prompt_token_ids: list[int] | None = None
    error: msgspec.Raw | None = None


class _PlainChoice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class PlainFrame(msgspec.Struct, gc=False):
    """The same without the evidence, for answers that are not filtered: what is not declared costs nothing to skip."""

    choices: list[_PlainChoice] = []
    usage: Usage | None = None
    error: msgspec.Raw | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine ended a choice."""

    choice: int
    ending: Ending


F = TypeVar("F", Frame, PlainFrame)

_FRAME = msgspec.json.Decoder(Frame)
_PLAIN = msgspec.json.Decoder(PlainFrame)


def decode(event: bytes) -> Frame:
    """Raises UpstreamBroken for what is no frame, UpstreamError for an error that the engine sent in-band."""
    return _decode(_FRAME, event)


def decode_plain(event: bytes) -> PlainFrame:
    """As `decode`, without evidence."""
    return _decode(_PLAIN, event)


def items(frame: Frame | PlainFrame, only: int | None = None) -> Iterator[RawText | RawTokens | Ended]:
    """What the frame says, tokens before the text that they spell. Raises UpstreamBroken for an unknown end.

    `only`: all of it belongs to this choice (a fallback is asked for one choice, which the engine calls 0).
    """
    for choice in frame.choices:
        index = choice.index if only is None else only
        if isinstance(choice, _Choice) and choice.token_ids:
            yield RawTokens(index, tuple(choice.token_ids), _logprobs(choice.logprobs))
        if choice.text:
            yield RawText(Channel(index, Field.TEXT), choice.text)
        if choice.delta is not None:
            yield from _delta(index, choice.delta)
        if choice.finish_reason is not None:
            yield Ended(index, _ending(choice.finish_reason))


def prompt_ids(frame: Frame) -> list[int] | None:
    """The request's tokens, which come once: beside the choices (chat) or in the first of them (completions)."""
    return frame.prompt_token_ids or next((c.prompt_token_ids for c in frame.choices if c.prompt_token_ids), None)


def _decode(decoder: msgspec.json.Decoder[F], event: bytes) -> F:
    try:
        frame = decoder.decode(event)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("frame") from None
    if frame.error is not None and bytes(frame.error) != b"null":
        raise UpstreamError("in_band")
    return frame


def _delta(index: int, delta: _Delta) -> Iterator[RawText]:
    if text := delta.reasoning or delta.reasoning_content:
        yield RawText(Channel(index, Field.REASONING), text)
    if delta.content:
        yield RawText(Channel(index, Field.CONTENT), delta.content)
    if delta.refusal:
        yield RawText(Channel(index, Field.REFUSAL), delta.refusal)
    for call in delta.tool_calls or ():
        yield from _function(index, call.index, call.function)
    yield from _function(index, 0, delta.function_call)


def _function(index: int, call: int, function: _Function | None) -> Iterator[RawText]:
    if function is not None and function.name:
        yield RawText(Channel(index, Field.TOOL_NAME, call), function.name)
    if function is not None and function.arguments:
        yield RawText(Channel(index, Field.TOOL_ARGUMENTS, call), function.arguments)


def _logprobs(logprobs: _Logprobs | None) -> tuple[float, ...] | None:
    if logprobs is None:
        return None
    if logprobs.content is not None:
        return tuple(entry.logprob for entry in logprobs.content)
    values = logprobs.token_logprobs
    return None if values is None else tuple(float("nan") if value is None else value for value in values)


def _ending(reason: str) -> Ending:
    try:
        return _ENDINGS[reason]
    except KeyError:
        raise UpstreamBroken("finish_reason") from None
