"""The form in which two spellings of one value are equal."""

from __future__ import annotations

import re

from filters.normalise import normalise
from filters.pii.quantity_forms import quantity_form
from filters.pii.types import QUANTITIES

# Types whose letters and signs carry nothing: only their digits are compared.
_DIGITS_ONLY = frozenset({"PHONE", "CARD", "US_SSN", "QQ"})
# Types in which grouping is free and case is not meant.
_UNGROUPED = frozenset(
    {
        "IBAN",
        "RESIDENT_ID",
        "NATIONAL_ID",
        "PASSPORT",
        "DRIVER_LICENCE",
        "CREDIT_CODE",
        "PLATE",
        "ACCOUNT",
        "MAC_ADDRESS",
    }
)
# Types in which case tells two values apart.
_EXACT = frozenset({"SECRET", "CRYPTO_WALLET"})

# What may stand beside the digits and is written in many ways.
_EXTENSION = re.compile(r"ext(?:ension)?|x|转|分机号?", re.IGNORECASE)
_LETTER = re.compile(r"[^\W\d_]")
# Base64 and its like, in which case tells values apart.
_ENCODED = re.compile(r"(?=[^a-z]*[a-z])(?=[^A-Z]*[A-Z])[A-Za-z0-9+/_-]{16,}={0,2}")


def canonical(kind: str, raw_value: str) -> str:
    """`raw_value` of the finding type `kind` without what people vary: width, case, spacing, grouping.

    An unknown kind is compared by its words, case-folded. Country prefixes stay: whether they may be dropped is asked
    by grounding, not here. What is encoded or spelled out ("one three eight", 一三八) equals itself alone.
    """
    text = normalise(raw_value).text.strip()
    if _ENCODED.fullmatch(text):
        return text
    if kind in _DIGITS_ONLY and not _LETTER.search(_EXTENSION.sub("", text)):
        return "".join(filter(str.isdigit, text))
    if kind in _UNGROUPED:
        return "".join(filter(str.isalnum, text)).casefold()
    if kind in _EXACT:
        return text
    if kind in QUANTITIES:
        return quantity_form(kind, text.casefold())
    if kind == "EMAIL":
        return "".join(text.split()).casefold()
    return " ".join(text.casefold().split())
