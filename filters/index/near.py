"""Near-duplicate rows: found by MinHash (Broder 1997), and made to count as one person's.

A row is the set of its pairs of neighbouring words. PERMUTATIONS keyed minima of it are grouped into BANDS; rows that
share a band are near-duplicates. With a Jaccard similarity of 0.95 two rows share a band in 99 % of cases, of 0.9 in
89 %, of 0.8 in 52 %, of 0.7 in 21 %, of 0.5 in 2 %; equal rows always do. So copies and trivial variants merge, and
rows that share a form but not what is filled in stay apart.

A row counts for the least (by keyed hash) of the people of its near-duplicates. That is not followed from one to the
next: among hundreds of rows that share an answer and differ in the question some pair always shares a band, and all of
them would count as one. Of a text of more than SKETCHED characters the beginning decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from filters.index.engine import connect
from filters.index.grams import Indices, Units
from filters.index.hashing import Hashes, IndexKey

BANDS: Final = 4
_PER_BAND: Final = 8
PERMUTATIONS: Final = BANDS * _PER_BAND
SKETCHED: Final = 65_536
NO_BAND: Final = 0  # of a row without a word


class Sketcher:
    """The bands of rows."""

    def __init__(self, key: IndexKey) -> None:
        self._pair = np.uint64(key.number("near pair") | 1)
        self._factors = [np.uint64(key.number(f"near {number}") | 1) for number in range(PERMUTATIONS)]

    def bands(self, units: Units, rows: npt.NDArray[np.int64], count: int) -> Hashes:
        """`count` × BANDS. `rows` has the row of each unit, never falling."""
        bands = np.full((count, BANDS), NO_BAND, dtype=np.uint64)
        if not len(rows):
            return bands
        starts = np.flatnonzero(np.append(True, rows[1:] != rows[:-1]))
        pairs = self._pairs(units.hashes, starts)
        sums = np.zeros((len(starts), BANDS), dtype=np.uint64)
        for number, factor in enumerate(self._factors):
            sums[:, number // _PER_BAND] += np.minimum.reduceat(pairs * factor, starts) * (factor ^ self._pair | _ONE)
        bands[rows[starts]] = sums
        return bands

    def _pairs(self, words: Hashes, starts: Indices) -> Hashes:
        """Each word with the one before it; a row's first alone."""
        before = np.append(np.uint64(0), words[:-1])
        before[starts] = 0
        return (words + before * self._pair) * self._pair


_ONE = np.uint64(1)


def merge_people(people: Hashes, bands: Sequence[Hashes], nobody: int, spill: Path) -> Hashes:
    """For each row whom it counts for: the least of the people of all rows that are near-duplicates of it.

    Rows of `nobody` (public ones) merge with none. Bounded memory, but for two numbers for each row that has a
    near-duplicate of another person. Raises SourceError.
    """
    merged = people.copy()
    for band in bands:
        rows, least = _shared(people, band, nobody, spill)
        merged[rows] = np.minimum(merged[rows], least)
    return merged


def _shared(people: Hashes, band: Hashes, nobody: int, spill: Path) -> tuple[Indices, Hashes]:
    """Rows that share this band with another person's, and for each the least of those people."""
    rows = np.arange(len(people), dtype=np.uint32)
    with connect(spill=spill) as connection:
        connection.register("rows", {"row": rows, "person": people, "band": band})
        found = connection.execute(
            "WITH told AS (SELECT * FROM rows WHERE band <> ? AND person <> ?),"
            " shared AS (SELECT band, min(person) AS least FROM told GROUP BY band HAVING min(person) <> max(person))"
            " SELECT row, least FROM told JOIN shared USING (band)",
            [NO_BAND, nobody],
        ).fetchnumpy()
    return np.asarray(found["row"]).astype(np.int64), np.asarray(found["least"])
