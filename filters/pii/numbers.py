"""Values that are nothing but digits and how they are grouped: payment cards, telephone numbers, IBANs.

They are read from the shadow without letters (view.View.numbers), so that "tel4155552671" and "卡号4111…" stand free.
Precision is by form: a plain run of digits is a finding only if it passes a checksum or is a possible number of a known
plan; two or more groups only in the groupings that people write. What has neither needs a label ("call", 电话).
Calendar dates, years, times, decimals and thousands are none of these. Labels never free a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import accumulate, pairwise
from typing import Any

import phonenumbers
import regex

from filters.pii.view import View, label, scan, search
from filters.spans import Span

# ---- payment cards ---------------------------------------------------------------------------------------------------

# ISO/IEC 7812: 13 to 19 digits and a Luhn check digit. First digits that are issued to payment schemes: 3 4 5 6, 2221
# to 2720 and 2200 to 2204 (not 2019 to 2026, with which many order numbers begin), 81 and 82 (RuPay), 9558 and 9559
# (ICBC), 9792 (Troy). Not 1, 7 and other 9s: time stamps and ISBNs begin so.
_CARD_START = r"(?:[3-6]|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720|20[0-4])|8[12]|955[89]|9792)"
# Digits with what may stand between two of them; a card begins and ends at the edges of written groups in it.
_CARD_RUN = regex.compile(r"[0-9](?:[ \-./·*,\t\n]{0,2}[0-9]){12,}")
_CARD_LENGTHS = range(13, 20)
# Backwards every order number has a second chance of one in ten to pass the check: only the usual lengths count there.
_COMMON_LENGTHS = (15, 16, 19)
_CARD_HEAD = regex.compile(_CARD_START)
# Thirteen digits were issued by Visa and are allowed to Maestro, fourteen by Diners Club as well. Bar codes (EAN-13)
# and tracking numbers of that length begin with anything.
_SHORT_CARD_HEADS = {13: regex.compile("[45]"), 14: regex.compile("3[0689]|[56]")}
_THOUSANDS = regex.compile(r"\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3})+|\d{1,3}(?: \d{3})+")
SHORTEST_CARD = 13


class Cards:
    """Payment card numbers in any grouping."""

    kind = "CARD"
    digits = digit_run = SHORTEST_CARD

    def find(self, view: View) -> Iterator[Span]:
        lengths = _COMMON_LENGTHS if view.backwards else _CARD_LENGTHS
        for run in scan(_CARD_RUN, view.numbers):
            for start, end in _luhn_windows(run.group(), lengths):
                if _is_card(run.group()[start:end]):
                    yield Span(run.start() + start, run.start() + end, self.kind, 1.0)


def _luhn_windows(run: str, lengths: Collection[int]) -> Iterator[tuple[int, int]]:
    """Places of `run` that hold so many digits, whole groups of them, and pass the Luhn check.

    With the sums of both ways to double every second digit each window costs the same, so that the cost is linear.
    """
    places = [at for at, char in enumerate(run) if char.isdigit()]
    digits = [int(run[at]) for at in places]
    # sums[odd][i]: of the first i digits, those at odd (even) places doubled.
    sums = [
        list(accumulate((_DOUBLED[d] if at % 2 == odd else d for at, d in enumerate(digits)), initial=0))
        for odd in (0, 1)
    ]
    last = len(run)
    heads = [i for i, at in enumerate(places) if at == 0 or not run[at - 1].isdigit()]
    for first in heads:
        for length in lengths:
            end = first + length
            if end > len(places):
                break
            stop = places[end - 1] + 1
            if (stop == last or not run[stop].isdigit()) and (sums[end % 2][end] - sums[end % 2][first]) % 10 == 0:
                yield places[first], stop


def _is_card(written: str) -> bool:
    """Whether what passes the check begins like a card and is none by chance."""
    digits = digits_of(written)
    head = _SHORT_CARD_HEADS.get(len(digits), _CARD_HEAD)
    return bool(head.match(digits)) and len(set(digits)) > 1 and not _THOUSANDS.fullmatch(written)


def digits_of(written: str) -> str:
    return "".join(filter(str.isdigit, written))


def luhn_ok(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: from the right every second digit doubled, the sum of all digits is divisible by ten."""
    plain = sum(map(int, digits[-1::-2]))
    return (plain + sum(_DOUBLED[int(d)] for d in digits[-2::-2])) % 10 == 0


