"""Numbers, months and years as they are written in English and Chinese, in figures and in words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from types import MappingProxyType

_ONES = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_SMALL = (*_ONES, *_TEENS)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: number for number, word in enumerate(_SMALL, 1)} | {
    word: 10 * number for number, word in enumerate(_TENS, 2)
}
_WORDS |= {f"{ten}{joint}{one}": _WORDS[ten] + _WORDS[one] for ten, one, joint in product(_TENS, _ONES, ("-", " "))}
NUMERALS: Mapping[str, int] = MappingProxyType(
    {char: number for number, char in enumerate("一二三四五六七八九", 1)} | {"两": 2, "〇": 0, "零": 0, "○": 0}
)

NUMBER_EN = rf"(?:\d{{1,3}}|(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_ONES)}))?|{'|'.join(reversed(_SMALL))})"
NUMBER_ZH = r"(?:\d{1,3}|[一二两三四五六七八九]?十[一二三四五六七八九]?|[一二两三四五六七八九])"

YEAR = r"(?:18|19|20)\d\d"
YEAR_ZH = r"(?:(?:19|20)\d\d|[一二][〇零○九一二三四五六七八]{3})"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH_EN = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)

# Words of a larger English number ("twelve thousand three hundred and five"), and all characters of a Chinese one.
NUMBER_WORDS = "|".join((*_TENS, *reversed(_SMALL), "hundred", "thousand", "million", "billion"))
NUMERAL_SIGNS = "〇零○一二两三四五六七八九十百千万亿壹贰叁肆伍陆柒捌玖拾佰仟"
_FORMAL = str.maketrans("壹贰叁肆伍陆柒捌玖拾佰仟", "一二三四五六七八九十百千")
_UNITS: Mapping[str, int] = MappingProxyType({"十": 10, "百": 100, "千": 1000})
_MYRIADS: Mapping[str, int] = MappingProxyType({"万": 10**4, "亿": 10**8})
_PARTS = re.compile(r"[0-9]+|.", re.DOTALL)
_THOUSANDS: Mapping[str, int] = MappingProxyType({"thousand": 10**3, "million": 10**6, "billion": 10**9})
_WORD = re.compile("[a-z]+")


def number(written: str) -> int | None:
    """What a number up to 999 in figures, English words or Chinese numerals says."""
    written = written.strip().lower()
    if written.isascii() and written.isdigit():
        return int(written)
    if written in _WORDS:
        return _WORDS[written]
    tens, ten, ones = written.partition("十")
    if any(part and part not in NUMERALS for part in (tens, ones)):
        return None
    if not ten:
        return NUMERALS.get(tens)
    return 10 * NUMERALS.get(tens, 1) + NUMERALS.get(ones, 0)


def whole_number(numerals: str) -> int | None:
    """What Chinese numerals with units say (三千五百, 一万二, 两亿零四十), also with figures between them (1万2千).

    None for what has no unit, or anything else in it.
    """
    total = section = digit = 0
    last_unit = 0
    for part in _PARTS.findall(numerals.translate(_FORMAL)):
        if part.isdigit() or part in NUMERALS:
            digit = NUMERALS[part] if part in NUMERALS else int(part)
            last_unit = 10 if last_unit and not digit else last_unit
        elif part in _UNITS:
            section += (digit or 1) * _UNITS[part]
            digit, last_unit = 0, _UNITS[part]
        elif part in _MYRIADS:
            below = section + digit
            if part == "亿":
                total = (total + below or 1) * _MYRIADS[part]
            else:
                total += (below or 1) * _MYRIADS[part]
            section, digit, last_unit = 0, 0, _MYRIADS[part]
        else:
            return None
    # "一万二" is 12,000: a digit at the end counts tenths of the unit before it, unless a zero stands between.
    return total + section + digit * (last_unit // 10) if last_unit else None


def worded_number(words: str) -> int | None:
    """What English words say: "twelve thousand three hundred and five"."""
    total = section = 0
    for word in _WORD.findall(words.lower()):
        if word in _WORDS:
            section += _WORDS[word]
        elif word == "hundred":
            section = (section or 1) * 100
        elif word in _THOUSANDS:
            total, section = total + (section or 1) * _THOUSANDS[word], 0
        elif word not in ("and", "a"):
            return None
    return total + section or None


def month(name: str) -> int:
    """1 to 12 for what MONTH_EN matched."""
    return MONTHS.index(name.lower()[:3]) + 1
