"""What the base model says of the JSON of one choice.

1. A document's raw text is read in units: up to an end of a value or a sentence, LONGEST_UNIT characters at most, and
   none goes over a place where another channel speaks. So what is asked is a function of the text alone.
2. A unit in which the base could clear nothing up (json_scout.py) goes on at once. One in which it could begins a
   stretch, which ends behind STRETCH characters: so an array of numbers is one question. It is asked about whole, and
   waits in the choice's queue, with all that comes behind it, until the answer is there. Then it is filtered with that
   answer at hand.
3. Its tokens are those that spell it, looked for behind the stretch before it, and for the first one behind the last
   prose that was matched. An engine that writes a tool's arguments anew spells them with other tokens: then there is
   no evidence, as where the answer is missing or of the wrong length, and what is suspect stays hidden.
4. Evidence is kept for the last KEPT characters: a longer string is decided in parts, and nothing else is held so long.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from filters.events import Channel, Unavailable
from filters.specificity.excess import excess_bits
from filters.tokens import SKIP, TokenLedger, encoded

STRETCH = 512
LONGEST_UNIT = 256
KEPT = 65_536  # more than a string that is held whole may have, were all of it escapes
_PROSE_BETWEEN = 4096  # bytes of prose that may be open when a document begins
_ENDS = re.compile(r'[,}\]](?=[\s"{\[0-9-])|[.!?](?=\s|\\n)|[。！？]')
_SPACE = re.compile(r"\s")


@dataclass(slots=True, eq=False)
class Part:
    """A part of a JSON document, or of a tool's name. It is read when its turn in the choice's queue comes."""

    channel: Channel
    raw_text: str
    at: int | None = None  # the byte of the choice's tokens at which it begins
    tokens: tuple[int, int] | None = None  # those that spell it, from the first to behind the last
    asked: bool = False
    score: Sequence[float] | Unavailable | None = None  # the base's answer

    @property
    def waits(self) -> bool:
        """Whether the base's answer is still to come."""
        return self.asked and self.score is None


Wants = Callable[[Channel, str], bool]  # whether the base must be asked about a unit


class Stretches:
    """Cuts what one choice says in JSON, and finds its tokens."""

    def __init__(self, ledger: TokenLedger | None) -> None:
        """Without a ledger nothing is asked about."""
        self._ledger = ledger
        self._channel: Channel | None = None
        self._stretch = ""  # the units that are asked about
        self._unit = ""  # the one that is still open
        self._at = 0  # the byte of the tokens behind the last part
        self._lost = _PROSE_BETWEEN  # bytes by which the next one may stand further behind

    @property
    def holds(self) -> bool:
        """Whether raw text is held."""
        return bool(self._stretch or self._unit)

    def push(self, channel: Channel, raw_text: str, wants: Wants) -> Iterator[Part]:
        """The parts that this text completes."""
        if raw_text and channel != self._channel:
            yield from self.close(wants)
            self._channel = channel
        self._unit += raw_text
        while (end := _end_of_unit(self._unit)) is not None:
            unit, self._unit = self._unit[:end], self._unit[end:]
            yield from self._take(unit, wants)

    def close(self, wants: Wants) -> Iterator[Part]:
        """What is held: another channel speaks, or the choice ends."""
        unit, self._unit = self._unit, ""
        if unit:
            yield from self._take(unit, wants)
        if self._stretch:
            yield self._part(self._stretch, asked=True)
        self._stretch = ""
        self._lost = _PROSE_BETWEEN

    def _take(self, unit: str, wants: Wants) -> Iterator[Part]:
        assert self._channel is not None
        if self._ledger is None or (not wants(self._channel, unit) and not self._stretch):
            yield self._part(unit, asked=False)
            return
        self._stretch += unit
        if len(self._stretch) >= STRETCH:
            yield self._part(self._stretch, asked=True)
            self._stretch = ""

    def _part(self, raw_text: str, *, asked: bool) -> Part:
        assert self._channel is not None
        part = Part(self._channel, raw_text)
        if self._ledger is None:
            return part
        length = len(encoded(raw_text))
        self._at = max(self._at, self._ledger.matched)
        at = self._ledger.find(raw_text, self._at, SKIP + self._lost)
        if at is None:
            self._lost += length
        else:
            self._at, self._lost = at + length, 0
            part.at, part.tokens, part.asked = at, self._ledger.covering(at, at + length), asked
        return part


def _end_of_unit(text: str) -> int | None:
    """Where the unit ends that this text begins with; None if that is still to come."""
    if (match := _ENDS.search(text, 0, LONGEST_UNIT + 1)) is not None:
        return match.end()
    if len(text) <= LONGEST_UNIT:
        return None
    places = [match.end() for match in _SPACE.finditer(text, 0, LONGEST_UNIT)]
    return places[-1] if places else LONGEST_UNIT


# ---- what was answered -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Scored:
    """A stretch from one character of its document to behind another, and what both models say of its tokens."""

    begin: int
    end: int
    part: Part
    tuned: Sequence[float]
    base: Sequence[float]


class Evidence:
    """Of one document: what has been answered about its stretches."""

    def __init__(self, style_shift_bits: float) -> None:
        self._shift = style_shift_bits
        self.end = 0  # characters of the document that have been told of
        self._scored: deque[_Scored] = deque()

    def add(self, part: Part, ledger: TokenLedger | None) -> None:
        """The next stretch, with the base's answer if there is one."""
        begin, self.end = self.end, self.end + len(part.raw_text)
        while self._scored and self.end - self._scored[0].end > KEPT:
            self._scored.popleft()
        if ledger is None or part.tokens is None or part.score is None or isinstance(part.score, Unavailable):
            return
        tuned = ledger.logprobs(*part.tokens)
        if tuned is not None and len(tuned) == len(part.score):
            self._scored.append(_Scored(begin, self.end, part, tuned, part.score))

    def bits(self, start: int, end: int, ledger: TokenLedger) -> float | None:
        """Excess bits of these characters of the document; None where there is no evidence about all of them."""
        tokens: dict[int, tuple[float, float]] = {}
        at = start
        for scored in self._scored:
            if scored.begin <= at < scored.end:
                tokens.update(_tokens(scored, at - scored.begin, min(end, scored.end) - scored.begin, ledger))
                at = min(end, scored.end)
        if at < end or not tokens:
            return None
        return excess_bits([tuned for tuned, _ in tokens.values()], [base for _, base in tokens.values()], self._shift)


def _tokens(scored: _Scored, start: int, end: int, ledger: TokenLedger) -> Iterable[tuple[int, tuple[float, float]]]:
    """By its number, what the two models say of each token that spells these characters of the stretch."""
    part = scored.part
    assert part.at is not None
    assert part.tokens is not None
    begin = part.at + len(encoded(part.raw_text[:start]))
    first, last = ledger.covering(begin, begin + len(encoded(part.raw_text[start:end])))
    offset = part.tokens[0]
    return ((at, (scored.tuned[at - offset], scored.base[at - offset])) for at in range(first, last))
