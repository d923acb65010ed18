"""Which runs of a text the index holds, and the guarantee that this gives.

Three families of n-grams, all over the reading of reading.py, in which spaces, punctuation and case do not count:

- *words*: runs of words; a Chinese character is a word of its own. What prose is found by, in both languages.
- *letters*: runs of letters and digits without what stands between them. What finds text that is spaced, joined or
  cut otherwise, and what gives a guarantee in characters.
- *values*: short runs of letters and digits that are written as one (numbers in groups, e-mail addresses), with at
  least three digits or an @ among them.

Of words and letters not every n-gram is kept but the closed syncmers (Edgar, "Syncmers are more sensitive than
minimizers", PeerJ 2021): an n-gram is kept if the smallest of the hashed s-grams in it is its first or its last one.
Whether an n-gram is kept follows from itself alone, so that

1. the same words are kept wherever they stand, in the set and in an answer, and the count of subjects is exact, which
   winnowing (Schleimer, Wilkerson, Aiken 2003) does not give: there a neighbour decides;
2. an answer is looked up at kept n-grams only;
3. of any n - s n-grams in a row one is kept. (Among their 2(n - s) s-grams take the smallest. If it lies in the first
   half, the n-gram that begins with it is kept; else the one that ends with it.) So **every run of t = 2n - s - 1
   symbols of the set is found**, ties included, whatever stands around it.

Orders were chosen by measuring (docs/index.md has the table).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from filters.index.hashing import Hashes, IndexKey, Polynomial, letter_values, siphash
from filters.index.reading import DIGIT, HAN, OTHER, Codes, Kinds

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Family:
    """n-grams of `order` symbols; those are kept whose smallest `inner`-gram comes first or last."""

    name: str
    order: int
    inner: int

    @property
    def found_from(self) -> int:
        """t: every run of so many symbols holds a kept n-gram."""
        return 2 * self.order - self.inner - 1


WORDS: Final = Family("words", 6, 4)
LETTERS: Final = Family("letters", 20, 5)
VALUES: Final = Family("values", 7, 6)  # inner = order - 1: every n-gram is kept
FAMILIES: Final = (WORDS, LETTERS, VALUES)

LONGEST_WORD: Final = 64  # characters; a longer one is read as several, so that what a stream remembers is bounded
FEWEST_DIGITS: Final = 3  # of a value's n-gram: fewer stand in prose ("covid-19 in")


@dataclass(frozen=True, slots=True)
class Symbols:
    """Characters as reading.py gives them. `texts` numbers the text each belongs to, never falling; no run crosses."""

    codes: Codes
    kinds: Kinds
    texts: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Grams:
    """Kept n-grams of one family: unsealed hashes, and the indices of their first and last characters."""

    hashes: Hashes
    first: Indices
    last: Indices


@dataclass(frozen=True, slots=True)
class Units:
    """Words: their hashes, and the indices of their first and last characters."""

    hashes: Hashes
    first: Indices
    last: Indices
    texts: npt.NDArray[np.int32]


class GramHasher:
    """What the key makes of texts. Holds 9 MB of secret numbers; made once and shared."""

    def __init__(self, key: IndexKey) -> None:
        self._letters = letter_values(key.derive("letters", 16))
        self._seal = key.derive("seal", 16)
        self._spelling = Polynomial(key.number("spelling"))
        self._runs = {family: Polynomial(key.number(family.name)) for family in FAMILIES}
        self._tags = {family: np.uint64(key.number(f"tag {family.name}")) for family in FAMILIES}

    def seal(self, hashes: Hashes) -> Hashes:
        """What stands in the index for these n-grams."""
        return siphash(hashes, self._seal)

    def grams(self, symbols: Symbols, units: Units) -> Iterator[Grams]:
        """The kept n-grams of each of FAMILIES, in that order; within one by their ends."""
        members = np.flatnonzero(symbols.kinds != OTHER)
        yield self._kept(WORDS, units.hashes, units.first, units.last, units.texts)
        yield self._kept(LETTERS, self._letters[symbols.codes[members]], members, members, symbols.texts[members])
        yield self._values(symbols, members[symbols.kinds[members] != HAN])

    def units(self, symbols: Symbols, *, complete: bool) -> Units:
        """The words. Unless the text is `complete`, one that its end may have cut is left out."""
        members = np.flatnonzero(symbols.kinds != OTHER)
        if not len(members):
            return Units(np.empty(0, np.uint64), members, members, np.empty(0, np.int32))
        starts, within = _unit_starts(symbols, members)
        spelt = self._letters[symbols.codes[members]] * self._spelling.powers(LONGEST_WORD)[within]
        units = Units(
            np.add.reduceat(spelt, starts),
            members[starts],
            members[np.append(starts[1:], len(members)) - 1],
            symbols.texts[members[starts]],
        )
        is_open = units.last[-1] == len(symbols.codes) - 1 and symbols.kinds[units.last[-1]] != HAN
        if complete or not is_open or within[-1] == LONGEST_WORD - 1:
            return units
        return Units(units.hashes[:-1], units.first[:-1], units.last[:-1], units.texts[:-1])

    def _kept(
        self, family: Family, values: Hashes, first: Indices, last: Indices, texts: npt.NDArray[np.int32]
    ) -> Grams:
        count, reach = len(values) - family.order + 1, family.order - 1
        if count <= 0:
            return _NO_GRAMS
        polynomial = self._runs[family]
        prefixes = polynomial.prefixes(values)
        inner = polynomial.runs(prefixes, family.inner)
        span = family.order - family.inner
        smallest = _sliding_minimum(inner, span + 1)
        kept = (smallest == inner[:count]) | (smallest == inner[span:])
        at = np.flatnonzero(kept & (texts[:count] == texts[reach:]))
        return Grams(polynomial.runs(prefixes, family.order, at) + self._tags[family], first[at], last[at + reach])

    def _values(self, symbols: Symbols, members: Indices) -> Grams:
        order, reach = VALUES.order, VALUES.order - 1
        count = len(members) - reach
        if count <= 0 or not _may_hold_values(symbols):
            return _NO_GRAMS
        joined, ats = _joined(symbols, members)
        digits = _sums(symbols.kinds[members] == DIGIT)
        gaps, mails = _sums(~joined), _sums(ats)
        telling = (digits[order:] - digits[:count] >= FEWEST_DIGITS) | (mails[reach:] > mails[:count])
        at = np.flatnonzero(telling & (gaps[reach:] == gaps[:count]))
        if not len(at):
            return _NO_GRAMS
        polynomial = self._runs[VALUES]
        prefixes = polynomial.prefixes(self._letters[symbols.codes[members]])
        hashes = polynomial.runs(prefixes, order, at) + self._tags[VALUES]
        return Grams(hashes, members[at], members[at + reach])


_NO_GRAMS = Grams(np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.int64))


def _unit_starts(symbols: Symbols, members: Indices) -> tuple[Indices, Indices]:
    """Where in `members` words start, and each member's place in its word."""
    kinds, texts = symbols.kinds[members], symbols.texts[members]
    is_start = np.ones(len(members), dtype=bool)
    is_start[1:] = (kinds[1:] == HAN) | (kinds[:-1] == HAN) | (np.diff(members) > 1) | (texts[1:] != texts[:-1])
    places = np.arange(len(members))
    within = (places - np.maximum.accumulate(np.where(is_start, places, 0))) % LONGEST_WORD
    return np.flatnonzero(within == 0), within


