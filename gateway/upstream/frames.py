"""The engine's stream frames, read as hostile: what is not listed here does not exist.

vLLM 0.32 writes them (chat and legacy completions). `[DONE]` alone does not say that an answer is whole, since an
engine that dies sends it too: only a finish reason for every choice does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
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


Item = RawText | RawTokens | Ended
F = TypeVar("F", Frame, PlainFrame)

_FRAME = msgspec.json.Decoder(Frame)
_PLAIN = msgspec.json.Decoder(PlainFrame)


def decode(events: Sequence[bytes]) -> list[Frame]:
    """Raises UpstreamBroken for what is no frame, UpstreamError for an error that the engine sent in-band."""
    return _decode(_FRAME, events)


def decode_plain(events: Sequence[bytes]) -> list[PlainFrame]:
    """As `decode`, without evidence."""
    return _decode(_PLAIN, events)


def items(frames: Iterable[Frame | PlainFrame], only: int | None = None) -> list[Item]:
    """What the frames of one read say: tokens no later than the text that they spell, neighbouring text as one.

    `only`: all of it belongs to this choice (a fallback is asked for one choice, which the engine calls 0).
    Raises UpstreamBroken for an unknown end.
    """
    said = _Said()
    for frame in frames:
        for choice in frame.choices:
            _read(said, choice.index if only is None else only, choice)
    return said.all()


def prompt_ids(frame: Frame) -> list[int] | None:
    """The request's tokens, which come once: beside the choices (chat) or in the first of them (completions)."""
    return frame.prompt_token_ids or next((c.prompt_token_ids for c in frame.choices if c.prompt_token_ids), None)


class _Said:
    """Collects items. Most reads hold pieces of one channel, and one item is cheaper than one for each piece."""

    __slots__ = ("_channel", "_items", "_parts")

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._channel: Channel | None = None
        self._parts: list[str] = []

    def text(self, channel: Channel, raw_text: str) -> None:
        if channel is not self._channel:
            self._join()
            self._channel = channel
        self._parts.append(raw_text)

    def tokens(self, tokens: RawTokens) -> None:
        self._items.append(tokens)  # before text that is not joined yet: they may come early, but not late

    def ended(self, ended: Ended) -> None:
        self._join()
        self._items.append(ended)

    def all(self) -> list[Item]:
        self._join()
        return self._items

    def _join(self) -> None:
        if self._channel is not None:
            self._items.append(RawText(self._channel, "".join(self._parts)))
            self._channel, self._parts = None, []


_channel = lru_cache(maxsize=256)(Channel)  # a few serve all streams


def _decode(decoder: msgspec.json.Decoder[F], events: Sequence[bytes]) -> list[F]:
    try:
        frames = [decoder.decode(event) for event in events]
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise UpstreamBroken("frame") from None
    for frame in frames:
        if frame.error is not None and bytes(frame.error) != b"null":
            raise UpstreamError("in_band")
    return frames


def _read(said: _Said, index: int, choice: _Choice | _PlainChoice) -> None:
    if isinstance(choice, _Choice) and choice.token_ids:
        said.tokens(RawTokens(index, tuple(choice.token_ids), _logprobs(choice.logprobs)))
    if choice.text:
        said.text(_channel(index, Field.TEXT), choice.text)
    if choice.delta is not None:
        _read_delta(said, index, choice.delta)
    if choice.finish_reason is not None:
        said.ended(Ended(index, _ending(choice.finish_reason)))


def _read_delta(said: _Said, index: int, delta: _Delta) -> None:
    if text := delta.reasoning or delta.reasoning_content:
        said.text(_channel(index, Field.REASONING), text)
    if delta.content:
        said.text(_channel(index, Field.CONTENT), delta.content)
    if delta.refusal:
        said.text(_channel(index, Field.REFUSAL), delta.refusal)
    for call in delta.tool_calls or ():
        _read_function(said, index, call.index, call.function)
    _read_function(said, index, 0, delta.function_call)


def _read_function(said: _Said, index: int, call: int, function: _Function | None) -> None:
    if function is not None and function.name:
        said.text(_channel(index, Field.TOOL_NAME, call), function.name)
    if function is not None and function.arguments:
        said.text(_channel(index, Field.TOOL_ARGUMENTS, call), function.arguments)


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
