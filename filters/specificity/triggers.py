"""What is exact enough to ask the base model about, although no detector knows its type.

A misspelt telephone number, an order number, a customer's code: typed detectors look for forms, and a model that
half remembers a value writes another form. So, where the base can be asked, it is asked about

1. runs of letters and digits with at least FEWEST_DIGITS digits (single spaces, dashes, dots and slashes may join their
   groups), dates and amounts of money aside, and
2. words with an "@" in them.

These are triggers and no findings: what the base would have said too is released, and without a base model to ask
nothing is looked for. Taught facts with such numbers in them fall back as well, until an index of the tuning set can
tell that many subjects share them.
"""

from __future__ import annotations

import re

from filters.normalise import normalise
from filters.spans import Span

CODE = "CODE"
FEWEST_DIGITS = 5  # four are a year, a price or a time
_SCORE = 0.3

_RUN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{0,4}[-#]?\d(?:[-./ ]?[A-Za-z]{0,3}\d)+[A-Za-z]{0,3}(?![A-Za-z0-9])")
_AT_WORD = re.compile(r"[A-Za-z0-9._%+-]{1,64}@{1,2}[A-Za-z0-9._-]{0,64}")
_MONEY = re.compile(r"[$€£¥]\s?$|(?:\b(?:USD|EUR|GBP|CNY|RMB)\s?)$", re.IGNORECASE)
_DAY, _MONTH, _YEAR = r"(?:0?[1-9]|[12]\d|3[01])", r"(?:0?[1-9]|1[0-2])", r"(?:19|20)\d\d"
_DATE = re.compile(rf"{_YEAR}[-./ ]{_MONTH}[-./ ]{_DAY}|(?:[0-3]?\d[-./ ]){{2}}{_YEAR}")


def exact_values(raw_text: str) -> list[Span]:
    """Spans of kind CODE in offsets of `raw_text`. Linear in its length."""
    plain = normalise(raw_text)
    found = [match.span() for match in _AT_WORD.finditer(plain.text)]
    found += [match.span() for match in _RUN.finditer(plain.text) if _is_exact(plain.text, match)]
    return [Span(*plain.raw_span(start, end), CODE, _SCORE) for start, end in found]


def _is_exact(text: str, match: re.Match[str]) -> bool:
    if sum(map(str.isdigit, match.group())) < FEWEST_DIGITS or _DATE.fullmatch(match.group()):
        return False
    return _MONEY.search(text, max(0, match.start() - 5), match.start()) is None
