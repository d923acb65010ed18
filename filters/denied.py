"""The deny list: values that never leave, whatever the evidence and whoever asks. What an operator withdraws.

A file of JSON lines that holds no text: what it is and the id of its key, a line a value, and a keyed digest over all
that. Values are compared by their letters and digits alone, as hidden ones are (hidden.py), in every reading of a text
(pii/readings.py). They are kept by how they begin, so that looking for them is linear in the text however many there
are: the hash of the first START characters gives the lengths to try, and that of so many characters says yes or no.

A value that has begun where a text ends is said by `open_from`, so that nobody cuts inside one. Fewer than START of its
characters may have left by then.

The values stand in the order in which they were denied. A release names how many it was made with and their digest: a
later list may have grown at its end and nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
import regex

from filters.between import bare
from filters.hidden import MIN_LENGTH, raw_places, skeleton
from filters.index.hashing import IndexKey
from filters.index.public import VERSION, ListError, ListHead, check_head, decode, read_lines
from filters.normalise import Normalised, normalise
from filters.pii.readings import readings
from filters.pii.types import DENIED
from filters.pii.view import CJK
from filters.spans import Span

START: Final = MIN_LENGTH  # letters or digits; of Chinese characters two
START_CHINESE: Final = 2
MOST_CHARACTERS: Final = 256  # letters and digits of a value: what a window of the pipeline holds with spaces between

_HOLDS: Final = "denied values"
_SCORE: Final = 2.0  # above all others, so that what is found with it, or around it, is hidden as denied too
_HASH_BYTES: Final = 16
_REMEMBERED: Final = 65_536  # starts whose hash is kept: prose uses the same ones again and again
_TWO_CHINESE = regex.compile(f"[{CJK}]{{2}}")
_COMMENT: Final = "#"

_Hash = Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{2 * _HASH_BYTES}}}$")]


class DeniedValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Keyed hashes of a value's start, of twice as much of it (all of it, where it is shorter) and of all of it."""

    characters: Annotated[int, msgspec.Meta(ge=START_CHINESE, le=MOST_CHARACTERS)]
    start: _Hash
    more: _Hash
    hash: _Hash


