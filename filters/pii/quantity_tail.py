"""Where a text may be cut without splitting a date, an age, an amount, and what of one its end could hold.

As tail.py, for profiles that look for them (types.QUANTITIES): to all others the words of a quantity are plain. Only
what says something needs its other half: "aged", "$" and "latitude:" stand in the context of what comes.

A quantity is a row of tokens: figures, numbers in words and numerals, units, months, currencies, degrees.

1. Open is the row of tokens at the end of a text, with the separators between them and half a word behind.
2. A cut between two tokens is none where the second may follow the first: a unit behind a number, a day behind a month.
   Behind a comma or full stop few may: "March 3, | 2024", "3. | March", "12′N, | 121°".
"""

from __future__ import annotations

import regex

from filters.normalise import normalise
from filters.numerals import MONTH_EN, NUMBER_WORDS, NUMERAL_SIGNS
from filters.pii.quantities import MONEY_CODES, MONEY_NAMES_EN, MONEY_NAMES_ZH, MONEY_SIGNS
from filters.pii.view import CJK

_REACH = 160
_MONEY = rf"{MONEY_NAMES_EN}|{MONEY_CODES}|{MONEY_NAMES_ZH}|rs|(?:us|hk|nt|au|ca|nz)?[$]|{MONEY_SIGNS}"
_MONEY_ZH = "元整?|块钱?|圆整?|角|分"
_SCALES = "k|m|mn|bn|hundred|thousand|million|billion|trillion"
_PERIODS = "years?|yrs?|months?|weeks?|days?|y"
_DEGREES = "[°度'′’\"″”分秒]"
_SIDES = "[nsew]|[北南]纬|[东西]经"
_NUMBER = rf"(?:[0-9]|[{NUMERAL_SIGNS}点]|\b(?:{NUMBER_WORDS}))"
_EDGE = rf"(?<![^\W\d_{CJK}])"  # no letter before a word

# The longest come first: a row is read backwards and does not try again.
_TOKEN = (
    rf"(?:[-+]?[0-9]+(?:st|nd|rd|th)?|{_EDGE}(?:{MONEY_NAMES_ZH})|[北南]纬|[东西]经|个月大?|[年月日号岁周个大]"
    rf"|[{NUMERAL_SIGNS}点半几]|{_MONEY_ZH}|{_DEGREES}"
    rf"|{_EDGE}(?:{NUMBER_WORDS}|{_SCALES}|{_PERIODS}|{MONTH_EN}|{_MONEY}|old|age|of|and|the|a|half|[nsew])"
    rf"|(?<=[0-9])(?:{_SCALES}|{_PERIODS}|{_MONEY}|[nsew]))"
)
_MONEY_BEGUN = "[美欧英日港澳加新韩卢法瑞台泰]"
_BEGUN = rf"(?:{_EDGE}|(?<=[0-9]))[a-z]{{1,12}}|(?<=[0-9{NUMERAL_SIGNS}]){_MONEY_BEGUN}|[北南东西]"
_ROW = regex.compile(rf"(?ri)(?:{_TOKEN}[ \n,.:;/'’、-]{{0,3}}){{1,24}}(?:{_BEGUN})?")


def open_quantity(raw_text: str) -> int:
    """The smallest offset of `raw_text` from which its end could still be a part of a quantity."""
    plain = normalise(raw_text[-_REACH:])
    match = _ROW.match(plain.text)
    skipped = max(0, len(raw_text) - _REACH)
    return skipped + plain.raw_start(match.start(), len(raw_text) - skipped) if match else len(raw_text)


# ---- what may follow what --------------------------------------------------------------------------------------------

