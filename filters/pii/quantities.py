"""Ages, amounts of money, coordinates and other exact numbers, English and Chinese.

They are looked for only where a profile names their type (types.QUANTITIES): most of them are nobody's, and what a
profile wants of them is mostly a generalisation. Dates, which belong to them, are in dates.py.

| type | found | not found |
| --- | --- | --- |
| AGE | a number with "years old", 岁 and the like, or behind "aged", 年龄 | bands: "40 to 49 years old", 90岁以上 |
| AMOUNT | a number with a currency's sign, code or name; a bare one behind "salary:", 金额 | |
| COORDINATES | two numbers with three decimals or with a hemisphere; minutes; one behind "latitude" | whole degrees |
| NUMBER | four digits, thousands, decimals; Chinese numerals of 千 and more | years, versions, times, parts of words |

What a value says is all in its span: the sign of a currency, the unit of an age. What only says what a bare number is
("aged", "salary:") stands before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any

import regex

from filters.numerals import NUMBER_EN, NUMBER_WORDS, NUMBER_ZH, NUMERAL_SIGNS
from filters.pii.types import INDIRECT, QUANTITIES
from filters.pii.view import CJK, View, scan
from filters.profile import HIGHEST_DIRECT_MINIMUM
from filters.spans import Span

_LETTER = rf"[^\W\d_{CJK}]"  # of a script that puts spaces between words
_STARTS = rf"(?<!{_LETTER}|[\d_])"
_ENDS = rf"(?!{_LETTER}|[\d_])"
_GAP = r"[ \n]{0,2}"

# ---- ages ------------------------------------------------------------------------------------------------------------

_NO_UNIT = (
    r"(?!\s*(?:%|per|percent|minutes?|hours?|days?|months?|weeks?|km|kg|cm|miles?|points?|feet|inch|metres|meters)\b)"
)
_AGE_EN = regex.compile(
    rf"{_STARTS}(?<![\d][.,–-]|\bto[ ])(?P<value>(?:{NUMBER_EN}|a hundred(?: and {NUMBER_EN})?)"
    r"(?:[ \n-]?(?:½|and a half))?"
    r"(?:[ \n-]{0,2}(?:years?|yrs?|months?|weeks?|days?)[ \n-]{1,2}(?:old|of age)|[ \n]?y/?o\b|[ ]?yrs?\.? old))(?!\w)"
    rf"|\b(?:aged|age|ages|age[ds]?['\"]{{0,2}}[ ]?[:=]|at the age of|turn(?:ed|s|ing)?)(?:[ ]?(?:is|was|of|[:=]))?"
    rf"[ \n]{{0,2}}(?P<value>{NUMBER_EN})(?![\w%]|[.,–-]\d|[ ]?(?:to|or|and (?:over|under)|-)[ ]){_NO_UNIT}",
    regex.IGNORECASE,
)
_AGE_NUMBER_ZH = rf"(?:一百零?{NUMBER_ZH}?|{NUMBER_ZH})"
_AGE_ZH = regex.compile(
    rf"(?<![\d.至到~-])(?P<value>{_AGE_NUMBER_ZH}{_GAP}(?:周?岁半?|个月大|周大))(?![以至到之])"
    rf"|(?:年龄|年纪|岁数|现年|年方)(?:约)?(?:[:=是为]| ){{0,2}}(?P<value>{_AGE_NUMBER_ZH})(?![\d.至到~岁周百])"
)


def _ages(view: View) -> Iterator[tuple[int, int]]:
    if view.says(("old", "age", "yo", "y/o", "turn")):
        yield from _places(_AGE_EN, view)
    if view.says(("岁", "年龄", "年纪", "现年", "年方", "月大", "周大")):
        yield from (place for place in _places(_AGE_ZH, view) if not _is_band_zh(view.text, place))


def _is_band_zh(text: str, place: tuple[int, int]) -> bool:
    """不到10岁, as a generalisation says it."""
    return text[max(0, place[0] - 2) : place[0]] == "不到"


# ---- amounts ---------------------------------------------------------------------------------------------------------

_FIGURES = r"(?:\d{1,3}(?:[,.'’ \n]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d+)?)(?!\d)"
_SCALE_EN = r"(?:[ \n]?(?:k|m|mn|bn|hundred|thousand|million|billion|trillion)(?![a-z]))?"
_SCALE_ZH = r"[十百千]?[万亿]|[百千]"
_FIGURES_ZH = rf"(?:{_FIGURES}(?:{_GAP}(?:{_SCALE_ZH})){{0,2}}){{1,2}}"
_NUMERALS_ZH = rf"(?:[{NUMERAL_SIGNS}]+(?:点[{NUMERAL_SIGNS}]+)?)"
_NUMBER_TOLD = rf"(?:a |half a )?(?:{NUMBER_WORDS})(?:(?:[ \n]|-| and |, )(?:{NUMBER_WORDS})){{0,8}}+"
MONEY_SIGNS = r"[$€£¥₩₹₽฿₺₴₫₪]"
_SIGN = rf"(?:(?:US|HK|NT|AU|CA|NZ|MEX|[ACSR])?[$]|R\$|{MONEY_SIGNS})"
MONEY_CODES = (
    "usd|eur|gbp|cny|rmb|jpy|hkd|twd|chf|aud|cad|nzd|sgd|inr|krw|rub|sek|nok|dkk|pln|czk|huf|brl|mxn|zar|aed|thb"
    "|vnd|idr|myr|btc|eth|usdt"
)
MONEY_NAMES_EN = (
    r"(?:(?:us|u\.s\.|canadian|australian|hong kong|singapore) )?dollars?|euros?|pounds?(?: sterling)?|sterling|yuan"
    r"|renminbi|yen|(?:swiss )?francs?|rupees?|korean won|roubles?|rubles?|pesos?|krona|kroner|cents?|pence|bucks|quid"
)
MONEY_NAMES_ZH = (
    "人民币|美元|美金|欧元|英镑|日元|港元|港币|新台币|台币|澳元|加元|新元|韩元|卢布|瑞郎|法郎|卢比|泰铢|比特币"
)
# 元 and 块 begin other words as well.
_UNIT_ZH = rf"(?:{MONEY_NAMES_ZH}|元(?![素件旦宵首方次]|一次)(?:整|人民币)?|块钱|块(?=[,，。.;；!！?？\s]|$)|圆整?)"
_BEHIND_SIGN = (
    rf"(?:[ \n]|:[ ]?|-)?-?(?:{_FIGURES_ZH}|{_FIGURES}){_SCALE_EN}"
    rf"(?:(?=[ ]?[^\W\d])[ ]?(?:{_UNIT_ZH}|(?:{MONEY_CODES}|{MONEY_NAMES_EN}){_ENDS}))?"
)
_AMOUNT_SIGN = regex.compile(rf"{_STARTS}{_SIGN}(?=[ \n:-]{{0,3}}\d){_BEHIND_SIGN}", regex.IGNORECASE)
_AMOUNT_CODE = regex.compile(rf"{_STARTS}(?:{MONEY_CODES}|rs\.?){_BEHIND_SIGN}", regex.IGNORECASE)
_AMOUNT_NAME_ZH = regex.compile(
    rf"(?:{MONEY_NAMES_ZH})(?:{_BEHIND_SIGN}|:?{_NUMERALS_ZH}(?:{_UNIT_ZH})?)", regex.IGNORECASE
)
_MONEY_BEHIND = (
    rf"[ \n-]{{0,2}}(?:(?=[^\W\d{CJK}])(?:{MONEY_NAMES_EN}|{MONEY_CODES}){_ENDS}|(?=\p{{Sc}}|[A-Z]){_SIGN}(?!\d))"
)
_AMOUNT_BEHIND = regex.compile(
    rf"(?<!\d[.,]?){_STARTS}(?=-?\d)-?{_FIGURES}{_SCALE_EN}{_MONEY_BEHIND}", regex.IGNORECASE
)
_AMOUNT_TOLD = regex.compile(rf"{_STARTS}(?=[a-z]){_NUMBER_TOLD}{_MONEY_BEHIND}", regex.IGNORECASE)
_AMOUNT_ZH = regex.compile(
    rf"(?<![\d{NUMERAL_SIGNS}][.,]?)(?:{_FIGURES_ZH}|{_NUMERALS_ZH}|[半几]){_GAP}(?:{_UNIT_ZH})(?:[\d{NUMERAL_SIGNS}]角)?"
    rf"(?:[\d{NUMERAL_SIGNS}]分)?"
)
_AMOUNT_LABEL = regex.compile(
    r"(?:(?i:\b(?:salary|wages?|income|amount|balance|price|total|fee|cost|payment|revenue|debt|loan|rent|bonus)"
    r"(?:['\"]{0,2}[ ]?[:=]|[ ](?:is|was|of))[ ]{0,2})"
    r"|(?:工资|薪资|薪水|月薪|年薪|收入|金额|余额|价格|总价|总额|费用|租金|奖金|贷款|欠款|存款)"
    r"(?:[\"']{0,2}[:=]|是|为|约)?[ ]{0,2})"
    rf"(?P<value>-?(?=[\d.,]{{3}}){_FIGURES}(?:{_SCALE_ZH})?)(?!%)"
)
_MONEY_LABELS = (
    *("salary", "wage", "income", "amount", "balance", "price", "total", "fee", "cost", "payment", "revenue", "debt"),
    *("loan", "rent", "bonus", "资", "薪", "收入", "额", "价格", "总价", "费用", "租金", "奖金", "款"),
)
_MONEY_NAMES = (
    *("dollar", "euro", "pound", "sterling", "yuan", "renminbi", "yen", "franc", "rupee", "won", "rouble", "ruble"),
    *("peso", "kron", "cent", "pence", "buck", "quid"),
)
_MONEY_CODES = (*MONEY_CODES.split("|"), "rs")
_MONEY_SIGNS = tuple(MONEY_SIGNS[1:-1])
_MONEY_ZH = ("元", "块", "圆", "镑", "币", "美金", "卢", "郎", "铢")


def _amounts(view: View) -> Iterator[tuple[int, int]]:
    signs, codes = view.says(_MONEY_SIGNS), view.says(_MONEY_CODES)
    if view.digits and signs:
        yield from _places(_AMOUNT_SIGN, view)
    if view.digits and codes:
        yield from _places(_AMOUNT_CODE, view)
    if signs or codes or view.says(_MONEY_NAMES):
        yield from _places(_AMOUNT_BEHIND, view)
        yield from _places(_AMOUNT_TOLD, view)
    if view.says(_MONEY_ZH):
        yield from _places(_AMOUNT_NAME_ZH, view)
        yield from _places(_AMOUNT_ZH, view)
    if view.digits and view.says(_MONEY_LABELS):
        yield from _places(_AMOUNT_LABEL, view)


# ---- coordinates -----------------------------------------------------------------------------------------------------

_SIDE = rf"(?:[NSEW]{_ENDS})"
_MINUTES = r"\d{1,3}[ \n]?[°度][ \n]?\d{1,2}(?:\.\d+)?[ \n]?['′’分](?:[ \n]?\d{1,2}(?:\.\d+)?[ \n]?(?:[\"″”秒]|''|′′))?"
_DEGREES = rf"(?:{_MINUTES}|\d{{1,3}}\.\d+[ \n]?[°度]?)"
_BETWEEN = r"[ \n]{0,2}[,;、/]?[ \n]{0,2}"
_SIDE_ZH = "[北南]纬|[东西]经"
_LABEL_PLACE = (
    r"(?:\b(?:lat(?:itude)?|lon(?:g(?:itude)?)?|lng)|纬度|经度)['\"]{0,2}(?:[ \n]?(?:[:=]|is|was|为|是))?[ ]{0,2}"
)
_COORDINATES = regex.compile(
    rf"(?<![\d.])[+-]?\d{{1,3}}\.\d{{3,}}[ \n]?°?{_BETWEEN}(?<=[,; \n/°、])[+-]?\d{{1,3}}\.\d{{3,}}[ \n]?°?(?!\d|\.\d)"
    rf"|{_STARTS}(?:{_SIDE}[ \n]?)?-?{_DEGREES}[ \n]?(?:{_SIDE}{_BETWEEN}(?:{_SIDE}[ \n]?)?-?{_DEGREES}[ \n]?{_SIDE}?"
    rf"|{_BETWEEN}(?:{_SIDE}[ \n]?){_DEGREES})"
    rf"|(?:{_SIDE_ZH}){_GAP}{_DEGREES}(?:{_BETWEEN}(?:和)?(?:{_SIDE_ZH}){_GAP}{_DEGREES})?"
    rf"|(?<!\d){_MINUTES}[ \n]?{_SIDE}?"
    rf"|{_LABEL_PLACE}(?P<value>[+-]?{_DEGREES}[ \n]?{_SIDE}?)",
    regex.IGNORECASE,
)
_PLACE_SIGNS = ("lat", "lon", "lng", "°", "度", "纬", "经")
_TWO_DECIMALS = regex.compile(r"\d\.\d+[^\d.]{1,8}\d{1,3}\.\d")


def _coordinates(view: View) -> Iterator[tuple[int, int]]:
    if view.digits >= 3 and (view.says(_PLACE_SIGNS) or _TWO_DECIMALS.search(view.text)):
        yield from (place for place in _places(_COORDINATES, view) if _on_earth(view.text[slice(*place)]))


def _on_earth(written: str) -> bool:
    return all(int(degrees) <= 180 for degrees in regex.findall(r"(?<![\d.])\d{1,3}(?=\.\d|[ ]?[°度])", written))


# ---- other numbers ---------------------------------------------------------------------------------------------------

# Points and commas both ways; more than one point without thousands is a version or an address.
_NUMBER = regex.compile(
    rf"(?<!{_LETTER}|[\d_/]|\d[.,:'’-]|{_LETTER}-)-?"
    rf"(?:\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d{{1,3}}(?:\.\d{{3}}){{2,}}(?:,\d+)?|\d{{1,3}}(?:['’]\d{{3}})+|\d+[.,]\d+|\d{{4,}})"
    rf"(?!\d|[.,:/'’-]\d|{_LETTER}{{2}}|_)"
)
_YEAR_ALONE = regex.compile(r"(?:1[89]|20)\d\d")
_NUMBER_ZH = regex.compile(rf"[{NUMERAL_SIGNS}]{{3,}}")
_LARGE_ZH = regex.compile(r"[千仟万亿]")
_SCALED_ZH = regex.compile(rf"(?<!{_LETTER}|[\d.])\d+(?:\.\d+)?[十百千]?[万亿千]")


def _numbers(view: View) -> Iterator[tuple[int, int]]:
    if view.digits >= 2:
        for start, end in _places(_NUMBER, view):
            if not _YEAR_ALONE.fullmatch(view.text, start, end):
                yield start, end
    if view.says(("千", "仟", "万", "亿")):
        yield from _places(_SCALED_ZH, view)
        for start, end in _places(_NUMBER_ZH, view):
            if _LARGE_ZH.search(view.text, start, end):
                yield start, end


# ---- the recognizers -------------------------------------------------------------------------------------------------

_FINDERS: dict[str, tuple[Callable[[View], Iterable[tuple[int, int]]], float]] = {
    "AGE": (_ages, 0.6),
    "AMOUNT": (_amounts, 0.6),
    "COORDINATES": (_coordinates, 0.6),
    "NUMBER": (_numbers, 0.3),
}


KINDS = tuple(_FINDERS)


class Quantities:
    """One of KINDS in any of its forms. Nothing is read backwards: any digits would be a number there."""

    digits = digit_run = 0

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._find, self._score = _FINDERS[kind]

    @property
    def kind(self) -> str:
        return self._kind

    def find(self, view: View) -> Iterator[Span]:
        if not view.backwards:
            for start, end in self._find(view):
                yield Span(start, end, self._kind, self._score)


def without_parts(spans: Iterable[Span]) -> list[Span]:
    """Without the quantities that are a part of something surer: the digits of a telephone number, the year in a date.

    Only what no policy can take away again (`min_scores`) counts as surer, or the number could be lost with it.
    """
    found = list(spans)
    surer = _Covered(span for span in found if span.type not in INDIRECT and span.score >= HIGHEST_DIRECT_MINIMUM)
    exact = _Covered(span for span in found if span.type in QUANTITIES and span.type != "NUMBER")
    return [
        span
        for span in found
        if span.type not in QUANTITIES or not (surer.holds(span) or (span.type == "NUMBER" and exact.holds(span)))
    ]


class _Covered:
    """Spans by where they begin, each with how far the text is covered by those up to it."""

    def __init__(self, spans: Iterable[Span]) -> None:
        ordered = sorted(spans)
        self._starts = [span.start for span in ordered]
        self._reach = list(accumulate((span.end for span in ordered), max))

    def holds(self, span: Span) -> bool:
        """Whether one of the spans holds this one."""
        before = bisect_right(self._starts, span.start)
        return before > 0 and span.end <= self._reach[before - 1]


def _places(pattern: Any, view: View) -> Iterator[tuple[int, int]]:
    group: str | int = "value" if "value" in pattern.groupindex else 0
    for match in scan(pattern, view.text):
        said = group if match.start(group) >= 0 else 0
        yield match.start(said), match.start(said) + len(match.group(said).rstrip(" \n"))
