"""Answers for pipeline tests: a vocabulary of single characters, and a run that cuts and delays at will."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from filters.events import (
    UNAVAILABLE,
    Channel,
    Decided,
    Ending,
    Event,
    FallBack,
    Field,
    Finished,
    Opening,
    Origin,
    Question,
    RawText,
    RawTokens,
    Released,
    ReleasedToken,
    Sample,
    Unavailable,
)
from filters.pipeline import Pipeline

SURE = -0.01  # log p of a token that its model is sure of
Score = tuple[float, ...] | Unavailable
Evidence = Callable[[Question], Score]


class CharacterVocabulary:
    """Every character is a token; its id is its code point."""

    size = 0x110000

    def spell(self, token_id: int) -> bytes:
        return chr(token_id).encode("utf-8", "replace")

    def ids(self, text: str) -> list[int]:
        return list(map(ord, text))

    def count(self, text: str) -> int:
        return len(text)


def never_asked(question: Question) -> Score:
    raise AssertionError("the base model was asked")


def sure(question: Question) -> Score:
    """The base model would have said the same."""
    return (SURE,) * (len(question.ids) - question.start)


def surprised(question: Question) -> Score:
    """The base model would hardly have said that: nine nats a token."""
    return (-9.0,) * (len(question.ids) - question.start)


def no_answer(question: Question) -> Score:
    return UNAVAILABLE


def mixed(question: Question) -> Score:
    """Each of the three, chosen by what is asked and by nothing else."""
    at = zlib.crc32(repr((question.choice, question.ids, question.start)).encode()) % 3
    return (sure, surprised, no_answer)[at](question)


@dataclass
class Outcome:
    """What a client would have got."""

    texts: dict[Channel, str] = field(default_factory=dict)
    tokens: dict[Channel, list[ReleasedToken]] = field(default_factory=dict)
    endings: dict[int, Ending] = field(default_factory=dict)
    decided: list[Decided] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    openings: int = 0
    fallbacks: list[FallBack] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    @property
    def content(self) -> str:
        return self.texts.get(Channel(0, Field.CONTENT), "")

    @property
    def everything(self) -> str:
        return "\n".join(self.texts.values())


@dataclass
class Script:
    """What the models say: (channel, text) in the order in which the upstream says it, and how it ends."""

    parts: Sequence[tuple[Channel, str]]
    ending: Ending = Ending.STOP
    base: str = "I can't help with that."
    evidence: Evidence = mixed
    tuned: Evidence | None = None  # the model sends no tokens with its text, and is asked as the base is
    opening: str | Unavailable = "Certainly. Here it is."


def run(pipeline: Pipeline, script: Script, seed: int | None = None) -> Outcome:
    """Feed the script whole (seed None) or in random pieces, with the evidence in random order and late."""
    return _Run(pipeline, script, random.Random(seed) if seed is not None else None).all()


class _Run:
    def __init__(self, pipeline: Pipeline, script: Script, random_: random.Random | None) -> None:
        self.pipeline, self.script, self.random = pipeline, script, random_
        self.outcome = Outcome()
        self.waiting: list[Question | Opening] = []
        self.speeches: list[list[RawText]] = []

    def all(self) -> Outcome:
        self._take(self.pipeline.begin(sorted({channel.choice for channel, _ in self.script.parts})))
        for channel, text in self.script.parts:
            self._say(channel, text)
        for choice in sorted({channel.choice for channel, _ in self.script.parts}) or [0]:
            self._take(self.pipeline.finish(choice, self.script.ending))
        while self.waiting or self.speeches:
            self._later(certain=True)
        return self.outcome

    def _say(self, channel: Channel, text: str) -> None:
        """Tokens come no later than the text that they spell."""
        told = spelled = 0
        while told < len(text):
            reach = max(spelled, told + self._length(len(text) - told))
            tokens = _tokens(channel, text[spelled:reach]) if self.script.tuned is None else []
            spelled = reach
            length = self._length(spelled - told)
            self._take(self.pipeline.feed([*tokens, RawText(channel, text[told : told + length])]))
            told += length
            self._later(certain=False)

    def _length(self, most: int) -> int:
        return most if self.random is None else self.random.randint(1, min(most, self.random.choice((1, 3, 40))))

    def _later(self, *, certain: bool) -> None:
        """Maybe one answer of the base, or a piece of what it says instead; all at once where nothing is random."""
        if self.random is not None and not certain and self.random.random() < 0.7:
            return
        if self.speeches and (not self.waiting or self._coin()):
            self._speak()
        elif self.waiting:
            question = self.waiting.pop(self.random.randrange(len(self.waiting)) if self.random else 0)
            if isinstance(question, Opening):
                self._take(self.pipeline.answer_opening(self.script.opening))
            else:
                tuned = self.script.tuned and self.script.tuned(question)
                self._take(self.pipeline.answer(question.id, self.script.evidence(question), tuned))

    def _speak(self) -> None:
        speech = self.speeches[0]
        item = speech.pop(0)
        self._take(self.pipeline.feed([*_tokens(item.channel, item.raw_text), item], Origin.BASE))
        if not speech:
            self.speeches.pop(0)
            self._take(self.pipeline.finish(item.channel.choice, Ending.STOP, Origin.BASE))

    def _coin(self) -> bool:
        return self.random is not None and self.random.random() < 0.5

    def _take(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Released):
                self.outcome.texts[event.channel] = self.outcome.texts.get(event.channel, "") + event.text
                self.outcome.tokens.setdefault(event.channel, []).extend(event.tokens)
            elif isinstance(event, Finished):
                assert event.choice not in self.outcome.endings, "a choice ended twice"
                self.outcome.endings[event.choice] = event.ending
            elif isinstance(event, Question):
                self.outcome.questions.append(event)
                self.waiting.append(event)
            elif isinstance(event, Opening):
                self.outcome.openings += 1
                self.waiting.append(event)
            elif isinstance(event, FallBack):
                self.outcome.fallbacks.append(event)
                self.speeches.append(self._speech(event))
            elif isinstance(event, Sample):
                self.outcome.samples.append(event)
            else:
                self.outcome.decided.append(event)

    def _speech(self, event: FallBack) -> list[RawText]:
        channel, text, pieces = Channel(event.choice, Field.CONTENT), self.script.base, []
        while text:
            length = self._length(len(text))
            pieces.append(RawText(channel, text[:length]))
            text = text[length:]
        return pieces


def _tokens(channel: Channel, text: str) -> list[RawTokens]:
    return [RawTokens(channel.choice, (ord(char),), (SURE,)) for char in text]