_UNIT = (
    rf"(?:{_SCALES}|{_PERIODS}|{_MONEY}|{_MONEY_ZH}|{MONTH_EN}|st|nd|rd|th|of|and|{_DEGREES}|{_SIDES}|[年月日号岁周个])"
)
_ALREADY = rf"(?:[0-9]|[{NUMERAL_SIGNS}点])"
# (end of the left side, beginning of the right side)
_PAIRS = tuple(
    (regex.compile(rf"(?ri){left}"), regex.compile(right, regex.IGNORECASE))
    for left, right in (
        (rf"{_NUMBER}(?:{_SCALES})?-?", rf"-?(?:{_UNIT}|{_ALREADY}|{NUMBER_WORDS})"),
        (rf"\b(?:{_SCALES})", rf"{_MONEY}|and|{NUMBER_WORDS}"),
        (rf"{_EDGE}{MONTH_EN}", r"[0-9]|the [0-9]|of [0-9]|['’/-][0-9]"),
        (r"[0-9](?:st|nd|rd|th)", rf"of|{MONTH_EN}"),
        (rf"(?:[0-9](?:st|nd|rd|th)?|{_EDGE}(?:{NUMBER_WORDS})) (?:of|and)", rf"{MONTH_EN}|{NUMBER_WORDS}|a half"),
        (rf"{_EDGE}{MONTH_EN} the", "[0-9]"),
        (rf"{_NUMBER}[ \n-]{{0,2}}(?:{_PERIODS})-?", "-?(?:old|of age|and a half)|/o"),
        (rf"{_NUMBER}[ \n-]{{0,2}}(?:{_PERIODS})[ -]of", "age"),
        (rf"{_ALREADY}[ \n]?[年月]", rf"{_ALREADY}|[月日号份底初中上下大]"),
        (rf"{_ALREADY}[ \n]?个月?", "月|大"),
        (rf"{_ALREADY}[ \n]?周?岁?", "周|岁|半|大"),
        (rf"{_ALREADY}[ \n]?[元块]", rf"{_ALREADY}|整|钱|人民币"),
        (rf"{_DEGREES}|(?:{_DEGREES}|[0-9.])[ ]?[nsew]", rf"[+-]?[0-9]|{_SIDES}|[北南东西]"),
        (_SIDES, r"[+-]?[0-9]"),
        ("[北南东西]", "[纬经]"),
        ("人", "民"),
        ("人民", "币"),
        (rf"{_ALREADY}[ \n]?{_MONEY_BEGUN}", "[元币镑布郎铢金]"),
        (rf"{_MONEY}", rf"[-:]?(?:{_ALREADY}|{NUMBER_WORDS})"),
    )
)
_AFTER_COMMA = tuple(
    (regex.compile(rf"(?ri){left}"), regex.compile(right, regex.IGNORECASE))
    for left, right in (
        (rf"{_EDGE}{MONTH_EN}(?:[ \n](?:the )?[0-9]{{1,2}}(?:st|nd|rd|th)?)?", r"[0-9]|['’][0-9]"),
        (rf"(?:{_DEGREES}|(?:{_DEGREES}|[0-9.])[ ]?[nsew]|[0-9])", rf"[+-]?[0-9]|{_SIDES}"),
        (rf"{_EDGE}(?:thousand|million|billion)", NUMBER_WORDS),
    )
)
_AFTER_STOP = tuple(
    (regex.compile(rf"(?ri){left}"), regex.compile(right, regex.IGNORECASE))
    for left, right in (
        (r"(?<![0-9.,])[0-9]{1,2}", rf"{MONTH_EN}|of"),
        (rf"{_EDGE}{MONTH_EN}", r"[0-9]|['’][0-9]"),
        (rf"{_EDGE}rs", "[0-9]"),
        (rf"{_NUMBER}[ \n-]{{0,2}}yrs?", "old"),
    )
)
_SPACE = " \t\n"
_BY_SIGN = {",": _AFTER_COMMA, "、": _AFTER_COMMA, ";": _AFTER_COMMA, "/": _AFTER_COMMA, ".": _AFTER_STOP}


def quantity_goes_on(left: str, right: str) -> bool:
    """Whether a cut between the two may split a quantity. More than one character of `right` makes it surer."""
    before, after = normalise(left[-_REACH:]).text.rstrip(_SPACE), normalise(right).text.lstrip(_SPACE)
    if before and after[:1] in _BY_SIGN:
        before, after = before + after[0], after[1:].lstrip(_SPACE)
    pairs = _BY_SIGN.get(before[-1:])
    end = before[:-1] if pairs else before
    return any(
        following.match(after, partial=True) is not None and leading.match(end) is not None
        for leading, following in pairs or _PAIRS
    )
