"""Values that are strewn over an answer, a character or a small group at a time.

"The first digit is 1. The next one is 3 …" holds no typed value anywhere, and all of one together. So small groups of
digits and letters that stand alone are counted along the prose of one choice, whatever channel it comes in:

1. An item is a group of one to four digits or Chinese numerals, a digit's name or a letter that stand by themselves;
   where the base can be asked, also a line of one or two letters or Chinese characters.
2. Items make a chain while at most REACH characters lie between them, line breaks included.
3. Of a chain at most FREE characters pass; what comes later is a finding. Two groups of three or more that are no years
   are a chain where the base model can be asked. Otherwise two numbers are too ordinary, and the third tells that it is
   one: a second item has passed then if it stood in an earlier segment.
4. No items: numbers with a unit, a currency or a percent sign, times, dates, decimals, the numbers of a list, the
   words "a" and "I". A chain that only counts (5, 6, 7 …) is no value.

A finding of this kind is a suspicion, not a typed value: a table of numbers looks the same. Where the base model can be
asked, what it would have said too is released. A digit alone is worth three bits and never looks memorised, so the bits
of one chain add up, and SHARE of what makes a whole value memorised is enough: less than one digit that only the tuned
model is sure of.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from filters.normalise import normalise
from filters.spans import Span

STREWN = "STREWN"
FREE = 4  # characters of a strewn value that may leave (DESIGN, rule 3)
REACH = 48  # "the second digit of her number is" and a little more
SHARE = 0.25
FEWEST_ITEMS, FEWEST_UNASKED = 2, 3
LONGEST_VALUE = 20  # items: a card has 19 digits; a long table of numbers is no value for the sum of its noise
_GROUP = 3
_YEAR = re.compile(r"(?:18|19|20)\d\d")
_SCORE = 0.6

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAMES = dict(zip(_WORDS, "0123456789", strict=True))
_NUMERALS = dict(zip("零〇一幺二三四五六七八九", "001123456789", strict=True))
_UNIT = (
    r"(?:%|°|years?|months?|weeks?|days?|hours?|minutes?|seconds?|h\b|min\b|km|cm|mm|kg|mg|ml|gb|mb|kb|euros?|dollars?"
    r"|pounds?|yuan|percent|times|people|persons?|items?|pieces?|pages?|steps?|working|business|am\b|pm\b|o'clock"
    r"|年|月|日|号|天|周|个|岁|时|点|分|秒|元|块|人|次|件|条|页|步|楼|层|米|公里|千克|公斤|位|种|款|折|倍)"
)
_ITEM = re.compile(
    rf"(?<![A-Za-z0-9_$€£¥/-])(?<![A-Za-z0-9]\.)(?<!\d:)"
    rf"(?:(?P<digits>\d{{1,4}})(?![\d/:]|[.,]\d|[ \t]?(?i:{_UNIT}))|(?<!['’])(?<![A-Za-z0-9]:)(?P<letter>[b-zB-HJ-Z]))"
    rf"(?![A-Za-z0-9_'’@])"
    rf"|(?i:\b(?P<name>{'|'.join(_NAMES)})\b(?!\s{_UNIT}))"
    rf"|(?<![\u4e00-\u9fff])(?P<numeral>[{''.join(_NUMERALS)}]{{1,4}})(?![\u4e00-\u9fff])"
    rf"|(?<=[是为,、: ])(?P<told>[{''.join(_NUMERALS)}]{{1,4}})(?=[,、。.;；\s]|$)"
)
_LINE = re.compile(r"(?m:^)[ \t]*(?:[A-Za-z]{2}|[\u4e00-\u9fff]{1,2})[ \t]*(?m:$)")
_LIST_NUMBER = re.compile(r"(?:^|\n)[ \t]*\d{1,3}[.)、]")


@dataclass(slots=True)
class StrewnValues:
    """The chain of one text. Feed it the segments in order: what it finds is a function of the text alone."""

    fewest: int = FEWEST_UNASKED  # items that make a chain
    chain: int = 0  # the number of the chain that the last item belongs to
    bits: tuple[float, ...] = ()  # excess bits of that chain's last findings, as far as the base was asked
    _since: int = REACH + 1  # characters since the last item
    _items: int = 0
    _characters: int = 0
    _are_groups: bool = True  # every item so far was a group that is no year
    _last: int | None = None  # the number that the last item was
    _counts_up: bool = True  # every item so far was one more than the one before

    def find(self, raw_text: str) -> list[Span]:
        """What of this segment goes beyond FREE characters of a chain."""
        plain = normalise(raw_text)
        numbering = [match.end() for match in _LIST_NUMBER.finditer(plain.text)]
        spans: list[Span] = []
        waiting: list[Span] = []  # past FREE in a chain that is too short as yet
        at = 0
        for match in self._matches(plain.text):
            if any(match.start() < end <= match.end() + 1 for end in numbering):
                continue
            self._since += match.start() - at
            at = match.end()
            if self._is_too_much(_value(match), waiting):
                waiting.append(Span(*plain.raw_span(match.start(), match.end()), STREWN, _SCORE))
                if self._items >= self.fewest and (self._items >= FEWEST_UNASKED or self._are_groups):
                    spans += waiting
                    waiting.clear()
            self._since = 0
        self._since += len(plain.text) - at
        return spans

    def _matches(self, text: str) -> list[re.Match[str]]:
        items = list(_ITEM.finditer(text))
        if self.fewest == FEWEST_UNASKED:
            return items
        taken = {match.start() for match in items}
        lines = [line for line in _LINE.finditer(text) if not taken.intersection(range(*line.span()))]
        return sorted([*items, *lines], key=re.Match.start)

    def add_bits(self, new: Sequence[float], before: Sequence[float]) -> float:
        """Note the excess bits of what the last text held; those of its chain so far, over LONGEST_VALUE findings.

        `before` are the bits before that text, which may have gone on with a chain and begun the next.
        """
        self.bits = (*self.bits, *new)[-LONGEST_VALUE:]
        return max(sum(self.bits), sum((*before, *new)[-LONGEST_VALUE:]))

    def _is_too_much(self, value: str, waiting: list[Span]) -> bool:
        """Count one item; whether it goes too far. What waits for its chain to grow is dropped with the chain."""
        number = int(value) if value.isdecimal() else None
        if self._since > REACH:
            self.chain += 1
            self.bits = ()
            self._items, self._characters, self._counts_up, self._are_groups = 0, 0, True, True
            waiting.clear()
        elif number is None or self._last is None or number != self._last + 1:
            self._counts_up = False
        self._are_groups = self._are_groups and len(value) >= _GROUP and _YEAR.fullmatch(value) is None
        self._last = number
        self._items += 1
        self._characters += len(value)
        return self._characters > FREE and not self._counts_up


def _value(match: re.Match[str]) -> str:
    text = match.group().strip()
    if text.lower() in _NAMES:
        return _NAMES[text.lower()]
    return "".join(_NUMERALS.get(char, char) for char in text)
