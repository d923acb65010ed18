"""Values that are told instead of written: digits in words, one character at a time, backwards.

Each function takes a reading and yields further readings of the same raw text; none where the text has no such form.

- Chinese numerals, plain and 大写 (壹贰叁), five or more in a row, become digits, each in its place.
- Letters that look like digits (l, I, O) in a number of seven places or more, five of them digits, become digits.
- English digits in words ("one three eight", "double five", "oh", "onethreeeight"), three words or more of five or more
  digits: spaces between them go; where a row has other separators as well, these become "-" ("dot" becomes ".").
- Characters apart ("v e x l o", "1.3.8", one a line): five or more with the same separator are put together.
- Backwards: a row of digits, a token with digits or "@", a Chinese run with a door number is turned round in its place,
  so that the label in front of it stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise

from filters.normalise import Normalised
from filters.pii.chinese import PLATE_PROVINCES
from filters.pii.encoded import Rewriter, is_placeholder


def spellings(reading: Normalised) -> Iterator[Normalised]:
    """Every further reading that telling a value otherwise calls for."""
    if not reading.text.isascii():
        yield from _from_numerals(reading)
    yield from _from_words(reading)
    yield from _from_look_alikes(reading)
    together = list(_together(reading))
    yield from together
    for joined in together:
        if not joined.text.isascii():
            yield from _from_numerals(joined)


def turned(reading: Normalised, known: Callable[[int, int], bool]) -> Iterator[Normalised]:
    """Readings in which what may be a value is turned round; not where `known` says that it has been found as it is.

    `known` takes a raw start and end.
    """
    text = reading.text
    digits = sum(map(text.count, "0123456789"))
    if not digits and "@" not in text:
        return

    def unknown(run: re.Match[str]) -> bool:
        core = _CORE.search(text, *run.span())
        return core is not None and not known(*reading.raw_span(*core.span()))

    if digits >= _FEWEST_TURNED or "@" in text or _LONG_TOKEN.search(text) or _TURNED_PAN.search(text):
        yield from _turn(
            reading, _TURNED, lambda run: _is_value(run.group()) and not is_placeholder(run) and unknown(run)
        )
    if not text.isascii() and _HAN_SIGN.search(text):
        yield from _turn(reading, _TURNED_HAN, lambda run: _HAN_SIGN.search(run.group()) is not None and unknown(run))


_Test = Callable[[re.Match[str]], bool]


# ---- Chinese numerals ------------------------------------------------------------------------------------------------

NUMERALS = "〇零○一二三四五六七八九幺两壹贰貳叁參肆伍陆陸柒捌玖"
_ARABIC = str.maketrans(NUMERALS, "000" + "123456789" + "12" + "12233456678" + "9")
# Shorter rows are ordinary words ("三三两两", 一九九八年).
_NUMERAL_ROW = re.compile(rf"[{NUMERALS}0-9](?:(?:[ ,、.\n-]|\)[ -]?)?[{NUMERALS}0-9]){{4,}}")


def _from_numerals(reading: Normalised) -> Iterator[Normalised]:
    text = _NUMERAL_ROW.sub(lambda row: row.group().translate(_ARABIC), reading.text)
    if text != reading.text:
        yield Normalised(text, reading.offsets, reading.ends)


# ---- letters for digits ----------------------------------------------------------------------------------------------

_LOOK_ALIKES = str.maketrans("lIOo", "1100")
_MAYBE_LOOK_ALIKE = re.compile(r"[0-9][lIOo]|[lIOo][0-9]")
_LOOK_ALIKE_ROW = re.compile(r"(?<![A-Za-z0-9])[0-9lIOo](?:[ .-]?[0-9lIOo]){6,}(?![A-Za-z0-9])")
_FEWEST_TRUE_DIGITS = 5


def _from_look_alikes(reading: Normalised) -> Iterator[Normalised]:
    if not _MAYBE_LOOK_ALIKE.search(reading.text):
        return

    def in_digits(row: re.Match[str]) -> str:
        written = row.group()
        return written.translate(_LOOK_ALIKES) if sum(map(str.isdigit, written)) >= _FEWEST_TRUE_DIGITS else written

    text = _LOOK_ALIKE_ROW.sub(in_digits, reading.text)
    if text != reading.text:
        yield Normalised(text, reading.offsets, reading.ends)


# ---- English digits in words -----------------------------------------------------------------------------------------

_VALUES = {
    "zero": "0",
    "nought": "0",
    "naught": "0",
    "oh": "0",
    "o": "0",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
}
_TIMES = {"double": 2, "triple": 3, "treble": 3, "quadruple": 4}
_SIGNS = {"dot": ".", "point": ".", "slash": "/", "plus": "+", "colon": ":"}
DIGIT_WORD = "zero|one|two|three|four|five|six|seven|eight|nine|oh|nought|naught"
TIMES_WORD = "|".join(_TIMES)
_LEFT, _RIGHT = r"(?<![A-Za-z0-9])", r"(?![A-Za-z0-9])"
_GAP = r"(?:[ \t\n]{1,3}|[ \t]?[,.;:/\n-][ \t\n]{0,2}){1,2}"
_SPOKEN_SIGN = rf"(?:{_GAP}(?:dash|hyphen|minus|space|then|and|{'|'.join(_SIGNS)}){_RIGHT})?"
_TOLD = rf"(?:(?:(?:{TIMES_WORD}){_GAP})?(?:(?:{DIGIT_WORD}|o|[a-z]){_RIGHT}|[0-9]{{1,4}}(?![0-9])))"
_PLUS = rf"(?P<plus>plus{_GAP})?"
_TOLD_ROW = re.compile(rf"{_LEFT}{_PLUS}{_TOLD}(?:{_SPOKEN_SIGN}{_GAP}{_TOLD}){{3,}}", re.IGNORECASE)
_GLUED_ROW = re.compile(rf"(?<![A-Za-z]){_PLUS}(?:{DIGIT_WORD}){{5,}}(?![a-z])", re.IGNORECASE)
_PART = re.compile(rf"(?:(?P<times>{TIMES_WORD}){_GAP})?{_LEFT}(?P<item>{_TOLD})", re.IGNORECASE)
_GLUED_PART = re.compile(rf"(?P<times>(?!))?(?P<item>{DIGIT_WORD})", re.IGNORECASE)
# A cheap test for all this: two words for digits side by side.
_TWO_WORDS = re.compile(
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|oh)[^a-z]{0,3}"
    r"(?:zero|one|two|three|four|five|six|seven|eight|nine|oh|double|triple|dash|dot)"
)
_FEWEST_WORDS, _FEWEST_DIGITS = 3, 5


def _from_words(reading: Normalised) -> Iterator[Normalised]:
    if not _TWO_WORDS.search(reading.text.lower()):
        return
    for pattern, part in ((_TOLD_ROW, _PART), (_GLUED_ROW, _GLUED_PART)):
        out, found = Rewriter(reading), False
        for row in pattern.finditer(reading.text):
            parts = list(part.finditer(reading.text, *row.span()))
            if _is_number(parts):
                out.copy_until(row.start())
                if row["plus"]:
                    out.put("+", *row.span("plus"))
                _put_told(out, reading.text, parts)
                out.skip_to(parts[-1].end())
                found = True
        if found:
            yield out.done()


def _is_number(parts: list[re.Match[str]]) -> bool:
    words = sum(len(part["item"]) > 1 and part["item"].isalpha() for part in parts)
    return words >= _FEWEST_WORDS and sum(map(len, map(_told, parts))) >= _FEWEST_DIGITS


def _told(part: re.Match[str]) -> str:
    item = part["item"]
    value = _VALUES.get(item.lower(), item)
    return value * _TIMES[part["times"].lower()] if part["times"] else value


def _put_told(out: Rewriter, text: str, parts: list[re.Match[str]]) -> None:
    gaps = [text[a.end() : b.start()] for a, b in pairwise(parts)]
    signs = [_sign(gap) for gap in gaps]
    alike = len({sign for sign in signs if sign in (None, "-")}) < 2
    for part, gap, sign in zip(parts, [*gaps, ""], [*signs, None], strict=True):
        for char in _told(part):
            out.put(char, *part.span())
        if gap:
            out.put(None if sign == "-" and alike else sign, part.end(), part.end() + len(gap))


def _sign(gap: str) -> str | None:
    """What a separator in a told number stands for: nothing for white space."""
    word = gap.strip(" \t\n,;-").lower()
    return _SIGNS.get(word, "-") if gap.strip() else None


# ---- one at a time ---------------------------------------------------------------------------------------------------

_APART = re.compile(
    r"(?<![^\s:(\"'\u2e80-\U0003134f])([^\s])([ \t]{0,2}\n[ \t]{0,2}|[ \t]{1,3}|[-.,_·•|*/])[^\s]"
    r"(?:\2[^\s]){3,}(?![A-Za-z0-9])"
)


# A cheap test: a separator, a character, the same separator.
_MAYBE_APART = re.compile(r"([ \t\n\-.,_·•|*/])\s{0,4}\S\s{0,2}\1")


def _together(reading: Normalised) -> Iterator[Normalised]:
    if not _MAYBE_APART.search(reading.text):
        return
    out, found = Rewriter(reading), False
    for row in _APART.finditer(reading.text):
        start, step = row.start(), 1 + len(row[2])
        out.copy_until(start)
        for at in range(start, row.end(), step):
            out.put(reading.text[at], at, at + 1)
            if at + 1 < row.end():
                out.put(None, at + 1, at + step)
        out.skip_to(row.end())
        found = True
    if found:
        yield out.done()


# ---- backwards -------------------------------------------------------------------------------------------------------

_TURNED = re.compile(
    r"(?P<groups>(?<![\w.])[A-Z0-9]{1,8}(?:[ -][A-Z0-9]{1,8}){2,12}(?!\w|[)/.]\d)\+?)"
    r"|(?P<digits>(?<![\w.])[A-Za-z]{0,2}[(]?[0-9](?:[ .\-/()]{0,2}[0-9]){6,}[+()]?[A-Za-z]{0,2}(?!\w))"
    r"|(?P<token>(?!:)[A-Za-z0-9_.+%@:/=~#$&*!?·-]{7,})"
)
_TURNED_HAN = re.compile(r"[\u4e00-\u9fffA-Za-z0-9\-#·. ]{7,64}")
_HAN_SIGN = re.compile(rf"[号室弄栋楼层院座幢户组][0-9]{{1,5}}|[0-9A-Z]{{5,7}}[·.]?[A-Z]?[{PLATE_PROVINCES}]")
_CORE = re.compile(r"[\w+()](?:.*[\w+()])?", re.DOTALL)  # a full stop behind a value is no part of it, a "+" is
_FEWEST_TURNED = 5
_LONG_TOKEN = re.compile(r"[A-Za-z0-9_/+=-]{16}")  # may be a key with hardly a digit
_TURNED_PAN = re.compile(r"[A-Z][0-9]{4}[A-Z]{5}")  # India's tax number holds four


def _turn(reading: Normalised, pattern: re.Pattern[str], wanted: _Test) -> Iterator[Normalised]:
    out, found = Rewriter(reading), False
    for run in pattern.finditer(reading.text):
        if not wanted(run):
            continue
        out.copy_until(run.start())
        mirror = _MIRROR if run.group().find("(") < run.group().find(")") else {}
        for at in range(run.end() - 1, run.start() - 1, -1):
            out.put(mirror.get(reading.text[at], reading.text[at]), at, at + 1)
        out.skip_to(run.end())
        found = True
    if found:
        yield out.done()


def _is_value(run: str) -> bool:
    digits = sum(map(str.isdigit, run))
    if digits >= _FEWEST_TURNED or "@" in run:
        return True
    return digits > 0 and (_LONG_TOKEN.search(run) is not None or _TURNED_PAN.fullmatch(run) is not None)


_MIRROR = {"(": ")", ")": "("}  # brackets that were turned with what they hold; in ")514(" they were not
