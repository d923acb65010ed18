"""Canaries, and a search that finds them however they were written.

A canary begins with ROOT, which stands in no language, file or format; the letters behind it say on which path and in
which place it was said. So one search for ROOT in all its forms finds any of thousands of them, and a hit is named
afterwards. Pure functions of bytes; nothing here knows what a sink is.
"""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

ROOT: Final = "zqvolumex"
_CONSONANTS: Final = "bcdfgklmnprst"
_VOWELS: Final = "aeiou"
_SYLLABLES: Final = [consonant + vowel for consonant in _CONSONANTS for vowel in _VOWELS]
TAIL: Final = 6  # letters: three syllables, 274,625 words
_WORD: Final = re.compile(rb"%s[%s]{%d}" % (ROOT.encode(), (_CONSONANTS + _VOWELS).encode(), TAIL))
# Quoted-printable's and JSON's line ends too.
_BREAKS: Final = re.compile(rb"=?(?:\\r|\\n|[\r\n])+[ \t>|]*|\0", re.ASCII)


@dataclass(frozen=True)
class Said:
    """Where a canary was said."""

    path: str
    place: str


@dataclass(frozen=True)
class Hit:
    """A canary that was found: where it was said, or "?" where only its beginning is there, and in which form."""

    said: Said
    form: str


NOBODY: Final = Said("?", "?")


@dataclass
class Canaries:
    """One word for each path and place, the same when asked again."""

    words: dict[Said, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def word(self, path: str, place: str) -> str:
        with self._lock:  # paths are walked side by side
            return self.words.setdefault(Said(path, place), ROOT + _tail(len(self.words)))

    def hits(self, data: bytes) -> frozenset[Hit]:
        """Those in `data`, in any letter case and any of `FORMS`, also where lines break them up."""
        joined = _BREAKS.sub(b"", data)
        return frozenset(hit for text in {data, joined} for hit in self._hits(text))

    def _hits(self, data: bytes) -> Iterator[Hit]:
        lowered = data.lower()
        for form, (written, folds) in FORMS.items():
            text = lowered if folds else data
            beginnings = [each for root in _CASES for each in written(root)]
            if any(each in text for each in beginnings):
                yield from self._named(form, written, text)

    def _named(self, form: str, written: Callable[[str], Iterator[bytes]], text: bytes) -> Iterator[Hit]:
        """Which ones they are."""
        whole = set(_WORD.findall(text)) if form == PLAIN else None
        found = {
            said
            for said, word in list(self.words.items())
            if (
                word.encode() in whole
                if whole is not None
                else any(each in text for case in _cases(word) for each in written(case))
            )
        }
        yield from (Hit(said, form) for said in found or {NOBODY})


def _tail(number: int) -> str:
    letters = ""
    for _ in range(TAIL // 2):
        number, at = divmod(number, len(_SYLLABLES))
        letters += _SYLLABLES[at]
    if number:
        raise ValueError("more canaries than there are words")
    return letters


def _cases(word: str) -> list[str]:
    return [word, word.upper(), word.capitalize()]


_CASES: Final = _cases(ROOT)


# ---- forms -----------------------------------------------------------------------------------------------------------
# Of each: how a text is written in it, without what its neighbours decide; and whether letter case is of no account.


def _plain(text: str) -> Iterator[bytes]:
    yield text.lower().encode()


def _reversed(text: str) -> Iterator[bytes]:
    yield text.lower()[::-1].encode()


def _base64(text: str) -> Iterator[bytes]:
    """At each of the three offsets, without the characters that hold bits of what stands beside it (RFC 4648, 4).
    Letters alone make none of the two signs in which base64url differs."""
    raw = text.encode()
    for offset in range(3):
        coded = base64.b64encode(b"\0" * offset + raw)
        first = (offset * 8 + 5) // 6
        yield coded[first : (offset + len(raw)) * 8 // 6]


def _base32(text: str) -> Iterator[bytes]:
    """At each of the five offsets (RFC 4648, 6)."""
    raw = text.encode()
    for offset in range(5):
        coded = base64.b32encode(b"\0" * offset + raw)
        yield coded[(offset * 8 + 4) // 5 : (offset + len(raw)) * 8 // 5].lower()


def _each(form: str, between: str = "") -> Callable[[str], Iterator[bytes]]:
    """Each character in this form, with its code for a placeholder."""

    def written(text: str) -> Iterator[bytes]:
        yield between.join(form.format(ord(char)) for char in text).encode()

    return written


def _utf16(text: str) -> Iterator[bytes]:
    """Both byte orders; the byte that its neighbour may lack is left out."""
    yield text.lower().encode("utf-16-le")[:-1]


PLAIN: Final = "plain"
FORMS: Final[Mapping[str, tuple[Callable[[str], Iterator[bytes]], bool]]] = {
    PLAIN: (_plain, True),
    "reversed": (_reversed, True),
    "base64": (_base64, False),
    "base32": (_base32, True),
    "hex": (_each("{:02x}"), True),
    "hex, spaced": (_each("{:02x}", " "), True),
    "hex, escaped": (_each("\\x{:02x}"), True),
    "percent": (_each("%{:02x}"), True),
    "JSON escapes": (_each("\\u{:04x}"), True),
    "HTML, decimal": (_each("&#{};"), True),
    "HTML, hex": (_each("&#x{:x};"), True),
    "numbers": (_each("{}", ","), True),
    "numbers, spaced": (_each("{}", ", "), True),
    "octal": (_each("\\{:03o}"), True),
    "UTF-16": (_utf16, True),
}