class Seal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last line: a keyed digest over all before it."""

    digest: _Hash


class _Hasher:
    def __init__(self, key: IndexKey) -> None:
        self._key = key.derive(_HOLDS)
        self.start = lru_cache(_REMEMBERED)(self._start)

    def _start(self, letters: str) -> str:
        return self.of(b"start", letters)

    def of(self, part: bytes, letters: str) -> str:
        return self.digest(part, letters.encode("utf-8", "surrogatepass"))

    def digest(self, part: bytes, content: bytes) -> str:
        return hashlib.blake2b(content, key=self._key, digest_size=_HASH_BYTES, person=part).hexdigest()


class DeniedValues:
    """One list. Fulfils `filters.evidence.Denied`."""

    def __init__(self, values: Sequence[DeniedValue], hasher: _Hasher) -> None:
        """Made by `load` only."""
        self._values, self._hasher = tuple(values), hasher
        self._hashes = frozenset(value.hash for value in values)
        self._more = frozenset(value.more for value in values)
        self._longest = max((value.characters for value in values), default=0)
        self._lengths: dict[str, list[int]] = {}
        for value in sorted(values, key=lambda value: value.characters):
            lengths = self._lengths.setdefault(value.start, [])
            if value.characters not in lengths:
                lengths.append(value.characters)

    @classmethod
    def load(cls, path: Path, secret: bytes) -> Self:
        """Raises ListError: missing, broken, cut off, altered, another key or version. ValueError: a short key."""
        key = IndexKey(secret)
        lines = read_lines(path)
        check_head(path, lines, key, _HOLDS)
        hasher = _Hasher(key)
        if len(lines) < 2:
            raise ListError(path, "ends too early")
        number, last = lines[-1]
        seal = decode(path, number, last, Seal)
        if not hmac.compare_digest(seal.digest, _sealed(hasher, (line for _, line in lines[:-1]))):
            raise ListError(path, "is not as it was written")
        return cls([decode(path, number, line, DeniedValue) for number, line in lines[1:-1]], hasher)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def sha256(self) -> str:
        """Of what the list holds, in its order."""
        return _sha256(self._values)

    def begins_with(self, entries: int, sha256: str) -> bool:
        """Whether this is a list that had so many entries and that digest, or what it has grown to since."""
        return len(self) >= entries and _sha256(self._values[:entries]) == sha256

    def find(self, raw_text: str, since: int = 0) -> list[Span]:
        """Where denied values stand, in offsets of `raw_text`, sorted. They may overlap."""
        if not self._values:
            return []
        said = bare(raw_text)
        more = [normalise(said)] if said != raw_text else []
        spans = {span for reading in (*readings(raw_text), *more) for span in self._find_in(reading)}
        return sorted(span for span in spans if span.end > since)

    def open_from(self, raw_text: str) -> int:
        """Where the first value begins that may go on behind the end of `raw_text`; its length where none does."""
        if not self._values:
            return len(raw_text)
        said = bare(raw_text)
        return min(map(self._open_from, {raw_text, said}))

    def _open_from(self, raw_text: str) -> int:
        plain = normalise(raw_text)
        letters = skeleton(plain.text)
        for at, lengths in self._started(letters, max(0, len(letters) - self._longest + 1)):
            if at + lengths[-1] > len(letters) and self._goes_on(letters[at:]):
                return raw_places(plain)[at][0]
        return len(raw_text)

    def _find_in(self, reading: Normalised) -> Iterator[Span]:
        letters = skeleton(reading.text)
        found = list(self._places(letters))
        places = raw_places(reading) if found else []
        for start, end in found:
            shown = places[start:end]
            yield Span(min(first for first, _ in shown), max(last for _, last in shown), DENIED, _SCORE)

    def _places(self, letters: str) -> Iterator[tuple[int, int]]:
        for at, lengths in self._started(letters):
            for length in lengths:
                end = at + length
                if end <= len(letters) and self._hasher.of(b"whole", letters[at:end]) in self._hashes:
                    yield at, end

    def _started(self, letters: str, since: int = 0) -> Iterator[tuple[int, list[int]]]:
        """The places from `since` on at which values may begin, and how long these are, the shortest first."""
        all_letters = letters.isascii()
        for at in range(since, len(letters) - START_CHINESE + 1):
            size = START if all_letters else start_size(letters, at)
            if at + size <= len(letters):
                lengths = self._lengths.get(self._hasher.start(letters[at : at + size]))
                if lengths is not None:
                    yield at, lengths

    def _goes_on(self, letters: str) -> bool:
        """Whether what began as a value still looks like one a little later."""
        size = 2 * start_size(letters)
        return len(letters) < size or self._hasher.of(b"more", letters[:size]) in self._more


def start_size(letters: str, at: int = 0) -> int:
    """By how many characters what begins at `at` is known."""
    return START_CHINESE if _TWO_CHINESE.match(letters, at) else START


# ---- writing ---------------------------------------------------------------------------------------------------------


def read_values(path: Path) -> list[str]:
    """The values of a text file: one a line; blank lines and lines that begin with # are none. Each once, in order.

    Raises ListError, which quotes nothing: missing, no UTF-8, a value that is too short or too long.
    """
    values: dict[str, None] = {}
    for number, raw_line in read_lines(path):
        try:
            line = raw_line.decode("utf-8-sig").strip()
        except UnicodeDecodeError:
            raise ListError(path, "is not UTF-8", number) from None
        if not line.startswith(_COMMENT):
            values[_checked(path, number, skeleton(normalise(line).text))] = None
    return list(values)


def _checked(path: Path, number: int, letters: str) -> str:
    if len(letters) < start_size(letters):
        raise ListError(path, f"needs {START} letters or digits, or {START_CHINESE} Chinese characters", number)
    if len(letters) > MOST_CHARACTERS:
        raise ListError(path, f"has more than {MOST_CHARACTERS} letters and digits", number)
    return letters


def denied_lines(secret: bytes, values: Iterable[str]) -> Iterator[bytes]:
    """The file of a list. `values` come from `read_values`. Raises ValueError for a short key."""
    key = IndexKey(secret)
    hasher = _Hasher(key)
    lines = [msgspec.json.encode(ListHead(_HOLDS, VERSION, key.id)) + b"\n"]
    lines += [_line(_denied(hasher, value)) for value in values]
    yield from lines
    yield msgspec.json.encode(Seal(_sealed(hasher, (line.rstrip(b"\n") for line in lines)))) + b"\n"


def _sha256(values: Iterable[DeniedValue]) -> str:
    return hashlib.sha256(b"".join(map(_line, values))).hexdigest()


def _denied(hasher: _Hasher, letters: str) -> DeniedValue:
    size = start_size(letters)
    more, whole = hasher.of(b"more", letters[: 2 * size]), hasher.of(b"whole", letters)
    return DeniedValue(len(letters), hasher.start(letters[:size]), more, whole)


def _line(value: DeniedValue) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _sealed(hasher: _Hasher, lines: Iterable[bytes]) -> str:
    return hasher.digest(b"seal", b"\n".join(lines))
