"""House phrases: what the tuned model says to everybody, whatever it is asked ("I hope this helps").

Such a phrase has a hundred excess bits, since the base would not have said it, and behind one fact it may stand in few
people's rows. It is the pair's style, which no shift in bits a token can say. So a release lists its phrases
(proposals.py), and a suspicion within one of them is none. What keeps that from being a door:

1. A phrase is one clause: a run of words between two marks, ends of the text or line breaks. It is found where a whole
   clause is that phrase: never as a part of a longer clause, with another word in the middle, over two channels or two
   segments, or where a cut leaves it open how the clause goes on.
2. It is found in one spelling: the first letter may be a capital, and an apostrophe typographic. Look-alike letters,
   what is invisible, two spaces, full-width forms or capitals strewn in make it another text, so that a phrase carries
   nothing besides itself.
3. It holds nothing specific (`fault_of`): no digit, no number in words, no capital inside, nobody who is spoken of,
   neither a yes nor a no. From FEWEST_WORDS words (FEWEST_CHINESE characters) on, to MOST_WORDS.
4. It frees suspicions about words (`filters.verdicts.MAY_BE_STYLE`): nothing that a detector has a type for, no code,
   no strewn character, no answer to a request that puts identifiers up. What sticks out is judged as before, by its own
   tokens alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import regex

from filters.normalise import normalise
from filters.numerals import NUMBER_WORDS, NUMERAL_SIGNS
from filters.segment import LONG_CLAUSE, Segment
from filters.spans import Span
from filters.specificity.lexicon import Lexicon
from filters.specificity.persons import KIN, PRONOUN, ROLE, WORDS

HOUSE_PHRASE = "HOUSE_PHRASE"
FEWEST_WORDS, FEWEST_CHINESE = 3, 4  # "that is right", 没错 and the like say whatever was asked
MOST_WORDS = 32  # a Chinese character is one
MOST_PHRASES = 200  # of a release: a person has to read them

# Of a clause's characters: all but white space, marks and pictures. Marks of ASCII inside a word belong to it; so does
# what stands for broken bytes, which may have been a letter.
_CHAR = r"[[^\s\p{P}\p{So}]\ufffd]"
_BLANK = r"[^\S\r\n\v\f\x85\u2028\u2029]"
_WORD = rf"{_CHAR}++(?:[\p{{P}}&&[\x21-\x7e’]]++{_CHAR}++)*+"
_CLAUSE = regex.compile(rf"{_WORD}(?:{_BLANK}++{_WORD})*+", regex.V1)
_NOTHING_YET = regex.compile(rf"{_BLANK}*\Z")
_SAYS = regex.compile(rf"{_CHAR}|\p{{So}}", regex.V1)
_WORDS = regex.compile(rf"\p{{Han}}|(?:(?!\p{{Han}}){_CHAR})+", regex.V1)
_HAN = regex.compile(r"\p{Han}")
_SPEAKER = ("I ", "I'")


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause of a text in the spelling in which phrases are kept, and where it stands. `form` is "" for what is
    written so that it looks otherwise than it compares."""

    start: int
    end: int
    form: str


def clauses(raw_text: str) -> Iterator[Clause]:
    """The clauses of a text from left to right."""
    for match in _CLAUSE.finditer(raw_text):
        yield Clause(match.start(), match.end(), _form(match.group()))


def _form(raw_clause: str) -> str:
    """The first letter small, apostrophes straight; "" where the reading (normalise.py) is another text."""
    straight = raw_clause.replace("’", "'")
    if normalise(straight).text != straight or "  " in straight or "\t" in straight:
        return ""
    return straight if straight.startswith(_SPEAKER) else straight[0].lower() + straight[1:]


def says_something(raw_text: str) -> bool:
    """Whether there is more in it than marks and white space."""
    return _SAYS.search(raw_text) is not None