_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def _overlapping(pattern: Any, text: str) -> Iterator[Any]:
    """Matches from every place, also inside another: in "12 138 1234 …" the first reading begins at 12."""
    at = 0
    while match := search(pattern, text, at):
        yield match
        at = match.start() + 1


# ---- telephone numbers -----------------------------------------------------------------------------------------------

_SEP = r"[ \-.·\t]"

# Each form has its own bound on digits; the groupings are those of ITU-T E.123, the North American plan and the trunk
# prefix 0 of Europe and China.
# Fifteen digits (E.164) behind "+" or "00".
_INTERNATIONAL = regex.compile(r"(?<![\d+])(?:\+ ?|00(?=[ \-]?[1-9]))\d(?:[ \-./()·\t]{0,3}\d){6,14}(?!\d)")
_MOBILE_CN = regex.compile(
    r"(?<!\d)(?:\(?(?:\+|00)?86\)?[ \-.\t]{0,2})?(1[ \-.·,\t\n]{0,2}[3-9](?:[ \-.·,\t\n]{0,2}\d){9})(?!\d)"
)
_LANDLINE_CN = regex.compile(r"(?<!\d)\(?0(?:10|2\d|[3-9]\d\d)\)?[ \-]{0,3}[2-9]\d{2,3}[ \-]?\d{4}(?!\d)")
_HOTLINE_CN = regex.compile(r"(?<!\d)[48]00(?:[ \-]\d{4}[ \-]\d{3}|[ \-]?[0-9]\d{2}[ \-]?\d{4})(?!\d)")
_GROUPED = [
    # 415-555-2671, (415) 555-2671, 1.415.555.2671, 415 5552671
    regex.compile(
        rf"(?<!\d)(?:1{_SEP}{{0,2}})?(?:\(\d{{3}}\){_SEP}{{0,2}}|\d{{3}}{_SEP}{{1,2}})\d{{3}}{_SEP}{{1,2}}\d{{4}}(?!\d)"
    ),
    regex.compile(rf"(?<!\d)(?:\([2-9]\d{{2}}\){_SEP}{{0,2}}|[2-9]\d{{2}}{_SEP}{{1,2}})\d{{7}}(?!\d)"),
]
# (91) 5676-6953
_BRACKETED = regex.compile(r"\(\d{2,5}\)[ \-]?\d{2,5}[ \-]?\d{3,5}(?!\d)")
_TRUNK = regex.compile(r"(?<!\d)\(?0\d{1,4}\)?(?:[ \-./·]{1,2}\d{2,8}){1,5}(?!\d)")
_SINGLES = regex.compile(rf"(?<!\d)(?<!\d{_SEP})\d(?:{_SEP}\d){{9,11}}(?!\d)(?!{_SEP}\d)")
_PLAIN = regex.compile(r"(?<!\d)(?:1?[2-9]\d{2}[2-9]\d{6}|0\d{8,11})(?!\d)")
_ANY_NUMBER = regex.compile(r"(?<!\d)\(?\+?\d(?:[ \-./()·]{0,2}\d){5,14}(?!\d)")
_LABEL_WORDS = (
    r"phone|\btel\b|\btel[:.]|\bcell\b|mobile|\bcall(?:s|ed|ing)?\b|\bfax\b|\bdial|hotline|whatsapp|\breach\b|\bsms\b"
    r"|\btext (?:me|him|her|us|them)\b|\bring\b|\bcontact\b|\banswering\b|\b(?:my|her|his|their|your|our|the) number\b"
    r"|电话|手机|致电|拨打|拨通|热线|回电|来电|座机|传真|联系方式|联系人|短信|电联|號碼|電話|手機"
)
_LABEL_REACH = 40
_LABEL = label(_LABEL_WORDS)
_ANY_LABEL = label(_LABEL_WORDS + "|office|home|work|办公")
_EXTENSION = regex.compile(r",? ?(?:x|#|ext\.?|extension|转|分机号?) ?\d{1,6}(?!\d)", regex.IGNORECASE)
SHORTEST_PHONE = 6
_SHORTEST_UNLABELLED = 8


