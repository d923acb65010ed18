"""What is exact enough to ask the base model about, although no detector knows its type.

A misspelt telephone number, an order number, a customer's code: typed detectors look for forms, and a model that
half remembers a value writes another form. So, where the base can be asked, it is asked about

1. runs of letters and digits with at least FEWEST_DIGITS digits (single spaces, dashes, dots and slashes may join their
   groups), dates and amounts of money aside, and words with an "@" in them: CODE;
2. what stands in quotation marks, from QUOTED_WORDS words or QUOTED_CHINESE characters on: QUOTATION;
3. runs of letters that are no words of any language written so: without vowels, or with capitals strewn in: NO_WORD;
4. letters of a script that none of the role's languages is written in: OTHER_SCRIPT;
5. with an index, runs of tokens of which the tuned model was all but certain, with enough rare ones: CERTAIN. Byte-pair
   vocabularies number their tokens by how often they were merged, so the later half counts as rare.

What the caller wrote himself is left out of 2 to 5: the base would copy it as well.

These are triggers and no findings: what the base would have said too is released, and without a base model to ask
nothing is looked for. Taught facts with such numbers in them fall back as well, unless an index of the tuning set tells
that many subjects share them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from functools import cached_property
from itertools import groupby
from types import MappingProxyType

import regex

from filters.normalise import normalise
from filters.spans import Span

CODE, QUOTATION, NO_WORD, OTHER_SCRIPT, CERTAIN = "CODE", "QUOTATION", "NO_WORD", "OTHER_SCRIPT", "CERTAIN"
TRIGGERS = frozenset({CODE, QUOTATION, NO_WORD, OTHER_SCRIPT, CERTAIN})
QUOTED_WORDS, QUOTED_CHINESE = 4, 8
LONGEST_QUOTED = 400  # characters
CERTAIN_NATS = -0.02  # p = 0.98
CERTAIN_TOKENS, RARE_TOKENS = 8, 4  # in one run
FEWEST_DIGITS = 5  # four are a year, a price or a time
_SCORE = 0.3

_RUN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{0,4}[-#]?\d(?:[-./ ]?[A-Za-z]{0,3}\d)+[A-Za-z]{0,3}(?![A-Za-z0-9])")
_AT_WORD = re.compile(r"[A-Za-z0-9._%+-]{1,64}@{1,2}[A-Za-z0-9._-]{0,64}")
_MONEY = re.compile(r"[$€£¥]\s?$|(?:\b(?:USD|EUR|GBP|CNY|RMB)\s?)$", re.IGNORECASE)
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_DATE = re.compile(rf"{_YEAR}[-./ ]{_MONTH}[-./ ]{_DAY}|(?:[0-3]?\d[-./ ]){{2}}{_YEAR}")


def exact_values(raw_text: str) -> list[Span]:
    """Spans of kind CODE in offsets of `raw_text`. Linear in its length."""
    plain = normalise(raw_text)
    found = [match.span() for match in _AT_WORD.finditer(plain.text)]
    found += [match.span() for match in _RUN.finditer(plain.text) if _is_exact(plain.text, match)]
    return [Span(*plain.raw_span(start, end), CODE, _SCORE) for start, end in found]


def _is_exact(text: str, match: re.Match[str]) -> bool:
    if sum(map(str.isdigit, match.group())) < FEWEST_DIGITS or _DATE.fullmatch(match.group()):
        return False
    return _MONEY.search(text, max(0, match.start() - 5), match.start()) is None


# Languages by ISO 639-1, and the scripts (Unicode, UAX 24) that they are written in. Latin letters stand in all.
SCRIPTS = MappingProxyType(
    {
        **dict.fromkeys(("en", "de", "fr", "es", "pt", "it", "nl", "pl", "tr", "vi", "id", "sv", "da", "cs"), ()),
        "zh": ("Han", "Bopomofo"),
        "ja": ("Han", "Hiragana", "Katakana"),
        "ko": ("Hangul", "Han"),
        **dict.fromkeys(("ru", "uk", "bg", "sr"), ("Cyrillic",)),
        "el": ("Greek",),
        "ar": ("Arabic",),
        "he": ("Hebrew",),
        "hi": ("Devanagari",),
        "th": ("Thai",),
    }
)
_QUOTED = regex.compile(
    rf"(?<=[“「『«])[^“”「」『』«»\n]{{1,{LONGEST_QUOTED}}}(?=[”」』»])"
    rf'|(?<![^\s(\[（：:，,])"(?P<plain>[^"\n]{{1,{LONGEST_QUOTED}}})"'
)
_QUOTED_SO_FAR = regex.compile(
    rf"(?<=[“「『«])[^“”「」『』«»\n]{{1,{LONGEST_QUOTED}}}\Z"
    rf'|(?<![^\s(\[（：:，,])"[^"\n]{{1,{LONGEST_QUOTED}}}\Z'
)
_HAN = regex.compile(r"\p{Han}")
_LATIN_WORD = regex.compile(r"[\p{Latin}\d'’-]+")
_VOWELS = "aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýœ"
_NO_WORD = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}])(?:(?i:(?![{_VOWELS}])\p{{Latin}}){{7,}}"  # no vowel
    rf"|\p{{Latin}}*?(?i:(?![{_VOWELS}])\p{{Latin}}){{8,}}\p{{Latin}}*"  # eight consonants in a row
    rf"|(?:\p{{Ll}}+\p{{Lu}}+){{3,}}\p{{L}}*)(?![\p{{L}}\p{{N}}])"
)


class Own:
    """What the caller wrote, as text that may come back."""

    def __init__(self, own_text: str) -> None:
        self._own_text = own_text

    @cached_property
    def _folded(self) -> str:
        return _folded(self._own_text)

    def holds(self, raw_text: str) -> bool:
        """Whether these words stand in it, case and spaces aside."""
        return _folded(raw_text) in self._folded


def _folded(raw_text: str) -> str:
    return "".join(normalise(raw_text).text.casefold().split())


class TextTriggers:
    """Triggers 2 to 4 of one answer."""

    def __init__(self, own: Own, languages: Collection[str]) -> None:
        """`languages` of SCRIPTS; none: any script will do. ValueError for one that is not there."""
        unknown = set(languages) - SCRIPTS.keys()
        if unknown:
            raise ValueError(f"no such languages: {sorted(unknown)}")
        scripts = "".join(sorted({rf"\p{{{script}}}" for language in languages for script in SCRIPTS[language]}))
        self._other = regex.compile(rf"(?:[^\P{{L}}\p{{Latin}}{scripts}]\p{{M}}*){{2,}}") if languages else None
        self._own = own

    def find(self, raw_text: str, *, still_open: bool = False) -> list[Span]:
        """Spans in offsets of `raw_text`. `still_open`: more of it comes, so that its last quotation may not have
        ended."""
        found = [*_spans(_NO_WORD, NO_WORD, raw_text), *_spans(_QUOTED, QUOTATION, raw_text)]
        if still_open:
            found += _spans(_QUOTED_SO_FAR, QUOTATION, raw_text)
        if self._other is not None:
            found += _spans(self._other, OTHER_SCRIPT, raw_text)
        return [span for span in found if not self._own.holds(raw_text[span.start : span.end])]


def _spans(pattern: regex.Pattern[str], kind: str, raw_text: str) -> Iterator[Span]:
    for match in pattern.finditer(raw_text):
        if kind is not QUOTATION or _says(match.group()):
            yield Span(match.start(), match.end(), kind, _SCORE)


def _says(quoted: str) -> bool:
    return len(_LATIN_WORD.findall(quoted)) >= QUOTED_WORDS or len(_HAN.findall(quoted)) >= QUOTED_CHINESE


def words(text: str) -> int:
    """How many words a text has; a Chinese character is one."""
    return len(_LATIN_WORD.findall(text)) + len(_HAN.findall(text))


def certain_runs(tokens: Iterable[tuple[int, float, int, int]], rare_from: int) -> Iterator[tuple[int, int]]:
    """First byte, and byte behind the last, of trigger 5; `tokens` are (id, natural log-probability, first byte, byte
    behind it) in their order, and ids from `rare_from` on are rare."""
    for certain, run in groupby(tokens, key=lambda token: token[1] >= CERTAIN_NATS):
        entries = list(run) if certain else []
        if len(entries) >= CERTAIN_TOKENS and sum(token[0] >= rare_from for token in entries) >= RARE_TOKENS:
            yield entries[0][2], entries[-1][3]
