"""The pipeline of a profile without filters: text leaves as it came, and its tokens with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from filters.channels import ANSWERS
from filters.events import (
    Channel,
    Ending,
    Event,
    Finished,
    Origin,
    RawText,
    RawTokens,
    Released,
    ReleasedToken,
    Unavailable,
)
from filters.evidence import Vocabulary
from filters.stops import StopMatcher
from filters.tokens import TokenLedger
from filters.told import ToldTokens, unchanged


class PassThrough:
    """Nothing is looked at. Only the caller's `stop` strings are its business."""

    holds = False

    def __init__(self, stops: tuple[str, ...] = (), vocabulary: Vocabulary | None = None) -> None:
        """With a `vocabulary` released text comes with its tokens."""
        self._stops = stops
        self._matchers: dict[Channel, StopMatcher] = {}
        self._done: set[int] = set()
        self._tokens = _Untouched(vocabulary) if vocabulary else None

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
        self._done.add(choice)
        tails = [(channel, matcher.close()) for channel, matcher in self._matchers.items() if channel.choice == choice]
        return [*(self._released(channel, text) for channel, text in tails if text), Finished(choice, ending)]

    def abandon(self) -> None:
        """As `Pipeline.abandon`."""
        self._matchers.clear()

    def _pass(self, channel: Channel, text: str) -> list[Event]:
        if channel.choice in self._done:
            return []
        if self._tokens is not None:
            self._tokens.write(channel, text)
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


class _Untouched:
    """The tokens of text that leaves as it came."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._ledgers: defaultdict[int, TokenLedger] = defaultdict(lambda: TokenLedger(vocabulary))
        self._told: defaultdict[int, ToldTokens] = defaultdict(ToldTokens)

    def add(self, tokens: RawTokens) -> None:
        self._ledgers[tokens.choice].add(tokens.ids, tokens.logprobs)

    def write(self, channel: Channel, text: str) -> None:
        ledger = self._ledgers[channel.choice]
        self._told[channel.choice].write(channel, [unchanged(text, 0, len(text))], text, ledger, ledger.match(text))

    def take(self, channel: Channel, text: str) -> tuple[ReleasedToken, ...]:
        return self._told[channel.choice].take(channel, len(text))
