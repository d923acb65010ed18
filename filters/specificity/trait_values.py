"""Reads how a trait is written into its path: numbers, ages, dates and children, English and Chinese."""

from __future__ import annotations

from itertools import chain

import regex

from filters.numerals import MONTH_EN, NUMBER_ZH, NUMERALS, YEAR, YEAR_ZH, month, number
from filters.specificity.crowd_tables import TraitPath, age_band

OLDEST = 120  # whatever is called older than this is no person's age
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
DATE_EN = (
    rf"(?i:{YEAR}[-./]\d\d?[-./]\d\d?|\d\d?[-./]\d\d?[-./]{YEAR}|{_DAY}(?: of)? {MONTH_EN}(?:,? {YEAR})?"
    rf"|{MONTH_EN} {_DAY}(?:,? {YEAR})?(?![\w])|{MONTH_EN},? {YEAR}|(?:the )?{YEAR}s?)(?![\w])"
)
DATE_ZH = (
    rf"(?:{YEAR_ZH} ?年(?: ?{NUMBER_ZH} ?月(?: ?{NUMBER_ZH} ?[日号])?)?|{NUMBER_ZH} ?月 ?{NUMBER_ZH} ?[日号]"
    rf"|{YEAR}[-./]\d\d?[-./]\d\d?|(?:19|20|21)世纪\d0年代)"
)


def age(written: str) -> TraitPath | None:
    """("30-39", "34")."""
    years = number(written)
    return (age_band(years), str(years)) if years is not None and years <= OLDEST else None


def age_decade(written: str) -> TraitPath | None:
    """ "thirties", "30s", "thirty", 三十, 古稀: ("30-39",)."""
    word = written.strip().lower()
    years = _AGES_BY_NAME.get(word) or number(word.removesuffix("s")) or number(word.removesuffix("ies") + "y")
    return (age_band(years),) if years is not None and years <= OLDEST else None


_AGES_BY_NAME = {"而立": 30, "不惑": 40, "半百": 50, "知天命": 50, "花甲": 60, "古稀": 70, "耄耋": 80}


def children(written: str) -> TraitPath:
    """How many: ("some", "3")."""
    count = 1 if written.strip().lower() in ("a", "an") else number(written)
    if count is None or count > 5:
        return ("some", "many")
    return ("some", str(count)) if count else ("none", "0")


def birth_decade(written: str) -> TraitPath:
    """90后, 00后: ("199",)."""
    tens = int(written[0])
    return (f"20{tens}",) if tens < 3 else (f"19{tens}",)


_ISO = regex.compile(rf"({YEAR})[-./](\d\d?)[-./](\d\d?)")
_DMY = regex.compile(rf"(\d\d?)[-./](\d\d?)[-./]({YEAR})")
_DECADE = regex.compile(r"(?:the )?((?:18|19|20)\d)0s|(19|20|21)世纪(\d)0年代")
_PARTS_ZH = regex.compile(rf"(?:({YEAR_ZH}) ?年)?(?: ?({NUMBER_ZH}) ?月)?(?: ?({NUMBER_ZH}) ?[日号])?")
_YEAR_EN = regex.compile(YEAR)
_MONTH_EN = regex.compile(rf"(?i:({MONTH_EN}))(?![a-z])")
_DAY_EN = regex.compile(r"(?<!\d)(\d{1,2})(?!\d)")


def date(written: str) -> TraitPath | None:
    """Decade, year, month, day, as far as they are said; "--" twice where the year is not: ("199", "1991", "03")."""
    if match := _ISO.fullmatch(written):
        return _date_path(match[1], match[2], match[3])
    if match := _DECADE.fullmatch(written):
        return (match[1] or f"{int(match[2]) - 1}{match[3]}",)
    if match := _DMY.fullmatch(written):
        return _date_path(match[3], match[2], match[1])  # which of the two is the month makes no crowd larger
    if "年" in written or "月" in written:
        match = _PARTS_ZH.match(written)
        parts = [
            str(number(part)) if part and not part.isdigit() and place else part
            for place, part in enumerate(match.groups())
        ]
        return _date_path(_year_of_numerals(parts[0]), parts[1], parts[2])
    year, name, day = _YEAR_EN.search(written), _MONTH_EN.search(written), _DAY_EN.search(written)
    return _date_path(
        year.group() if year else None, str(month(name[1])) if name else None, day[1] if name and day else None
    )


def _year_of_numerals(written: str | None) -> str | None:
    return "".join(str(NUMERALS.get(char, char)) for char in written) if written else None


def _date_path(year: str | None, month: str | None, day: str | None) -> TraitPath | None:
    if not (year or month):
        return None
    head = (year[:3], year) if year else ("--", "--")
    return tuple(chain(head, (part.zfill(2) for part in (month, day) if part)))
