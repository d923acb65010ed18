"""The n-grams of a text that comes in pieces: the same for every way of cutting it.

What has come is read at once; what the next piece may still need is kept: the last words and letters that an n-gram can
reach back to, an open word among them. Of a run of separators three are kept, since more say no more. So a stream
remembers at most some hundred characters a word's length allows, whatever the text is.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from filters.index.grams import FAMILIES, LETTERS, WORDS, GramHasher, Grams, Symbols, Units
from filters.index.reading import OTHER, Kinds, Reading, read_text

_MOST_SEPARATORS: Final = 3  # a value's parts have at most two between them


class GramStream:
    """The kept n-grams of one text. `push` gives those that are complete, `close` those that its end completes.

    Of each FAMILIES' Grams `first` is where in the raw text its first character stands and `last` where its last does.
    """

    def __init__(self, hasher: GramHasher) -> None:
        self._hasher = hasher
        self._kept = _EMPTY
        self._length = 0
        self._given = [-1] * len(FAMILIES)  # place of the last character up to which each family was given

    def push(self, raw_text: str) -> list[Grams]:
        """Add text; the n-grams that it completed, by family."""
        new = read_text(raw_text)
        self._kept = Reading(
            np.concatenate((self._kept.codes, new.codes)),
            np.concatenate((self._kept.kinds, new.kinds)),
            np.concatenate((self._kept.places, new.places + self._length)),
        )
        self._length += len(raw_text)
        return self._take(complete=False)

    def close(self) -> list[Grams]:
        """End the text; the n-grams that end with its last word."""
        return self._take(complete=True)

    def _take(self, *, complete: bool) -> list[Grams]:
        reading = self._kept
        symbols = Symbols(reading.codes, reading.kinds, np.zeros(len(reading.codes), dtype=np.int32))
        units = self._hasher.units(symbols, complete=complete)
        taken = [self._new(number, grams, reading) for number, grams in enumerate(self._hasher.grams(symbols, units))]
        self._forget(units)
        return taken

    def _new(self, family: int, grams: Grams, reading: Reading) -> Grams:
        last = reading.places[grams.last]
        new = int(np.searchsorted(last, self._given[family], side="right"))
        if new < len(last):
            self._given[family] = int(last[-1])
        return Grams(grams.hashes[new:], reading.places[grams.first[new:]], last[new:])

    def _forget(self, units: Units) -> None:
        start = _needed_from(self._kept, units)
        wanted = start + np.flatnonzero(_few_separators(self._kept.kinds[start:]))
        self._kept = Reading(self._kept.codes[wanted], self._kept.kinds[wanted], self._kept.places[wanted])


def _needed_from(reading: Reading, units: Units) -> int:
    """Where the oldest word begins that a later n-gram may hold."""
    members = np.flatnonzero(reading.kinds != OTHER)
    if len(units.first) < WORDS.order or len(members) < LETTERS.order:
        return 0
    oldest_letter = members[-(LETTERS.order - 1)]
    word = int(np.searchsorted(units.first, oldest_letter, side="right")) - 1
    return int(units.first[min(word, len(units.first) - (WORDS.order - 1))])


def _few_separators(kinds: Kinds) -> npt.NDArray[np.bool_]:
    """What is left if of each run of separators the first few stay."""
    is_other = np.append(np.zeros(_MOST_SEPARATORS, dtype=bool), kinds == OTHER)
    crowded = is_other[_MOST_SEPARATORS:].copy()
    for back in range(_MOST_SEPARATORS):
        crowded &= is_other[back : back + len(kinds)]
    return ~crowded


_EMPTY = read_text("")
