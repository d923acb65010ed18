"""Text as the index compares it: one number per character, the same for all spellings of one text.

A character is read as filters/normalise.py reads it (rules 1 to 4 there), Cyrillic and Greek letters that look Latin
become Latin wherever they stand (rule 5 there asks what stands beside them, which would make the reading depend on
where a text was cut), and case is dropped. So each character is read by itself, and the reading of a text is
that of its parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import regex

from filters.normalise import latin_twin, read
from filters.pii.view import CJK

Codes = npt.NDArray[np.uint32]
Kinds = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]

# What a character is to the index. Everything but OTHER is a member of n-grams.
OTHER, LETTER, DIGIT, HAN = range(4)

UNICODE = 0x110000
_REMOVED = UNICODE
_UNSEEN = UNICODE + 1
_IS_HAN = regex.compile(f"[{CJK}]")


@dataclass(frozen=True, slots=True)
class Reading:
    """Characters that are left of a text, what kind each is, and where in the text it stood."""

    codes: Codes
    kinds: Kinds
    places: Places


def read_text(raw_text: str) -> Reading:
    """The reading of any text, lone surrogates included. Never raises."""
    raw_codes = np.frombuffer(raw_text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    codes = _FOLDED[raw_codes]
    if (codes == _UNSEEN).any():
        _see(np.unique(raw_codes[codes == _UNSEEN]))
        codes = _FOLDED[raw_codes]
    places = np.flatnonzero(codes != _REMOVED)
    codes = codes[places]
    return Reading(codes, _KINDS[codes], places)


# Filled on first sight of a character, as normalise's own table is: reading all of Unicode takes seconds.
_FOLDED = np.full(UNICODE, _UNSEEN, dtype=np.uint32)
_KINDS = np.zeros(UNICODE, dtype=np.uint8)


def _see(raw_codes: Codes) -> None:
    for raw_code in raw_codes.tolist():
        char = read(raw_code)
        folded = None if char is None else _fold(char)
        if folded is not None:
            _KINDS[ord(folded)] = _kind(folded)
        _FOLDED[raw_code] = _REMOVED if folded is None else ord(folded)


def _fold(char: str) -> str:
    twin = latin_twin(char)
    lower = twin.lower()
    return lower if len(lower) == 1 else twin  # İ alone has a longer one


def _kind(char: str) -> int:
    if _IS_HAN.match(char):
        return HAN
    if char.isdecimal():
        return DIGIT
    return LETTER if char.isalnum() else OTHER
