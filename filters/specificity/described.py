"""What an answer says of persons, on its way out: the ledger of quasi-identifiers (quasi_identifiers.py) at work.

1. An answer begins with what its conversation has said before, in its order: the caller's own messages are heard,
   earlier answers count, as the client sends them back. Where an earlier answer can't be read, nothing of the new one
   can be judged either.
2. Each choice goes on by itself, through all its channels in the order in which their text is decided.
3. Names are looked for only in a text that holds a trait.
4. Somebody is a public figure where the base model would have written the name without having read it: at its first
   mention, where the request does not hold it, it costs the base at most KNOWN_BITS. Few excess bits alone would not
   do: "John Smith" is nobody in particular. Where nobody is asked about names, nobody is public.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from filters.evidence import Detector, DetectorError
from filters.normalise import normalise
from filters.spans import Span
from filters.specificity.attributes import AttributeFinder
from filters.specificity.persons import sentences
from filters.specificity.quasi_identifiers import PERSON, Generalisation, PersonLedger

KNOWN_BITS = 3.0  # the base gives the whole name one chance in eight or more


class Speaker(enum.Enum):
    """Who wrote a message of the conversation."""

    CALLER = "caller"  # and his tools
    MODEL = "model"
    OTHER = "other"  # the application: its instructions neither count nor are they the caller's


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    speaker: Speaker
    raw_text: str


@dataclass(frozen=True, slots=True)
class Describing:
    """How persons may be described. `names` finds PERSON spans; `k` and `countries` are a PersonLedger's."""

    finder: AttributeFinder
    names: Detector
    k: int
    countries: frozenset[str] = frozenset()

    def begin(self, turns: Sequence[Turn]) -> Described:
        """What has been said before an answer. Takes about two microseconds a character."""
        ledger = PersonLedger(self.finder, self.k, countries=self.countries)
        read = _folded("\n".join(turn.raw_text for turn in turns))
        try:
            for turn in turns:
                self._take(ledger, turn)
        except DetectorError:
            return Described(self, None, read)
        return Described(self, ledger, read)

    def names_in(self, text: str) -> list[Span]:
        """The persons named in those sentences of a text that state a trait. Raises DetectorError."""
        return [name for start, end in sentences(text) for name in self._named(text, start, end)]

    def _take(self, ledger: PersonLedger, turn: Turn) -> None:
        if turn.speaker is Speaker.MODEL:
            ledger.prime(turn.raw_text, self.names_in(turn.raw_text))
        elif turn.speaker is Speaker.CALLER:
            _hear(ledger, turn.raw_text)

    def _named(self, text: str, start: int, end: int) -> Iterator[Span]:
        sentence = text[start:end]
        if self.finder.find(sentence, names=True):
            yield from (span.shifted(start) for span in self.names.find(sentence) if span.type == PERSON)


@dataclass(frozen=True, slots=True)
class Described:
    """What a conversation has said of persons. `ledger` is None where that can't be known."""

    describing: Describing
    ledger: PersonLedger | None
    read: str  # all of the request, folded

    def choice(self) -> ChoiceDescribed:
        """The state of one choice of the answer."""
        return ChoiceDescribed(self)


class ChoiceDescribed:
    """What one choice has said of persons."""

    def __init__(self, before: Described) -> None:
        self._describing, self._read = before.describing, before.read
        self._known: dict[str, bool] = {}
        self._written: list[str] = []
        self._ledger = before.ledger.fork(self._is_public) if before.ledger is not None else None

    def judge_name(self, raw_name: str, base_bits: float) -> None:
        """What a person's name cost the base model, in bits. Its first mention decides: after that it is copied."""
        name = _folded(raw_name)
        is_new = not any(name in text for text in (self._read, *map(_folded, self._written)))
        self._known.setdefault(name, is_new and base_bits <= KNOWN_BITS)

    def feed(self, raw_text: str, context: str = "") -> list[Generalisation]:
        """As `PersonLedger.feed`, with the names found here."""
        self._written.append(raw_text)
        if self._ledger is None:
            raise DetectorError("what was said before can't be read")
        seen = context + raw_text
        if not any(found.end > len(context) for found in self._describing.finder.find(seen, names=True)):
            return []
        since = next(start for start, end in sentences(seen) if end > len(context)) if raw_text else 0
        names = (span.shifted(since - len(context)) for span in self._describing.names_in(seen[since:]))
        return self._ledger.feed(raw_text, context, list(names))

    def _is_public(self, name: str) -> bool:
        return self._known.get(_folded(name), False)


def _hear(ledger: PersonLedger, own_text: str) -> None:
    try:
        ledger.hear(own_text)
    except DetectorError:
        return  # what could not be read counts


def _folded(raw_text: str) -> str:
    return normalise(raw_text).text.casefold().strip()