def _sliding_minimum(values: Hashes, width: int) -> Hashes:
    """The smallest of `width` neighbours from each place on, by doubling."""
    reached = 1
    while reached < width:
        step = min(reached, width - reached)
        values = np.minimum(values[:-step], values[step:])
        reached += step
    return values


# ---- values ----------------------------------------------------------------------------------------------------------

_BETWEEN_ANY, _BETWEEN_DIGITS = 1, 2
_SEPARATORS = np.zeros(128, dtype=np.uint8)
_SEPARATORS[[ord(c) for c in "@._+/:#-"]] |= _BETWEEN_ANY
_SEPARATORS[[ord(c) for c in " ()-."]] |= _BETWEEN_DIGITS


def _may_hold_values(symbols: Symbols) -> bool:
    """Cheap, and true of all texts that do."""
    return int(np.count_nonzero(symbols.kinds == DIGIT)) >= FEWEST_DIGITS or bool((symbols.codes == ord("@")).any())


def _joined(symbols: Symbols, members: Indices) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Of each two neighbours: whether they are written as one, and whether an @ joins them.

    Nothing between them, or one of "@._+/:#-"; between digits one or two of " ()-." too.
    """
    gap = np.diff(members) - 1
    joined, ats = gap == 0, np.zeros(len(gap), dtype=bool)
    digit = symbols.kinds[members] == DIGIT
    near = np.flatnonzero((gap == 1) | (gap == 2) & digit[:-1] & digit[1:])
    before = members[near]
    sign = symbols.codes[before + 1]
    first, last = _separator(sign), _separator(symbols.codes[before + gap[near]])
    both = (first & last & _BETWEEN_DIGITS != 0) & digit[near] & digit[near + 1]
    joined[near] = both | ((first & _BETWEEN_ANY != 0) & (gap[near] == 1))
    ats[near] = (sign == ord("@")) & (gap[near] == 1)
    same_text = symbols.texts[members[1:]] == symbols.texts[members[:-1]]
    return joined & same_text, ats


def _separator(codes: Codes) -> npt.NDArray[np.uint8]:
    return np.where(codes < len(_SEPARATORS), _SEPARATORS[np.minimum(codes, len(_SEPARATORS) - 1)], np.uint8(0))


def _sums(flags: npt.NDArray[np.bool_]) -> Indices:
    sums = np.zeros(len(flags) + 1, dtype=np.int64)
    np.cumsum(flags, out=sums[1:])
    return sums
