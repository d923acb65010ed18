"""Numbers that only their label makes private: accounts, members, patients, licences, passports of any country."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from filters.pii.view import View, label, scan
from filters.spans import Span

# A value holds at least so many digits.
_FEWEST_DIGITS = 4
_LINK = (
    r"['\"*]{0,3}(?:[ _-]?(?:numbers?|num|no|nr|id|code|#)\.?|号码|号|编号|码)?['\"*]{0,3}[ \t]{0,2}"
    r"(?:(?:[:=#]|is|was|ending in|是|为)[ \t]{0,2}){0,2}['\"*]{0,3}"
)
_VALUE = r"([a-z]{0,4}[ -]?\d(?:[ -]?[a-z0-9]){3,23}|[a-z]{1,4}\d[a-z0-9-]{2,20})(?![a-z0-9])"

_LABELS = {
    "ACCOUNT": r"account|acct|\ba/c|routing|sort code|swift|member(?:ship)?|polic(?:y|ies)|patient|medical record|\bmrn"
    r"|insurance|customer id|client id|\bnpi\b|\bdea\b"
    r"|账号|帐号|账户|帐户|银行卡|卡号|病历|社保|医保|公积金|会员|客户编?号|工号|学号|保单",
    "DRIVER_LICENCE": r"driv(?:er'?s?|ing) licen[cs]e|\bdl\b|licen[cs]e|驾驶证|驾照|档案编号",
    "PASSPORT": r"passport|travel document|护照|通行证|证件",
    "NATIONAL_ID": r"national id|identity|\bid card|tax(?:payer)? id|\btin\b|\bein\b|\bvat\b|social insurance|"
    r"身份证|identification",
    "PLATE": r"licen[cs]e plate|number plate|registration (?:number|plate)|\bplate|车牌",
}


# Cheap tests: one of these stands in every label of the kind.
_SIGNS = {
    "ACCOUNT": (
        *("account", "acct", "a/c", "routing", "sort code", "swift", "member", "polic", "patient", "medical record"),
        *("mrn", "insurance", "customer id", "client id", "npi", "dea"),
        *("账", "帐", "银行卡", "卡号", "病历", "社保", "医保", "公积金", "会员", "客户", "工号", "学号", "保单"),
    ),
    "DRIVER_LICENCE": ("licen", "dl", "驾", "档案编号"),
    "PASSPORT": ("passport", "travel document", "护照", "通行证", "证件"),
    "NATIONAL_ID": (*("national id", "identi", "id card", "tax", "tin", "ein", "vat", "social insurance", "身份证"),),
    "PLATE": ("plate", "registration", "车牌"),
}


class Labelled:
    """A number or code right behind a label of one kind."""

    digits, digit_run = _FEWEST_DIGITS, 1  # letters may stand between them

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._signs = _SIGNS[kind]
        self._pattern: Any = label(rf"(?:{_LABELS[kind]}){_LINK}{_VALUE}")

    @property
    def kind(self) -> str:
        return self._kind

    def find(self, view: View) -> Iterator[Span]:
        if not view.says(self._signs):
            return
        for match in scan(self._pattern, view.lower):
            if sum(map(str.isdigit, match.group(1))) >= _FEWEST_DIGITS:
                yield Span(match.start(1), match.end(1), self._kind, 0.5)


KINDS = tuple(_LABELS)