class Phones:
    """Telephone numbers: international, North American, Chinese, and European with their trunk prefix."""

    kind = "PHONE"
    digits = digit_run = SHORTEST_PHONE

    def __init__(self) -> None:
        for region in ("US", *_TRUNK_REGIONS):  # reads their plans now, not at the first number
            phonenumbers.is_valid_number(phonenumbers.parse("2015550123", region))

    def find(self, view: View) -> Iterator[Span]:
        for start, end, score in _phones(view):
            extension = _EXTENSION.match(view.text, end)
            yield Span(start, extension.end() if extension else end, self.kind, score)


def _phones(view: View) -> Iterator[tuple[int, int, float]]:
    text = view.numbers
    if "(" in text:
        yield from _spans(_BRACKETED, text, 0.6, 8, 12)
    if view.digit_run >= _SHORTEST_UNLABELLED:
        yield from _by_form(text)
    yield from _by_label(view)


def _by_form(text: str) -> Iterator[tuple[int, int, float]]:
    if "+" in text or "00" in text:
        yield from (span for span in _spans(_INTERNATIONAL, text, 0.8, 8, 17) if _dialled(text[span[0] : span[1]]))
    if "1" in text:
        for match in _overlapping(_MOBILE_CN, text):
            if _mobile_grouping(match.group(1)) and not _in_list(match.group(1), text, *match.span()):
                yield *match.span(), 0.9
    if "00" in text:
        yield from _spans(_HOTLINE_CN, text, 0.6, 10, 10)
    for pattern in _GROUPED:
        yield from _spans(pattern, text, 0.6, 8, 12)
    if "0" in text:
        yield from _spans(_LANDLINE_CN, text, 0.8, 10, 12)
        yield from _spans(_TRUNK, text, 0.5, 9, 12)
    for match in scan(_SINGLES, text):
        if not _counts_up(digits_of(match.group())):
            yield *match.span(), 0.5
    for match in scan(_PLAIN, text):
        if _possible(match.group()) and not _counts_up(match.group()):
            yield *match.span(), 0.6


def _spans(pattern: Any, text: str, score: float, fewest: int, most: int) -> Iterator[tuple[int, int, float]]:
    for match in scan(pattern, text):
        if fewest <= len(digits_of(match.group())) <= most and not _THOUSANDS.fullmatch(match.group()):
            yield *match.span(), score


def _mobile_grouping(number: str) -> bool:
    """Eleven digits are a mobile number in one run, in 3-4-4, digit by digit, or in any groups with one separator.

    Commas and line breaks join the numbers of a list as well, so that they don't count in the last form.
    """
    groups = regex.findall(r"\d+", number)
    separators = set(regex.findall(r"\D+", number))
    sizes = [len(group) for group in groups]
    if sizes in ([11], [3, 4, 4]) or max(sizes) == 1:
        return True
    return len(separators) == 1 and not separators & {",", ", ", "\n", "\n\n"}


_LIST_BEFORE = regex.compile(r"\d(?:, ?|\n)$")
_LIST_AFTER = regex.compile(r"(?:, ?|\n)\d")


def _in_list(number: str, text: str, start: int, end: int) -> bool:
    """Three groups that commas or line breaks join are numbers of a list if the list goes on on either side."""
    if not regex.search(r"\d\d[,\n]", number):
        return False
    return bool(_LIST_BEFORE.search(text[max(0, start - 3) : start]) or _LIST_AFTER.match(text, end))


