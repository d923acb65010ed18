"""What the name model sees of a text: tokens, what each is by itself, and where words of a lexicon lie.

Training and run time share this file, so that both see the same.

A token is a run of letters, a run of digits, one Chinese, Japanese or Korean character, or one sign. By itself it has:

- for a word: its pieces (greedy longest match in a vocabulary, Wu et al. 2016), hashes of its first and last letters,
  its shape (case and length) and membership in lists of given names, surnames and places (Bloom-like: 32-bit hashes);
- for a character or a sign: its number in a table, after mapping traditional to simplified.

In context it has the space before it, the case of the whole text, and, for Chinese, which lexicon words begin, go on
and end at it (SoftLexicon, Ma et al. 2020, with the kind of the word in place of the word).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
Ints: TypeAlias = NDArray[np.int64]
Codes: TypeAlias = NDArray[np.uint64]

# Letters of scripts that put spaces between words, and vowel signs that go with them. What is written without spaces
# falls to the last branch, a character at a time.
_LETTERS = "A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02af\u0370-\u0dff\u0f00-\u10ff\u1200-\u1fff"
TOKEN = re.compile(rf"[{_LETTERS}]+|[0-9]+|\S")

PIECES = 5  # a longer word is seen by its first pieces
AFFIXES = 4096  # rows of the table that prefixes and suffixes share
LONGEST_WORD = 40  # of letters looked at

SPACE_NONE, SPACE_BLANK, SPACE_LINE = range(3)
CASE_MIXED, CASE_LOWER, CASE_UPPER = range(3)

GIVEN, SURNAME, PLACE, CJK_SURNAME = 1, 2, 4, 8
GAZETTEER_BITS = 4

# Kinds of lexicon words, and features of one token: three lengths, three places in the word, five kinds.
LEX_PERSON, LEX_PLACE, LEX_ORG, LEX_COMMON, LEX_RARE = range(1, 6)
LEX_LENGTHS = (2, 3, 4)
LEX_FEATURES = len(LEX_LENGTHS) * 3 * 5
_FINGERPRINT_SHIFT = 3


@dataclass(frozen=True, slots=True)
class Tokens:
    """`text[starts[i]:ends[i]]` is token i."""

    words: Sequence[str]
    starts: Sequence[int]
    ends: Sequence[int]

    def shifted(self, by: int) -> Tokens:
        return Tokens(self.words, [at + by for at in self.starts], [at + by for at in self.ends]) if by else self


def tokenise(text: str) -> Tokens:
    matches = list(TOKEN.finditer(text))
    return Tokens([m.group() for m in matches], [m.start() for m in matches], [m.end() for m in matches])


def spaces_before(text: str, tokens: Tokens) -> Ints:
    """What stands before each token: nothing, a blank, or the start of a line."""
    found = np.zeros(len(tokens.words), np.int64)
    end = 0
    for i, start in enumerate(tokens.starts):
        if start > end or i == 0:
            found[i] = SPACE_LINE if i == 0 or "\n" in text[end:start] else SPACE_BLANK
        end = tokens.ends[i]
    return found


def case_of(text: str) -> int:
    """Whether capitals say anything in this text: without any, and with nothing else, they do not."""
    if text.islower():
        return CASE_LOWER
    return CASE_UPPER if text.isupper() else CASE_MIXED


# ---- a token by itself -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenType:
    """Row numbers of the tables; 0 is "none" in each."""

    pieces: tuple[int, ...]
    prefix: int
    suffix: int
    shape: int
    gazetteer: int
    char: int


@dataclass(frozen=True)
class Lists:
    """The closed lists that tokens are looked up in."""

    pieces: Mapping[str, int]
    chars: Mapping[str, int]
    simplified: Mapping[str, str]
    gazetteer: Mapping[int, int]
    lexicon: NDArray[np.uint16]

    @cached_property
    def lexicon_mask(self) -> np.uint64:
        return np.uint64(len(self.lexicon) - 1)

    def type_of(self, word: str) -> TokenType:
        first = word[0]
        if first.isdigit():
            return TokenType((), 0, 0, 1 + min(len(word), 6), 0, 0)
        if len(word) == 1 and not _is_letter(first):
            char = self.simplified.get(first, first)
            return TokenType((), 0, 0, 0, self.gazetteer.get(key(char), 0), self.chars.get(char, 1))
        plain = folded(word[:LONGEST_WORD])
        return TokenType(
            self._split(plain),
            1 + zlib.crc32(b"<" + plain[:3].encode()) % (AFFIXES - 1),
            1 + zlib.crc32(b">" + plain[-3:].encode()) % (AFFIXES - 1),
            8 + _case(word) * 6 + _length(word),
            self.gazetteer.get(key(plain), 0),
            0,
        )

    def _split(self, plain: str) -> tuple[int, ...]:
        """Greedy longest match; a letter that no piece begins with is left out."""
        found: list[int] = []
        at = 0
        while at < len(plain) and len(found) < PIECES:
            mark = "##" if at else ""
            for end in range(min(len(plain), at + 18), at, -1):
                piece = self.pieces.get(mark + plain[at:end])
                if piece is not None:
                    found.append(piece)
                    at = end
                    break
            else:
                at += 1
        return tuple(found)


SHAPES = 8 + 5 * 6

_LETTER = re.compile(f"[{_LETTERS}]")


def _is_letter(char: str) -> bool:
    return _LETTER.match(char) is not None


def folded(word: str) -> str:
    """Lower case without accents, as the pieces are spelled."""
    if word.isascii():
        return word.lower()
    return "".join(c for c in unicodedata.normalize("NFD", word.lower()) if unicodedata.category(c) != "Mn") or word


def key(word: str) -> int:
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def _case(word: str) -> int:
    if word.islower():
        return 0
    if word.isupper():
        return 1 if len(word) > 1 else 2
    return 3 if word[0].isupper() and word[1:].islower() else 4


def _length(word: str) -> int:
    return min(len(word) - 1, 3) if len(word) < 5 else (4 if len(word) < 8 else 5)


# ---- words of the lexicon --------------------------------------------------------------------------------------------

_FACTORS = tuple(np.uint64(f) for f in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93))
_MIX = np.uint64(0xFF51AFD7ED558CCD)
_SHIFT = np.uint64(29)
_SECOND = np.uint64(22)
_PRINT = np.uint64(47)
_PRINT_MASK = np.uint64(0x1FFF)

BIGRAMS = 16_384
_BIGRAM_MODULUS = np.uint64(BIGRAMS - 1)
_ZERO, _ONE = np.uint64(0), np.uint64(1)


def codes_of(words: Sequence[str], simplified: Mapping[str, str]) -> Codes:
    """The code point of each token that is one character outside ASCII, simplified; 0 for others."""
    get = simplified.get
    return np.array([ord(get(w, w)) if len(w) == 1 and w > "\u2e7f" else 0 for w in words], np.uint64)


def hashes(codes: Codes, length: int) -> Codes:
    """One 64-bit hash of each `length` neighbours."""
    return all_hashes(codes, length)[-1]


def all_hashes(codes: Codes, longest: int) -> list[Codes]:
    """The same for every length from two on; each goes on from the one before it."""
    found = []
    total = codes * _FACTORS[0]
    for k in range(1, longest):
        n = len(codes) - k
        total = _mixed(total[:n]) + codes[k:] * _FACTORS[k]
        found.append(_mixed(total))
    return found


def _mixed(total: Codes) -> Codes:
    mixed: Codes = (total ^ (total >> _SHIFT)) * _MIX
    return mixed


def slots(hashed: Codes, mask: np.uint64) -> tuple[Codes, Codes, NDArray[np.uint16]]:
    """The two places of a word in the table, and its fingerprint."""
    prints = ((hashed >> _PRINT) & _PRINT_MASK).astype(np.uint16)
    return hashed & mask, (hashed >> _SECOND) & mask, prints


def lexicon_features(codes: Codes, lists: Lists) -> Floats:
    """(tokens, LEX_FEATURES), 1 where a lexicon word of that length and kind begins, ends, or goes on."""
    n = len(codes)
    found = np.zeros((n, LEX_FEATURES), np.float32)
    lengths = [length for length in LEX_LENGTHS if length <= n]
    if not lengths:
        return found
    kinds = _kinds(np.concatenate(all_hashes(codes, lengths[-1])), lists)
    begin = 0
    for which, length in enumerate(lengths):
        end = begin + n - length + 1
        at = np.flatnonzero(kinds[begin:end])
        if at.size:
            column = which * 15 + kinds[begin:end][at] - 1
            found[at, column] = 1
            found[at + length - 1, column + 5] = 1
            for inner in range(1, length - 1):
                found[at + inner, column + 10] = 1
        begin = end
    return found


def _kinds(hashed: Codes, lists: Lists) -> NDArray[np.uint16]:
    """The kind of the lexicon word with each hash, 0 where there is none."""
    first, second, prints = slots(hashed, lists.lexicon_mask)
    one, two = lists.lexicon[first], lists.lexicon[second]
    kinds = np.where((one >> _FINGERPRINT_SHIFT) == prints, one & 7, 0)
    return np.where((kinds == 0) & ((two >> _FINGERPRINT_SHIFT) == prints), two & 7, kinds)


def bigram_rows(codes: Codes) -> tuple[Ints, Ints]:
    """Rows of the table of pairs: the character before with this one, this one with the next; 0 where there is none."""
    pairs = np.zeros(len(codes) + 1, np.int64)
    if len(codes) > 1:
        both = (codes[:-1] != 0) & (codes[1:] != 0)
        pairs[1:-1] = np.where(both, hashes(codes, 2) % _BIGRAM_MODULUS + _ONE, _ZERO)
    return pairs[:-1], pairs[1:]


def build_lexicon(words: Mapping[str, int], size: int) -> NDArray[np.uint16]:
    """The table for `words` (word to kind), `size` a power of two. A word that finds both places taken is left out."""
    table = np.zeros(size, np.uint16)
    mask = np.uint64(size - 1)
    for length in LEX_LENGTHS:
        chosen = [word for word in words if len(word) == length]
        codes = np.array([ord(c) for word in chosen for c in word], np.uint64)
        first, second, prints = slots(hashes(codes, length)[::length], mask)
        for word, one, two, fingerprint in zip(chosen, first.tolist(), second.tolist(), prints.tolist(), strict=True):
            slot = one if table[one] == 0 else two
            if table[slot] == 0:
                table[slot] = (fingerprint << _FINGERPRINT_SHIFT) | words[word]
    return table