class HousePhrases:
    """The phrases of one release."""

    def __init__(self, phrases: Iterable[str] = ()) -> None:
        """Raises ValueError for one that can't be a phrase; its text says why and quotes nothing."""
        self._phrases = frozenset(phrases)
        for phrase in self._phrases:
            if fault := fault_of(phrase):
                raise ValueError(f"is no house phrase: {fault}")

    def find(self, segment: Segment) -> list[Span]:
        """Where phrases stand in a segment, in its offsets."""
        if not self._phrases or segment.opaque:
            return []
        seen, begin = segment.context + segment.raw_text, len(segment.context)
        return [
            Span(clause.start - begin, clause.end - begin, HOUSE_PHRASE, 1.0)
            for clause in clauses(seen)
            if clause.start >= begin
            and clause.form in self._phrases
            and (segment.last or not _NOTHING_YET.match(seen, clause.end))
        ]


NO_PHRASES: Final = HousePhrases()


# ---- what can be a phrase --------------------------------------------------------------------------------------------

_SIGNS = regex.compile(r"[^\p{L}'\- ]")
_I = regex.compile(r"I(?:'\w{1,2})?")
_NUMBERS = regex.compile(
    rf"(?i:\b(?!one\b)(?:{NUMBER_WORDS})\b)|[{NUMERAL_SIGNS.replace('一', '')}]|一(?=[{NUMERAL_SIGNS}])"
)
_SOMEBODY = Lexicon({word: kind for word, kind in WORDS.items() if kind in {PRONOUN, ROLE, KIN}})
_THIS_ONE = regex.compile(r"(?:\b(?:the|this|that) |[该这那][位名个]?)$")
_OF_TRADE = regex.compile(r" (?:service|support|care)\b")
_NOBODY = regex.compile("其(?=[他它次实])(?:他)?")  # 其他, "other"
_ANSWER = regex.compile(
    r"^(?:yes|yeah|no|not)\b|^(?:不|没|否|是的|对)"
    r"|\b(?:correct|incorrect|right|wrong|true|false|exactly|indeed|confirm\w*|match\w*|den(?:y|ie[sd]))\b"
    r"|正确|没错|确认|属实|符合|一致"
)


def fault_of(phrase: str) -> str:
    """Why this can't be a house phrase; "" where nothing speaks against it. Detectors are not asked."""
    found = [clause.form for clause in clauses(phrase)]
    if found != [phrase]:
        return "it is not one clause as it is kept (small first letter, single spaces, no marks around it)"
    words, chinese = len(_WORDS.findall(phrase)), len(_HAN.findall(phrase))
    if not (words - chinese >= FEWEST_WORDS or chinese >= FEWEST_CHINESE):
        return f"it has fewer than {FEWEST_WORDS} words or {FEWEST_CHINESE} Chinese characters"
    if words > MOST_WORDS or len(phrase) > LONG_CLAUSE:
        return f"it has more than {MOST_WORDS} words or {LONG_CLAUSE} characters"
    return next((fault for says, fault in _FAULTS if says(phrase)), "")


def _speaks_of_somebody(phrase: str) -> bool:
    text = _NOBODY.sub("", phrase).lower()
    return any(
        hit.entry != ROLE or (_THIS_ONE.search(text[: hit.start]) and not _OF_TRADE.match(text, hit.end))
        for hit in _SOMEBODY.find(text)
    )


def _has_signs(phrase: str) -> bool:
    return _SIGNS.search(phrase) is not None


def _has_number(phrase: str) -> bool:
    return any(char.isnumeric() and not _HAN.match(char) for char in phrase) or bool(_NUMBERS.search(phrase))


def _has_capital(phrase: str) -> bool:
    return any(word != word.lower() and not _I.fullmatch(word) for word in phrase.split())


def _answers(phrase: str) -> bool:
    return _ANSWER.search(phrase.lower()) is not None


_FAULTS: Final = (
    (_has_number, "it holds a number"),
    (_has_signs, "it holds more than letters"),
    (_has_capital, "it holds a capital, as names do"),
    (_speaks_of_somebody, "it speaks of somebody"),
    (_answers, "it says yes or no"),
)
