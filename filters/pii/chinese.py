"""What China writes and Presidio does not know: identity numbers, company codes, travel papers, plates, chat ids.

Standards: GB 11643-1999 (resident identity number), GB 32100-2015 (unified social credit code), GA 36-2018 (plates).
Mobile and land-line numbers are in `numbers.py`, bank cards are cards there, addresses in `addresses.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import regex

from filters.pii.numbers import digits_of
from filters.pii.view import View, scan, search
from filters.spans import Span

_S = r"[ \-.·,\t\n]{0,2}"


# ---- resident identity number ----------------------------------------------------------------------------------------

_RESIDENT = regex.compile(rf"(?<!\d)[1-9](?:{_S}\d){{16}}{_S}[\dXx](?!\d)(?![A-Za-z]\d)")
_OLD_RESIDENT = regex.compile(r"(?<!\d)[1-9]\d{5}\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}(?!\d)")
_RESIDENT_LABEL = regex.compile(r"身份证|证件|身份號|身份号|公民号|id ?card|resident id|identity|idcard|idno|id no")
_LABEL_REACH = 32
# GB/T 2260: the first two digits of every province, municipality, autonomous and special administrative region.
_PROVINCES = frozenset(
    [
        f"{code}"
        for first, last in ((11, 15), (21, 23), (31, 37), (41, 46), (50, 54), (61, 65))
        for code in range(first, last + 1)
    ]
    + ["71", "81", "82", "83"]
)


class ResidentIds:
    """Eighteen characters with a check character; the old fifteen digits, which have none, near a label."""

    kind = "RESIDENT_ID"
    digits = digit_run = 15

    def find(self, view: View) -> Iterator[Span]:
        at = 0
        while match := search(_RESIDENT, view.text, at):
            score = _resident_score(match.group(), view, match.start())
            if score:
                yield Span(match.start(), match.end(), self.kind, score)
            at = match.start() + 1
        for match in scan(_OLD_RESIDENT, view.text):
            if match.group()[:2] in _PROVINCES and _labelled(view, match.start()):
                yield Span(match.start(), match.end(), self.kind, 0.5)


def _resident_score(written: str, view: View, start: int) -> float:
    """1 with a right check character; a wrong one is still somebody's number when a label says that it is one."""
    number = "".join(filter(str.isalnum, written)).upper()
    if number[:2] not in _PROVINCES or not _birthday(number[6:14]):
        return 0.0
    if resident_check(number[:17]) == number[17]:
        return 1.0
    return 0.5 if _labelled(view, start) else 0.0


def _birthday(digits: str) -> bool:
    return digits[:2] in ("18", "19", "20") and 1 <= int(digits[4:6]) <= 12 and 1 <= int(digits[6:]) <= 31


def resident_check(body: str) -> str:
    """ISO 7064 MOD 11-2 of seventeen digits, as GB 11643 writes it: weights 2^(17-i) mod 11."""
    return "10X98765432"[sum(int(c) * pow(2, 17 - i, 11) for i, c in enumerate(body)) % 11]


def _labelled(view: View, start: int) -> bool:
    return _RESIDENT_LABEL.search(view.lower[max(0, start - _LABEL_REACH) : start]) is not None


# ---- unified social credit code --------------------------------------------------------------------------------------

_CODE_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_CODE = regex.compile(
    rf"(?<![0-9A-Za-z])[0-9A-HJ-NPQRTUWXY]{{2}}{_S}\d{{6}}{_S}[0-9A-HJ-NPQRTUWXY]{{9}}{_S}[0-9A-HJ-NPQRTUWXY](?![0-9A-Za-z])",
    regex.IGNORECASE,
)
_CODE_REGIONS = _PROVINCES | {"10"}  # 10: registered with the State, in no province
_CODE_LABEL = regex.compile(r"信用代码|税号|纳税人识别号|企业代码|组织机构|credit code")


class CreditCodes:
    """Eighteen characters with a check character modulo 31; near a label also with a wrong one."""

    kind = "CREDIT_CODE"
    digits, digit_run = 8, 6

    def find(self, view: View) -> Iterator[Span]:
        for match in scan(_CODE, view.words):
            code = "".join(filter(str.isalnum, match.group())).upper()
            near = view.lower[max(0, match.start() - _LABEL_REACH) : match.start()]
            if code[1] != "0" and code[2:4] in _CODE_REGIONS and credit_check(code[:17]) == code[17]:
                yield Span(match.start(), match.end(), self.kind, 1.0)
            elif _CODE_LABEL.search(near):
                yield Span(match.start(), match.end(), self.kind, 0.5)


