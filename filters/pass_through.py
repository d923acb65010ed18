"""The pipeline of a profile without filters: text leaves as it came, and its tokens with it. But for the deny list,
which holds whoever asks: its values are masked in prose, and end a choice that writes one into a tool's arguments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from filters.channels import ANSWERS, PROSE
from filters.denied_stream import DeniedStream
from filters.events import (
    Channel,
    Decided,
    Ending,
    Event,
    Finished,
    Origin,
    RawText,
    RawTokens,
    Released,
    ReleasedToken,
    Unavailable,
    Verdict,
)
from filters.evidence import Denied, Vocabulary
from filters.pii.actions import Placeholders
from filters.spans import Span
from filters.stops import StopMatcher
from filters.tokens import TokenLedger
from filters.told import Piece, ToldTokens, unchanged


class PassThrough:
    """Nothing is looked at but for what is denied. Otherwise only the caller's `stop` strings are its business."""

    def __init__(
        self, stops: tuple[str, ...] = (), vocabulary: Vocabulary | None = None, denied: Denied | None = None
    ) -> None:
        """With a `vocabulary` released text comes with its tokens."""
        self._stops = stops
        self._denied = denied
        self._streams: dict[Channel, DeniedStream] = {}
        self._placeholders: defaultdict[int, Placeholders] = defaultdict(Placeholders)
        self.has_hidden = False  # anything
        self._matchers: dict[Channel, StopMatcher] = {}
        self._done: set[int] = set()
        self._tokens = _Untouched(vocabulary) if vocabulary else None

    @property
    def holds(self) -> bool:
        """Whether any raw text is undecided."""
        return any(stream.holds for stream in self._streams.values())

    def begin(self, choices: Iterable[int]) -> list[Event]:
        """As `Pipeline.begin`; there is no budget, and nothing is asked."""
        return []

    def feed(self, items: Iterable[RawText | RawTokens], origin: Origin = Origin.TUNED) -> list[Event]:
        """As `Pipeline.feed`; each piece of text leaves as it came."""
        events: list[Event] = []
        for item in items:
            if isinstance(item, RawText):
                events += self._pass(item.channel, item.raw_text)
            elif self._tokens is not None:
                self._tokens.add(item)
        return events

    def answer_opening(self, raw_opening: str | Unavailable) -> list[Event]:
        """As `answer`."""
        raise KeyError("opening")

    def answer(
        self, question: int, score: Sequence[float] | Unavailable, tuned: Sequence[float] | Unavailable | None = None
    ) -> list[Event]:
        """Nothing is ever asked. Raises KeyError."""
        raise KeyError(question)

    def finish(self, choice: int, ending: Ending, origin: Origin = Origin.TUNED) -> list[Event]:
        """As `Pipeline.finish`."""
        if choice in self._done:
            return []
        complete = ending in (Ending.STOP, Ending.TOOL_CALLS)
        events: list[Event] = []
        for channel in [channel for channel in self._streams if channel.choice == choice]:
            events += self._tell(channel, *self._streams.pop(channel).close(complete=complete))
        if choice in self._done:
            return events
        self._done.add(choice)
        tails = [(channel, matcher.close()) for channel, matcher in self._matchers.items() if channel.choice == choice]
        events += [self._released(channel, text) for channel, text in tails if text]
        return [*events, Finished(choice, ending)]

    def abandon(self) -> None:
        """As `Pipeline.abandon`."""
        self._matchers.clear()
        self._streams.clear()

    def _pass(self, channel: Channel, text: str) -> list[Event]:
        if channel.choice in self._done:
            return []
        if self._denied is None:
            return self._tell(channel, text, ())
        stream = self._streams.setdefault(channel, DeniedStream(self._denied))
        return self._tell(channel, *stream.push(text))

    def _tell(self, channel: Channel, raw_text: str, hidden: Sequence[Span]) -> list[Event]:
        """This leaves now, but for what is hidden in it."""
        if channel.choice in self._done or not raw_text:
            return []
        events: list[Event] = [Decided(channel.choice, span.type, _verdict(channel), Origin.TUNED) for span in hidden]
        self.has_hidden = self.has_hidden or bool(hidden)
        if hidden and channel.field not in PROSE:
            self._done.add(channel.choice)
            return [*events, Finished(channel.choice, Ending.CONTENT_FILTER)]
        pieces = self._pieces(channel, raw_text, hidden)
        if self._tokens is not None:
            self._tokens.write(channel, pieces, raw_text)
        return events + self._release(channel, "".join(text for _, text in pieces))

    def _pieces(self, channel: Channel, raw_text: str, hidden: Sequence[Span]) -> list[Piece]:
        pieces, at = [], 0
        for span in hidden:
            mask = self._placeholders[channel.choice].mask(span.type, raw_text[span.start : span.end])
            pieces += [unchanged(raw_text, at, span.start), (None, mask)]
            at = span.end
        return [*pieces, unchanged(raw_text, at, len(raw_text))]

    def _release(self, channel: Channel, text: str) -> list[Event]:
        if not self._stops or channel.field not in ANSWERS:
            return [self._released(channel, text)]
        text, stopped = self._matchers.setdefault(channel, StopMatcher(self._stops)).push(text)
        events: list[Event] = [self._released(channel, text)] if text else []
        if stopped:
            self._done.add(channel.choice)
            events.append(Finished(channel.choice, Ending.STOP))
        return events

    def _released(self, channel: Channel, text: str) -> Released:
        return Released(channel, text, self._tokens.take(channel, text) if self._tokens is not None else ())


def _verdict(channel: Channel) -> Verdict:
    return Verdict.MASK if channel.field in PROSE else Verdict.STOP


class _Untouched:
    """The tokens of text that leaves as it came."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ledgers: defaultdict[int, TokenLedger] = defaultdict(lambda: TokenLedger(vocabulary))
        self._told: defaultdict[int, ToldTokens] = defaultdict(ToldTokens)

    def add(self, tokens: RawTokens) -> None:
        self._ledgers[tokens.choice].add(tokens.ids, tokens.logprobs)

    def write(self, channel: Channel, pieces: Sequence[Piece], raw_text: str) -> None:
        ledger = self._ledgers[channel.choice]
        self._told[channel.choice].write(channel, pieces, raw_text, ledger, ledger.match(raw_text))

    def take(self, channel: Channel, text: str) -> tuple[ReleasedToken, ...]:
        return self._told[channel.choice].take(channel, len(text))
