"""The engine's stream frames, read as hostile: what is not listed here does not exist.

vLLM 0.32 writes them (chat and legacy completions). `[DONE]` alone does not say that an answer is whole, since an
engine that dies sends it too: only a finish reason for every choice does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec

from filters.events import Channel, Ending, Field, RawText, RawTokens
from gateway.errors import UpstreamBroken
from gateway.upstream.refusals import in_band

DONE = b"[DONE]"

_ENDINGS = {
    "stop": Ending.STOP,
    "length": Ending.LENGTH,
    "tool_calls": Ending.TOOL_CALLS,
    "function_call": Ending.TOOL_CALLS,
    "content_filter": Ending.CONTENT_FILTER,
}


_NO_ERROR = msgspec.Raw(b"null")


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
    error: msgspec.Raw = _NO_ERROR


class _PlainChoice(msgspec.Struct, gc=False):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class PlainFrame(msgspec.Struct, gc=False):
    """The same without the evidence, for answers that are not filtered: what is not declared costs nothing to skip."""

    choices: list[_PlainChoice] = []
    usage: Usage | None = None
    error: msgspec.Raw = _NO_ERROR


@dataclass(frozen=True, slots=True)
class Ended:
    """The engine ended a choice."""

    choice: int
    ending: Ending


Item = RawText | RawTokens | Ended

_FRAME = msgspec.json.Decoder(Frame)
_PLAIN = msgspec.json.Decoder(PlainFrame)


class FrameReader:
    """Reads the frames of one stream, and remembers what they say beside the text."""

    def __init__(self, *, evidence: bool, choices: int = 1, only: int | None = None) -> None:
        """Without `evidence`, tokens and their log-probabilities are not even looked at.

        `choices`: how many were asked for; another one is no frame of this answer.
        `only`: all text belongs to this choice (a fallback is asked for one choice, which the engine calls 0).
        """
        self._decode: Callable[[bytes], Frame | PlainFrame] = _FRAME.decode if evidence else _PLAIN.decode
        self._only, self._choices = only, range(choices)
        self.usage: Usage | None = None
        self.prompt: Sequence[int] = []  # the request's tokens
        self.generated = 0  # tokens so far

    def read(self, events: Iterable[bytes]) -> list[Item]:
        """What the events of one read say: tokens no later than the text that they spell, neighbouring text as one.

        Raises UpstreamBroken for what is no frame and for an unknown end, UpstreamError or CallerError for an error
        that the engine sent in-band; nothing of the read is used then.
        """
        said = _Said()
        for event in events:
            try:
                frame = self._decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise UpstreamBroken("frame") from None
            if bytes(frame.error) != b"null":
                raise in_band(bytes(frame.error))
            if frame.usage is not None:
                self.usage = frame.usage
            for choice in frame.choices:
                self._choice(said, choice)
            if isinstance(frame, Frame) and not self.prompt:
                self.prompt = _prompt_ids(frame)
        return said.all()

    def _choice(self, said: _Said, choice: _Choice | _PlainChoice) -> None:
        if choice.index not in self._choices:
            raise UpstreamBroken("choice")
        index = choice.index if self._only is None else self._only
        if isinstance(choice, _Choice) and choice.token_ids:
            self.generated += len(choice.token_ids)
            said.tokens(RawTokens(index, tuple(choice.token_ids), _logprobs(choice.logprobs)))
        if choice.delta is not None:
            _read_delta(said, index, choice.delta)
        if choice.text:
            said.text(index, Field.TEXT, 0, choice.text)
        if choice.finish_reason is not None:
            said.ended(Ended(index, _ending(choice.finish_reason)))


class _Said:
    """Collects items. Most reads hold pieces of one channel, and one item is cheaper than one for each piece."""

    __slots__ = ("_items", "_parts", "_where")

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._where: tuple[int, Field, int] | None = None
        self._parts: list[str] = []

    def text(self, index: int, field: Field, call: int, raw_text: str) -> None:
        where = (index, field, call)
        if where != self._where:
            self._join()
            self._where = where
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
        if self._where is not None:
            self._items.append(RawText(_channel(*self._where), "".join(self._parts)))
            self._where, self._parts = None, []


_channel = lru_cache(maxsize=256)(Channel)  # a few serve all streams


def _prompt_ids(frame: Frame) -> list[int]:
    """They come once: beside the choices (chat) or in the first of them (completions)."""
    return frame.prompt_token_ids or next((c.prompt_token_ids for c in frame.choices if c.prompt_token_ids), [])


def _read_delta(said: _Said, index: int, delta: _Delta) -> None:
    if text := delta.reasoning or delta.reasoning_content:
        said.text(index, Field.REASONING, 0, text)
    if delta.content:
        said.text(index, Field.CONTENT, 0, delta.content)
    if delta.refusal:
        said.text(index, Field.REFUSAL, 0, delta.refusal)
    for call in delta.tool_calls or ():
        _read_function(said, index, call.index, call.function)
    if delta.function_call is not None:
        _read_function(said, index, 0, delta.function_call)


def _read_function(said: _Said, index: int, call: int, function: _Function | None) -> None:
    if function is not None and function.name:
        said.text(index, Field.TOOL_NAME, call, function.name)
    if function is not None and function.arguments:
        said.text(index, Field.TOOL_ARGUMENTS, call, function.arguments)


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