def credit_check(body: str) -> str:
    """GB 32100: weights 3^i mod 31 over an alphabet without I O S V Z."""
    total = sum(_CODE_ALPHABET.index(c) * pow(3, i, 31) for i, c in enumerate(body))
    return _CODE_ALPHABET[-total % 31]


# ---- passports and travel permits ------------------------------------------------------------------------------------

# Ordinary passports: E and eight digits, E and a letter and seven, G and eight.
_PASSPORT = regex.compile(r"(?<![0-9A-Za-z])(?:[EG]\d{8}|E[A-HJ-NP-Z]\d{7})(?![0-9A-Za-z])", regex.IGNORECASE)


class ChinesePassports:
    """Ordinary Chinese passports; every other passport needs its label (labelled.py)."""

    kind = "PASSPORT"
    digits = digit_run = 7

    def find(self, view: View) -> Iterator[Span]:
        for match in scan(_PASSPORT, view.words):
            yield Span(match.start(), match.end(), self.kind, 0.6)


# ---- plates ----------------------------------------------------------------------------------------------------------

PLATE_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PLATE = regex.compile(
    rf"[{PLATE_PROVINCES}使][ ]?[A-HJ-NP-Z][ ·.\-•]{{0,2}}(?=[A-Z]{{0,5}}[0-9])(?:[A-HJ-NP-Z0-9][ ]?){{4}}"
    r"(?:[A-HJ-NP-Z0-9]{1,2}|[A-HJ-NP-Z0-9]?[挂学警港澳领])(?![A-Za-z0-9])",
    regex.IGNORECASE,
)
_PLATE_HEAD = re.compile(rf"[{PLATE_PROVINCES}使][ ]?[A-Za-z]")


class Plates:
    """Chinese number plates, six or seven places behind the province, with a digit among them."""

    kind = "PLATE"
    digits = digit_run = 1

    def find(self, view: View) -> Iterator[Span]:
        if not _PLATE_HEAD.search(view.text):
            return
        for match in scan(_PLATE, view.text):
            yield Span(match.start(), match.end(), self.kind, 0.8)


# ---- chat ids --------------------------------------------------------------------------------------------------------

_BETWEEN = r"[^\w\n]{0,3}(?:(?:is|number|no|id|是|为|叫|改成|加)[^\w\n]{0,3}){0,2}"
_WECHAT = regex.compile(
    rf"(?:微信|薇信|威信|wechat|weixin|v信|(?<![a-z])wx|(?<![a-z])vx)(?:号码|账号|号|id|名)?{_BETWEEN}([a-z][a-z0-9_-]{{5,19}})(?![a-z0-9_-])"
)
_WECHAT_SIGNS = ("微信", "薇信", "威信", "wechat", "weixin", "v信", "wx", "vx")
_QQ = regex.compile(
    rf"(?:(?<![a-z])qq|扣扣|企鹅)[ ]?(?:号码|账号|群号|号|群)?{_BETWEEN}([1-9](?:[ -]?\d){{4,10}})(?!\d)"
)
_QQ_SIGNS = ("qq", "扣扣", "企鹅")


class WeChatIds:
    """A WeChat id behind its label. An ordinary word needs a digit, "_" or "-" in it to be one."""

    kind = "WECHAT"
    digits = digit_run = 0

    def find(self, view: View) -> Iterator[Span]:
        if not view.says(_WECHAT_SIGNS):
            return
        for match in scan(_WECHAT, view.lower):
            if any(not char.isalpha() for char in match.group(1)):
                yield Span(match.start(1), match.end(1), self.kind, 0.7)


class QqNumbers:
    """A QQ number behind its label."""

    kind = "QQ"
    digits = digit_run = 5

    def find(self, view: View) -> Iterator[Span]:
        if not view.says(_QQ_SIGNS):
            return
        for match in scan(_QQ, view.lower):
            if len(digits_of(match.group(1))) >= 5:
                yield Span(match.start(1), match.end(1), self.kind, 0.7)
