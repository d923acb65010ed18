"""Encodings that a text may hold, decoded in place: escapes, hexadecimal bytes, base64.

Each function takes a reading and yields further readings of the same raw text; none where the text has no such form. A
decoded character maps to every raw character that holds a bit of it, so that neighbours in base64 share one.

- Escapes: percent and \\x (RFC 3986; runs are read as UTF-8), \\u \\U \\u{} (also with the backslash doubled), U+XXXX,
  %uXXXX, HTML entities by number and by name.
- Markup that is not seen where the text is shown: tags, comments, emphasis and code marks inside a word, and the
  backslash in front of a sign.
- Hexadecimal: seven bytes or more in one run or apart, "0x" and the zero byte of UTF-16 included.
- Base64 (RFC 4648, both alphabets, padding or none, lines as MIME wraps them): from each of the four places where a
  group may begin, so that a blob that is glued to a word is read as well. What decodes to nothing legible is left.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator, Sequence

from filters.normalise import Normalised, read


class Rewriter:
    """Builds a reading from pieces of another one and from characters of its own."""

    def __init__(self, source: Normalised) -> None:
        self._source = source
        self._chars: list[str] = []
        self._offsets: list[int] = []
        self._ends: list[int] = []
        self._at = 0

    @property
    def at(self) -> int:
        """Where in the source the last piece ended."""
        return self._at

    def copy_until(self, end: int) -> None:
        """Copy the source from where the last piece ended."""
        source, start = self._source, self._at
        self._chars.extend(source.text[start:end])
        self._offsets.extend(source.offsets[start:end])
        self._ends.extend(source.ends[start:end])
        self._at = end

    def put(self, char: str | None, start: int, end: int) -> None:
        """`char` stands for `source.text[start:end]`; None belongs to the character before it."""
        raw_start, raw_end = self._source.raw_span(start, end)
        if char is not None:
            self._chars.append(char)
            self._offsets.append(raw_start)
            self._ends.append(raw_end)
        elif self._ends:
            self._ends[-1] = max(self._ends[-1], raw_end)

    def skip_to(self, end: int) -> None:
        """The source up to `end` has been put."""
        self._at = end

    def done(self) -> Normalised:
        self.copy_until(len(self._source.text))
        return Normalised("".join(self._chars), self._offsets, self._ends)


def decodings(reading: Normalised) -> Iterator[Normalised]:
    """Every further reading that one step of decoding gives."""
    yield from _unescaped(reading)
    yield from _without_markup(reading)
    yield from _from_hex(reading)
    yield from _from_base64(reading)


# ---- escapes ---------------------------------------------------------------------------------------------------------

_ESCAPES = re.compile(
    r"(?P<bytes>(?:(?:%|\\{1,4}x)[0-9A-Fa-f]{2})+)"
    r"|(?:\\{1,4}u|%u)(?P<code>[0-9A-Fa-f]{4})"  # what follows the fourth digit is text as it stands
    r"|(?:\\{1,4}U|(?<![A-Za-z0-9])U\+)(?:(?P<long>0{0,4}[0-9A-Fa-f]{4})(?![0-9A-Fa-f]{4})|(?P<short>[0-9A-Fa-f]{4}))"
    r"|\\{1,4}u\{(?P<braced>[0-9A-Fa-f]{1,6})\}"
    r"|&#(?P<decimal>[0-9]{1,7});?|&#[xX](?P<hex>[0-9A-Fa-f]{1,6});?"
    r"|&(?P<name>[A-Za-z]{2,24});"
)
_ANY_ESCAPE = re.compile(r"[%\\][0-9A-Fa-fxuU\\]|&[#A-Za-z]|U\+[0-9A-Fa-f]{4}")
_CODE_POINTS = re.compile(r"[ ,]U\+[0-9A-Fa-f]{4,8}")  # what is between two of them is no character of the value
_BYTE = re.compile(r"(?:%|\\{1,4}x)([0-9A-Fa-f]{2})")


def _unescaped(reading: Normalised) -> Iterator[Normalised]:
    if not _ANY_ESCAPE.search(reading.text):
        return
    out, found = Rewriter(reading), False
    for escape in _ESCAPES.finditer(reading.text):
        start, end = escape.span()
        if escape["bytes"]:
            places = [(start + b.start(), start + b.end()) for b in _BYTE.finditer(escape.group())]
            codes = bytes(int(b, 16) for b in _BYTE.findall(escape.group()))
            out.copy_until(start)
            _put_bytes(out, codes, places)
        else:
            code = _code_of(escape)
            if code is None:
                continue
            if _CODE_POINTS.match(reading.text, out.at, end):
                out.put(None, out.at, start)
                out.skip_to(start)
            out.copy_until(start)
            out.put(read(code), start, end)
        out.skip_to(end)
        found = True
    if found:
        yield out.done()


def _code_of(escape: re.Match[str]) -> int | None:
    """The code point, or None for what only looks like an escape. Over the last code point: none."""
    if name := escape["name"]:
        char = html.unescape(f"&{name};")
        return ord(char) if len(char) == 1 else None
    written = escape["code"] or escape["long"] or escape["short"] or escape["braced"] or escape["hex"]
    code = int(written, 16) if written else int(escape["decimal"])
    return code if code < 0x110000 else None


def _put_bytes(out: Rewriter, codes: bytes, places: Sequence[tuple[int, int]]) -> None:
    """Bytes as UTF-8; one that is none becomes U+FFFD, which joins nothing. A zero byte (UTF-16) is removed."""
    at = 0
    for char in codes.decode("utf-8", errors="surrogateescape"):
        broken = "\udc80" <= char <= "\udcff"
        width = 1 if broken else len(char.encode())
        out.put("\ufffd" if broken else read(ord(char)), places[at][0], places[at + width - 1][1])
        at += width


# ---- markup ----------------------------------------------------------------------------------------------------------

# Beside a letter or digit; the longest tag and comment are bounded, so that the cost is linear.
_MARKUP = re.compile(
    r"</?[A-Za-z][^<>\n]{0,64}>|<!--[^<>]{0,64}-->"
    r"|(?<=[\w@.`*-])(?:\*{2,3}|__|~~|`)(?=[\w@.`*-])|(?<=[A-Za-z@.])\*(?=[\w@.])|(?<=[\w@.])\*(?=[A-Za-z@.])"
    r"|\\(?=[@._+\-()\[\]#*])"
)
_MAYBE_MARKUP = re.compile(r"[A-Za-z0-9@.](?:<|\\|(?:[*`]{1,3}|__|~~)[A-Za-z0-9@.*`])|>[A-Za-z0-9@.]")


def _without_markup(reading: Normalised) -> Iterator[Normalised]:
    if not _MAYBE_MARKUP.search(reading.text):
        return
    out, found = Rewriter(reading), False
    for mark in _MARKUP.finditer(reading.text):
        out.copy_until(mark.start())
        out.put(None, *mark.span())
        out.skip_to(mark.end())
        found = True
    if found:
        yield out.done()


# ---- hexadecimal -----------------------------------------------------------------------------------------------------

# The first byte is a printable one or the head of a Chinese character (E3 to E9).
_HEX = re.compile(
    r"(?<![0-9A-Fa-f])(?:0[xX]|00)?(?:[2-7][0-9A-Fa-f]|[eE][3-9A-Fa-f])"
    r"(?:[ ,:\-\n]{0,2}(?:0[xX])?[0-9A-Fa-f]{2}){6,}(?![0-9A-Fa-f])"
)
_FEWEST_HEX_DIGITS = 7  # the first half of a printable byte is one
_HEX_BYTE = re.compile(r"(?:0[xX])?([0-9A-Fa-f]{2})")
_LEGIBLE = re.compile(r"[\x00\x20-\x7e\n\u00a0-\u024f\u4e00-\u9fff\uff01-\uff5e]{6}")


def _from_hex(reading: Normalised) -> Iterator[Normalised]:
    if sum(map(reading.text.count, "0123456789")) < _FEWEST_HEX_DIGITS:
        return
    out, found = Rewriter(reading), False
    for run in _HEX.finditer(reading.text):
        pairs = list(_HEX_BYTE.finditer(run.group()))
        codes = bytes(int(pair[1], 16) for pair in pairs)
        if _LEGIBLE.search(codes.decode("utf-8", errors="replace")):
            out.copy_until(run.start())
            places = [(run.start() + pair.start(), run.start() + pair.end()) for pair in pairs]
            if not codes[0]:
                places[1] = (run.start(), places[1][1])  # a zero byte in front belongs to what follows
            _put_bytes(out, codes, places)
            out.skip_to(run.end())
            found = True
    if found:
        yield out.done()


# ---- base64 ----------------------------------------------------------------------------------------------------------

# Ten characters hold seven bytes, the shortest number that is looked for. Lines as MIME wraps them: sixty or more.
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{10,}(?:(?<=[A-Za-z0-9+/_-]{60})\n[A-Za-z0-9+/_-]+)*={0,2}")
_PLACEHOLDER = re.compile(r"\[[A-Z_]{1,20}_(?:\d{1,4}|[a-z]{12})\]")
_TO_STANDARD = str.maketrans("-_", "+/", "\n=")


def _from_base64(reading: Normalised) -> Iterator[Normalised]:
    runs = [run for run in _BASE64.finditer(reading.text) if _is_no_word(run.group()) and not is_placeholder(run)]
    if not runs:
        return
    for skipped in range(4):
        out, found = Rewriter(reading), False
        for run in runs:
            found |= _put_base64(out, run, skipped)
        if found:
            yield out.done()


def is_placeholder(run: re.Match[str]) -> bool:
    """Whether `run` is what stands between the brackets where a value was hidden (actions.py)."""
    return _PLACEHOLDER.fullmatch(run.string, max(0, run.start() - 1), run.end() + 1) is not None


def _is_no_word(run: str) -> bool:
    """Encoded text mixes cases: no digits alone, no lower-case word, no Capitalised one."""
    return not (run.islower() or run.isdigit() or run[1:].islower())


def _put_base64(out: Rewriter, run: re.Match[str], skipped: int) -> bool:
    """Put what the run holds from its character number `skipped` on, if that is legible."""
    places = [run.start() + i for i, char in enumerate(run.group()) if char not in "\n="][skipped:]
    body = run.group().translate(_TO_STANDARD)[skipped:]
    if len(body) % 4 == 1:
        body, places = body[:-1], places[:-1]
    codes = base64.b64decode(body + "=" * (-len(body) % 4))
    if not _LEGIBLE.search(codes.decode("utf-8", errors="replace")):
        return False
    out.copy_until(places[0])
    # Byte k holds the bits 8k to 8k+7 of six-bit characters.
    ends = [places[(8 * k + 7) // 6] + 1 for k in range(len(codes))]
    ends[-1] = run.end() if ends[-1] == places[-1] + 1 else ends[-1]
    _put_bytes(out, codes, [(places[8 * k // 6], end) for k, end in enumerate(ends)])
    out.skip_to(run.end())
    return True
