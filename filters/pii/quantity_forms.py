"""The form in which two spellings of one date, age, amount, place or number are equal.

Equal are only spellings that say the same to the last digit, so that none of them tells more than another: 12,300 and
12300, but not 1.2万; 12 March 1987 and 1987-03-12, but not 03/12/1987, which may be December. What is told in words or
numerals equals itself alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import regex

from filters.numerals import MONTH_EN, YEAR, month


def quantity_form(kind: str, text: str) -> str:
    """Of `text`, normalised and in lower case, as the finding type `kind` reads it."""
    return _FORMS[kind](text)


def _plain(text: str) -> str:
    return " ".join(text.replace("’", "'").split())


# ---- dates -----------------------------------------------------------------------------------------------------------

_YEAR_FIRST = regex.compile(rf"({YEAR})(?:[-./]| ?年 ?)(\d{{1,2}})(?:[-./](\d{{1,2}})| ?月 ?(?:(\d{{1,2}}) ?[日号])?)?")
_YEAR_LAST = regex.compile(rf"(\d{{1,2}})([-./])(\d{{1,2}})\2({YEAR})")
_DAY_OF_MONTH = regex.compile(rf"(\d{{1,2}})(?:st|nd|rd|th)?\.?(?: of)?[ /-]({MONTH_EN})(?:,?[ /-]({YEAR}))?")
_MONTH_AND_DAY = regex.compile(rf"({MONTH_EN})[ ](?:the )?(\d{{1,2}})(?:st|nd|rd|th)?(?:,?[ ]({YEAR}))?")
_MONTH_OF_YEAR = regex.compile(rf"({MONTH_EN}),?[ /-](?:of )?({YEAR})")
_MONTH_AND_DAY_ZH = regex.compile(r"(\d{1,2}) ?月 ?(\d{1,2}) ?[日号]")


def _date(text: str) -> str:
    text = _plain(text)
    if match := _YEAR_FIRST.fullmatch(text):
        return _day(match[1], match[2], match[3] or match[4])
    if match := _YEAR_LAST.fullmatch(text):
        return _either_order(match[4], match[1], match[3]) or text
    if match := _DAY_OF_MONTH.fullmatch(text):
        return _day(match[3], str(month(match[2])), match[1])
    if match := _MONTH_AND_DAY.fullmatch(text):
        return _day(match[3], str(month(match[1])), match[2])
    if match := _MONTH_OF_YEAR.fullmatch(text):
        return _day(match[2], str(month(match[1])), None)
    if match := _MONTH_AND_DAY_ZH.fullmatch(text):
        return _day(None, match[1], match[2])
    return text


def _day(year: str | None, month_: str, day: str | None) -> str:
    return f"{year or ''}-{int(month_)}-{int(day) if day else ''}"


def _either_order(year: str, first: str, second: str) -> str | None:
    """Which of the two is the month shows only where the other one can't be."""
    if int(first) > 12 or first == second:
        return _day(year, second, first)
    return _day(year, first, second) if int(second) > 12 else None


# ---- ages, amounts, numbers, coordinates -----------------------------------------------------------------------------

_AGE_UNIT = regex.compile(r"[ -]?(?:(?:years?|yrs?\.?)[ -](?:old|of age)|y/?o)|周?岁")


def _age(text: str) -> str:
    years: str = _AGE_UNIT.sub("", _plain(text))
    return years.replace("-", " ").strip()


_GROUPED = regex.compile(r"\d{1,3}(?:([,.' ])\d{3})(?:\1\d{3})*(?!\d)")
_DECIMAL_COMMA = regex.compile(r"(?<=\d),(?=\d)")


def _number(text: str) -> str:
    whole = _GROUPED.sub(lambda match: regex.sub(r"\D", "", match.group()), _plain(text))
    figures: str = _DECIMAL_COMMA.sub(".", whole)
    return figures


# "$" and "¥" are several countries' and equal themselves and their own name alone.
_CURRENCIES = (
    (r"us\$|usd|(?:us|u\.s\.) dollars?|美元|美金", "usd"),
    (r"\$|dollars?", "$"),
    (r"€|eur(?:os?)?|欧元", "eur"),
    (r"£|gbp|pounds?(?: sterling)?|sterling|英镑", "gbp"),
    (r"cny|rmb|yuan|renminbi|人民币|元(?:整|人民币)?|块钱?", "cny"),
)
_CURRENCY = tuple((regex.compile(pattern), code) for pattern, code in _CURRENCIES)
_FIGURES = regex.compile(r"-?\d[\d.]*")


def _amount(text: str) -> str:
    text = _number(text)
    figures = _FIGURES.search(text)
    if figures is None:
        return text
    around = f"{text[: figures.start()]} {text[figures.end() :]}"
    for pattern, code in _CURRENCY:
        if pattern.search(around):
            rest = " ".join(pattern.sub(" ", around).replace(":", " ").split())
            return f"{figures.group()} {rest} {code}".replace("  ", " ")
    return text


def _coordinates(text: str) -> str:
    return "".join(text.replace("’", "'").replace("′", "'").replace("″", '"').replace("”", '"').split())


_FORMS: Mapping[str, Callable[[str], str]] = MappingProxyType(
    {"DATE": _date, "AGE": _age, "AMOUNT": _amount, "NUMBER": _number, "COORDINATES": _coordinates}
)