def _dialled(written: str) -> bool:
    """ "+" always dials; a plain run that begins with 00 (a tracking number may) only if the rest is a number."""
    if not written.isdigit():
        return True
    return _valid("+" + written[2:], None)


def _valid(written: str, region: str | None) -> bool:
    try:
        return bool(phonenumbers.is_valid_number(phonenumbers.parse(written, region)))
    except phonenumbers.NumberParseException:  # no such country: an answer, not a failure
        return False


def _counts_up(digits: str) -> bool:
    """0 1 2 3 … or 1 2 3 … or all the same: a list, not a number."""
    steps = {(int(b) - int(a)) % 10 for a, b in pairwise(digits)}
    return len(steps) == 1


# Regions whose plans decide about a plain run of digits. An unseparated number without its country's prefix is only
# looked for in these.
_TRUNK_REGIONS = ("GB", "DE", "FR", "CN")


def _possible(digits: str) -> bool:
    regions = _TRUNK_REGIONS if digits.startswith("0") else ("US",)
    return any(_valid(digits, region) for region in regions)


def _by_label(view: View) -> Iterator[tuple[int, int, float]]:
    if not _ANY_LABEL.search(view.lower):
        return
    for match in scan(_ANY_NUMBER, view.numbers):
        start, end = match.span()
        before, after = view.lower[max(0, start - _LABEL_REACH) : start], view.lower[end : end + _LABEL_REACH]
        if (_LABEL.search(before) or _LABEL_BEHIND.match(after)) and not _DECIMAL.fullmatch(match.group()):
            yield start, end, 0.5


# "3.14159", "12,000": with a label "75 196 772" is a telephone number all the same.
_DECIMAL = regex.compile(r"\d+\.\d+|\d{1,3}(?:,\d{3})+|\d{1,3}(?:\.\d{3})+")
_LABEL_BEHIND = regex.compile(r"[ \-(]{0,3}(?:office|home|work|mobile|cell|fax|phone|tel|手机|座机|办公|传真)")


# ---- IBAN ------------------------------------------------------------------------------------------------------------

# Lengths by country, SWIFT IBAN registry (ISO 13616), release 99.
_IBAN_LENGTHS = {
    code: length
    for length, codes in {
        15: "NO",
        16: "BE",
        18: "DK FO FI GL NL SD FK",
        19: "MK SI",
        20: "AT BA EE KZ XK LT LU MN",
        21: "HR LV LI CH",
        22: "BH BG CR GE DE IE ME RS GB VA",
        23: "GI IL IQ OM SO TL AE",
        24: "AD CZ MD PK RO SA SK ES SE TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for code in codes.split()
}
# Ahead alone: what begins like one ("is 4111 …") must not take the beginning of the one behind it away.
_IBAN_START = regex.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}[ \-]?\d[ \-]?\d(?:[ \-.]{0,2}[A-Za-z0-9]){11,30}))")
SHORTEST_IBAN_DIGITS = 8


class Ibans:
    """International bank account numbers: the country's length and the check digits of ISO 7064 MOD 97-10."""

    kind = "IBAN"
    digits, digit_run = SHORTEST_IBAN_DIGITS, 3

    def find(self, view: View) -> Iterator[Span]:
        for match in scan(_IBAN_START, view.words):
            end = _iban_end(match[1])
            if end is not None:
                yield Span(match.start(), match.start() + end, self.kind, 1.0)


def _iban_end(written: str) -> int | None:
    places = [i for i, char in enumerate(written) if char.isalnum()]
    length = _IBAN_LENGTHS.get(written[:2].upper())
    if length is None or len(places) < length:
        return None
    iban = "".join(written[i] for i in places[:length]).upper()
    number = "".join(str(int(char, 36)) for char in iban[4:] + iban[:4])
    return places[length - 1] + 1 if int(number) % 97 == 1 else None
