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
5. Cyrillic and Greek letters that look Latin become Latin in words that hold a Latin letter as well (UTS #39, the part
   of its confusables table that people meet).

`readings` adds, only where a text has them, readings in which escapes are decoded (percent, HTML entities, \\u and \\x)
and in which Chinese numerals are digits. Base64, spelled-out English digits and reversed text are not read yet.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Normalised:
    """`text[i]` was read from `raw_text[offsets[i]:ends[i]]`. Both are as long as `text` and never fall.

    What was removed belongs to the character before it.
    """

    text: str
    offsets: Sequence[int]
    ends: Sequence[int]

    def raw_span(self, start: int, end: int) -> tuple[int, int]:
        """The smallest raw span that covers `text[start:end]` wholly; `start` must be less than `end`."""
        return self.offsets[start], self.ends[end - 1]

    def raw_start(self, start: int, raw_length: int) -> int:
        """Where `text[start:]` begins in the raw text of `raw_length` characters."""
        return self.offsets[start] if start < len(self.offsets) else raw_length


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


def readings(raw_text: str) -> Iterator[Normalised]:
    """The plain reading first, then each further reading that this text calls for. All map to `raw_text`."""
    plain = normalise(raw_text)
    yield plain
    if _ESCAPE.search(plain.text):
        yield _decoded(plain)
    if _NUMERALS.search(plain.text):
        yield Normalised(_NUMERALS.sub(_arabic, plain.text), plain.offsets, plain.ends)


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
        read = self[code] = _read(chr(code))
        return read


_TABLE = _Table()


# ---- maps ------------------------------------------------------------------------------------------------------------


def _identity(text: str) -> Normalised:
    return Normalised(text, range(len(text)), range(1, len(text) + 1))


def _with_removals(raw_text: str) -> Normalised:
    chars: list[str] = []
    offsets: list[int] = []
    ends: list[int] = []
    for at, raw_char in enumerate(raw_text):
        read = _TABLE[ord(raw_char)]
        if read is not None:
            chars.append(read)
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
_WORD = re.compile(r"\w+(?:[.@-]\w+)*")


def _latinised(text: str) -> str:
    def read(word: re.Match[str]) -> str:
        found = word.group()
        return found.translate(_LATIN_TWINS) if re.search("[A-Za-z]", found) else found

    return _WORD.sub(read, text)


# ---- escapes ---------------------------------------------------------------------------------------------------------

_ESCAPE = re.compile(
    r"%[0-9A-Fa-f]{2}|&#[0-9]{1,7};|&#[xX][0-9A-Fa-f]{1,6};|&(?:commat|period|nbsp|hyphen|lowbar|plus|num);"
    r"|\\u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}"
)


def _decoded(plain: Normalised) -> Normalised:
    """Escapes become what they stand for. A percent escape is read as one byte, which is all that ASCII needs."""
    chars: list[str] = []
    offsets: list[int] = []
    ends: list[int] = []
    at = 0
    for escape in _ESCAPE.finditer(plain.text):
        _copy(plain, at, escape.start(), chars, offsets, ends)
        read = _TABLE[_code_of(escape.group())]
        start, end = plain.raw_span(*escape.span())
        if read is not None:
            chars.append(read)
            offsets.append(start)
            ends.append(end)
        elif ends:
            ends[-1] = end
        at = escape.end()
    _copy(plain, at, len(plain.text), chars, offsets, ends)
    return Normalised("".join(chars), offsets, ends)


def _copy(plain: Normalised, start: int, end: int, chars: list[str], offsets: list[int], ends: list[int]) -> None:
    chars.extend(plain.text[start:end])
    offsets.extend(plain.offsets[start:end])
    ends.extend(plain.ends[start:end])


def _code_of(escape: str) -> int:
    if escape.startswith("&"):
        return ord(html.unescape(escape)[0])
    return int(escape.lstrip("%\\ux"), 16)


# ---- Chinese numerals ------------------------------------------------------------------------------------------------

_NUMERAL = "〇零○一二三四五六七八九幺两壹贰叁肆伍陆柒捌玖"
_NUMERAL_DIGITS = str.maketrans(_NUMERAL, "00012345678912123456789")
# Seven, the shortest telephone number: shorter runs are ordinary words ("三三两两"). At least one must be a numeral.
_NUMERALS = re.compile(
    rf"(?<![{_NUMERAL}0-9])(?=[0-9 ,、.-]{{0,24}}[{_NUMERAL}])[{_NUMERAL}0-9](?:[ ,、.-]?[{_NUMERAL}0-9]){{6,}}"
)


def _arabic(run: re.Match[str]) -> str:
    return run.group().translate(_NUMERAL_DIGITS)
