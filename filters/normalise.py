"""One plain reading of a text, with a map back to the characters that were really written.

A value can be written so that it looks the same and compares differently: full-width digits, a zero-width space in the
middle, a Cyrillic "а" in an e-mail address. Detectors and comparisons work on the plain reading, hiding works on the
raw text, and the map between the two never loses a raw character: a span of plain characters maps to a span of raw ones
that holds everything between its ends, the removed characters included.

Rules, in this order, one raw character at a time (so that the cost is linear and the map exact):

1. Format characters, combining marks, controls and blank fillers are removed (Unicode categories Cf, Mn, Me, Cc).
   Tag characters (U+E0020 to U+E007E), invisible copies of ASCII, become the ASCII that they copy.
2. Anything that Unicode gives a decimal digit value becomes that digit: all decimal digits (Nd), circled, superscript,
   parenthesised and dotted ones.
3. Spaces of any width become " ", line separators "\\n", dashes and minus signs "-".
4. NFKC where it maps to one character (full-width and mathematical letters); two or more stay as they were.
5. Cyrillic and Greek letters that look Latin become Latin in words that hold a Latin letter or a digit as well (UTS
   #39, the part of its confusables table that people meet).

What is written in another form (escaped, encoded, spelled out, backwards) is read further in pii/readings.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Normalised:
    """`text[i]` was read from `raw_text[offsets[i]:ends[i]]`. Both are as long as `text`.

    What was removed belongs to the character before it. In the plain reading the two never fall and never overlap; in
    a further reading (pii/readings.py) neighbours may share a raw character, and a part may run backwards.
    """

    text: str
    offsets: Sequence[int]
    ends: Sequence[int]

    def raw_span(self, start: int, end: int) -> tuple[int, int]:
        """The smallest raw span that covers `text[start:end]` wholly; `start` must be less than `end`."""
        return min(self.offsets[start:end]), max(self.ends[start:end])

    def raw_start(self, start: int, raw_length: int) -> int:
        """Where `text[start:]` begins in the raw text of `raw_length` characters."""
        return min(self.offsets[start:], default=raw_length)


def normalise(raw_text: str) -> Normalised:
    """The plain reading of `raw_text`. Idempotent on its own output. Never raises."""
    if not _UNUSUAL.search(raw_text):
        return _identity(raw_text)
    mapped = raw_text.translate(_TABLE)
    # The table maps a character to one character or to none, so equal lengths mean that nothing moved.
    plain = _identity(mapped) if len(mapped) == len(raw_text) else _with_removals(raw_text)
    if _LOOK_ALIKE.search(plain.text):
        plain = Normalised(_latinised(plain.text), plain.offsets, plain.ends)
    return plain


def read(code: int) -> str | None:
    """What the character with this code point reads as: one character, or None if it is removed."""
    return _TABLE[code]


def latin_twin(char: str) -> str:
    """The Latin letter that a Cyrillic or Greek one looks like (rule 5), whatever stands beside it; or `char`."""
    return char.translate(_LATIN_TWINS)


# ---- one character ---------------------------------------------------------------------------------------------------

_UNUSUAL = re.compile(r"[^\t\n\r\x20-\x7e]")
_REMOVED = frozenset({"Cf", "Mn", "Me", "Cc", "Cs"})
_FILLERS = frozenset("\u115f\u1160\u3164\uffa0")  # Hangul fillers: letters by category, blank by looks
_BLANKS = frozenset("\u2800\v\f")  # an empty Braille cell; vertical tab and form feed
_LINE_ENDS = frozenset("\u2028\u2029\x85")
_DASHES = frozenset("\u2212\u2043\u02d7\u2500\u2501\u2796\uff5e\u301c\u223c")


def _read(char: str) -> str | None:
    """What `char` reads as: one character, or None if it is removed."""
    code = ord(char)
    if 0xE0020 <= code <= 0xE007E:
        return chr(code - 0xE0000)
    if char in "\t\n\r":
        return char
    if char in _LINE_ENDS:
        return "\n"
    if char in _BLANKS:
        return " "
    category = unicodedata.category(char)
    if category in _REMOVED or char in _FILLERS:
        return None
    if category == "Zs":
        return " "
    if category == "Pd" or char in _DASHES:
        return "-"
    return _digit(char) or _compatible(char)


def _digit(char: str) -> str | None:
    value = unicodedata.digit(char, None)
    if value is not None:
        return str(value)
    # "⒈" and "⑴" are a digit with its punctuation; "⑩" is two digits and stays, since it can't be one character.
    spelled = unicodedata.normalize("NFKC", char)
    digits = [c for c in spelled if c.isdecimal()]
    alone = len(digits) == 1 and len(spelled) > 1 and all(c in "().," for c in spelled if c not in digits)
    return digits[0] if alone else None


def _compatible(char: str) -> str:
    spelled = unicodedata.normalize("NFKC", char)
    return spelled if len(spelled) == 1 else char


class _Table(dict[int, str | None]):
    """Fills itself on first sight of a character; its size is bounded by the number of characters in Unicode."""

    def __missing__(self, code: int) -> str | None:
        char = self[code] = _read(chr(code))
        return char


_TABLE = _Table()


# ---- maps ------------------------------------------------------------------------------------------------------------


def _identity(text: str) -> Normalised:
    return Normalised(text, range(len(text)), range(1, len(text) + 1))


def _with_removals(raw_text: str) -> Normalised:
    chars: list[str] = []
    offsets: list[int] = []
    ends: list[int] = []
    for at, raw_char in enumerate(raw_text):
        char = _TABLE[ord(raw_char)]
        if char is not None:
            chars.append(char)
            offsets.append(at)
            ends.append(at + 1)
        elif ends:
            ends[-1] = at + 1
    return Normalised("".join(chars), offsets, ends)


# ---- look-alike letters ----------------------------------------------------------------------------------------------

_LATIN_TWINS = str.maketrans(
    "АВСЕНІЈКМОРЅТХУаеіјорсухѕһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορυικ",
    "ABCEHIJKMOPSTXYaeijopcyxshdqwABEZHIKMNOPTYXavopuik",
)
_LOOK_ALIKE = re.compile(r"[\u0370-\u052f]")
_WORD = re.compile(r"\w+(?:[.@:-]\w+)*")


def _latinised(text: str) -> str:
    def in_latin(word: re.Match[str]) -> str:
        found = word.group()
        return found.translate(_LATIN_TWINS) if re.search("[A-Za-z0-9]", found) else found

    return _WORD.sub(in_latin, text)
