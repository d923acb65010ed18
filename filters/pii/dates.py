"""Days and web addresses: suspicions like names, since most of them are anybody's.

A day is a calendar date with its day and year, in figures or with the month's name, with the time that stands behind
it; a day of the week where somebody is to be met. Days that are no dates ("the 4th", "in 1998", "2/3") are none. A web
address begins with its scheme or with "www.".

Where a profile names DATE, a month of a year and a day of a month are dates too ("March 2024", "3rd of March", 3月5日),
so are years of two figures, Chinese numerals, lines that break in the middle, and eight figures behind a word that says
what they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from filters.numerals import MONTH_EN, MONTHS, NUMBER_ZH, YEAR, YEAR_ZH
from filters.pii.view import CJK, View, scan
from filters.spans import Span

_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_TIME = r"(?:(?:,? |T)\d{1,2}:\d\d(?::\d\d)?(?:\.\d{1,6})?Z?)?"
_FIGURES = regex.compile(
    rf"(?<![\d./-])(?:{YEAR}([-/.]){_DAY}\1{_DAY}|{_DAY}([-/.]){_DAY}\2{YEAR}){_TIME}(?![\d/-]|\.\d)"
    rf"|{YEAR} ?年 ?{_DAY} ?月 ?{_DAY} ?[日号]"
)
_NAMED = regex.compile(
    rf"(?<![a-z\d])(?:{_DAY}(?:st|nd|rd|th)?(?: of)? {MONTH_EN},? {YEAR}|{MONTH_EN} {_DAY}(?:st|nd|rd|th)?,? {YEAR})"
    rf"(?!\d){_TIME}"
)
_APPOINTMENT = regex.compile(
    r"\b(?:meet(?:ing)?|see you|appointment|booked|scheduled|arriv(?:es?|ing)|visit(?:s|ing)?)\b[^.!?\n]{0,24}?"
    r"\b(?P<value>(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
)
_BIRTH = re.compile(r"\bborn\b|birth|\bdob\b|出生|生日|生于")
_BIRTH_REACH = 24


class Dates:
    """Calendar dates; surer behind a word for a birth."""

    kind = "DATE"
    digits = digit_run = 0

    def __init__(self, *, all_dates: bool = False) -> None:
        """`all_dates`: those without a day or a year as well."""
        self._all_dates = all_dates

    def find(self, view: View) -> Iterator[Span]:
        if self._all_dates and not view.backwards:
            for start, end in _further(view):
                yield Span(start, end, self.kind, 0.4)
        if view.digits:
            for pattern, signs in ((_FIGURES, ("-", "/", ".", "年")), (_NAMED, MONTHS)):
                if view.says(signs):
                    for match in scan(pattern, view.lower):
                        before = view.lower[max(0, match.start() - _BIRTH_REACH) : match.start()]
                        yield Span(match.start(), match.end(), self.kind, 0.7 if _BIRTH.search(before) else 0.4)
        if view.says(("day",)):
            for match in scan(_APPOINTMENT, view.lower):
                yield Span(match.start("value"), match.end("value"), self.kind, 0.3)


_TIME_SAID = r"(?:(?:,?[ \n](?:at )?|T)\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?(?: ?[ap]\.?m\.?)?(?:Z|[+-]\d\d:?\d\d)?)?"
_GAP = r"[ \n]{0,2}"
_DAY_SAID = rf"{_DAY}(?:st|nd|rd|th)?"
_YEAR_SAID = rf"(?:{YEAR}|['’]\d\d)"
_SHORT = regex.compile(
    rf"(?<![\d.,/-])(?:{_DAY}/{_DAY}/\d\d|{YEAR}-(?:0[1-9]|1[0-2])(?:-{_DAY})?){_TIME_SAID}(?![\d/-]|[.,]\d)",
    regex.IGNORECASE,
)
_WORD_START, _WORD_END = rf"(?<![^\W\d_{CJK}]|[\d_])", rf"(?![^\W\d_{CJK}]|[\d_])"
_IN_WORDS = regex.compile(
    rf"{_WORD_START}(?:{_DAY_SAID}\.?(?:[ \n]of)?[ \n/-]{{1,2}}{MONTH_EN}(?:,?[ \n/-]{{1,2}}{_YEAR_SAID})?"
    rf"|{MONTH_EN}[ \n]{{1,2}}(?:the )?{_DAY_SAID}(?!\d|:\d|[.,]\d|%)(?:,?[ \n]{{1,2}}{_YEAR_SAID})?"
    rf"|{MONTH_EN},?[ \n/-]{{1,2}}(?:of )?{_YEAR_SAID}){_WORD_END}{_TIME_SAID}",
    regex.IGNORECASE,
)
# "may 5 of them", "march 3 miles": words too, unless they are written as names or have a year.
_WORD_TOO = regex.compile(r"(?<![A-Za-z])(?:may|mar|march)(?![A-Za-z])(?!.*\d{4})(?!.*['’]\d\d)", regex.DOTALL)
_CHINESE = regex.compile(
    rf"(?:{YEAR_ZH}{_GAP}年{_GAP})?{NUMBER_ZH}{_GAP}月{_GAP}{NUMBER_ZH}{_GAP}[日号]{_TIME_SAID}"
    rf"|{YEAR_ZH}{_GAP}年{_GAP}{NUMBER_ZH}{_GAP}月(?!{_GAP}\d)(?:份|底|初|中旬|上旬|下旬)?"
)
_BARE = regex.compile(
    r"(?:\b(?:birth(?:day|date)?|dob|born|dated?)|出生|生日|生于|日期)[^\d\n]{0,12}"
    r"(?P<value>(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\d)",
    regex.IGNORECASE,
)
_BARE_SIGNS = ("birth", "dob", "born", "date", "出生", "生日", "生于", "日期")


def _further(view: View) -> Iterator[tuple[int, int]]:
    """Where the dates stand that only `all_dates` has."""
    if view.digits:
        yield from (match.span() for match in scan(_SHORT, view.text))
    if view.digits and view.says(MONTHS):
        for match in scan(_IN_WORDS, view.text):
            if not _WORD_TOO.search(match.group()):
                yield match.start(), match.start() + len(match.group().rstrip("."))
    if view.says(("月",)):
        yield from (match.span() for match in scan(_CHINESE, view.text))
    if view.digits >= 8 and view.says(_BARE_SIGNS):
        yield from (match.span("value") for match in scan(_BARE, view.text))


_WEB = regex.compile(rf"(?<![a-z\d@])(?:https?://|www\.)[^\s<>\"'`{CJK}]{{3,512}}", regex.IGNORECASE)


class WebAddresses:
    """Addresses of pages and sites."""

    kind = "WEB_ADDRESS"
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        if view.says(("://", "www.")):
            for match in scan(_WEB, view.text):
                address = match.group().rstrip(".,;:!?)]}")
                yield Span(match.start(), match.start() + len(address), self.kind, 0.4)
