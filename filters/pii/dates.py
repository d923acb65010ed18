"""Days and web addresses: suspicions like names, since most of them are anybody's.

A day is a calendar date with its day and year, in figures or with the month's name, with the time that stands behind
it; a day of the week where somebody is to be met. Days that are no dates ("the 4th", "in 1998", "2/3") are none. A web
address begins with its scheme or with "www.".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from filters.pii.view import CJK, View, scan
from filters.spans import Span

_YEAR, _DAY = r"(?:1[89]|20)\d\d", r"(?:0?[1-9]|[12]\d|3[01])"
_TIME = r"(?:(?:,? |T)\d{1,2}:\d\d(?::\d\d)?(?:\.\d{1,6})?Z?)?"
_FIGURES = regex.compile(
    rf"(?<![\d./-])(?:{_YEAR}([-/.]){_DAY}\1{_DAY}|{_DAY}([-/.]){_DAY}\2{_YEAR}){_TIME}(?![\d/-]|\.\d)"
    rf"|{_YEAR} ?年 ?{_DAY} ?月 ?{_DAY} ?[日号]"
)
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_NAMED = regex.compile(
    rf"(?<![a-z\d])(?:{_DAY}(?:st|nd|rd|th)?(?: of)? {_MONTH},? {_YEAR}|{_MONTH} {_DAY}(?:st|nd|rd|th)?,? {_YEAR})"
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

    def find(self, view: View) -> Iterator[Span]:
        if view.digits:
            for pattern, signs in ((_FIGURES, ("-", "/", ".", "年")), (_NAMED, _MONTHS)):
                if view.says(signs):
                    for match in scan(pattern, view.lower):
                        before = view.lower[max(0, match.start() - _BIRTH_REACH) : match.start()]
                        yield Span(match.start(), match.end(), self.kind, 0.7 if _BIRTH.search(before) else 0.4)
        if view.says(("day",)):
            for match in scan(_APPOINTMENT, view.lower):
                yield Span(match.start("value"), match.end("value"), self.kind, 0.3)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

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
