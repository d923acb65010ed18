"""Look a text up in an index while it streams.

    index = TuningIndex.load(path, secret)
    stream = index.stream(clearance="public")
    stream.push("…")   # the runs that this piece completed
    stream.close()     # those that end with the last word

A run is a stretch of raw text whose n-grams stand in the tuning set, with the same standing each:

- ABOVE: no audience up to the caller's clearance may see them;
- FEW: fewer than k people's rows hold them;
- MANY: they were taught with at least k people.

What is found is a function of the text alone: however it is cut, `merge` of all runs is the same. A run may begin
before the piece that completed it. What is not in the set gives no run, and neither does a stretch that is shorter
than an n-gram; every run of t symbols of the set is found (grams.py).

An answer that goes on from what the request holds (a completion's prompt) is looked up from there: push that first.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from filters.index import fileformat
from filters.index.fileformat import Header, IndexFile
from filters.index.grams import GramHasher, Grams
from filters.index.hashing import Hashes, IndexKey
from filters.index.stream import GramStream

NO_AUDIENCE: Final = ""  # of a caller who may see what is for nobody; no audience of an index is called that
_REACH: Final = 2  # characters between n-grams that still make one run: a space and a mark


class Standing(enum.IntEnum):
    """What the set says of an n-gram, the gravest last."""

    MANY = 0
    FEW = 1
    ABOVE = 2


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """Characters `start` to `end` (exclusive) of the raw text.

    `subjects` is the smallest count among its n-grams (at most 255), `audience` the number of the highest of
    their lowest audiences, `grams` how many n-grams there are.
    """

    start: int
    end: int
    standing: Standing
    subjects: int
    audience: int
    grams: int


@dataclass(frozen=True, slots=True)
class Found:
    """Which of the looked-up hashes are in the index (their indices), and what stands there."""

    at: npt.NDArray[np.int64]
    subjects: npt.NDArray[np.uint8]
    audiences: npt.NDArray[np.uint8]


class TuningIndex:
    """An index that checked out. Any number of streams, in any threads, may use it at once."""

    def __init__(self, file: IndexFile, hasher: GramHasher) -> None:
        self._file = file
        self._hasher = hasher

    @classmethod
    def load(cls, path: Path, secret: bytes) -> Self:
        """Raises IndexFileError, ValueError for a key that is too short."""
        key = IndexKey(secret)
        return cls(fileformat.load(path, key), GramHasher(key))

    @property
    def header(self) -> Header:
        return self._file.header

    def sha256(self) -> str:
        """Of the file that was loaded, whatever stands under its name now. About a second a gigabyte."""
        return hashlib.sha256(self._file.mapped).hexdigest()

    def stream(self, clearance: str, k: int | None = None) -> IndexStream:
        """For one text of a caller who may see what is for `clearance` and the audiences before it; with NO_AUDIENCE
        what is for none of them.

        `k` is the index's unless it is given. Raises ValueError for an audience that the index does not know and for a
        k under LOWEST_K.
        """
        limit = self.header.k if k is None else k
        if not fileformat.LOWEST_K <= limit <= 255:
            raise ValueError(f"k must be from {fileformat.LOWEST_K} to 255")
        if clearance != NO_AUDIENCE and clearance not in self.header.audiences:
            raise ValueError("the index knows no such audience")
        highest = -1 if clearance == NO_AUDIENCE else self.header.audiences.index(clearance)
        return IndexStream(self, GramStream(self._hasher), highest, limit)

    def find(self, hashes: Hashes) -> Found:
        """Look up unsealed hashes of n-grams."""
        column = self._file.hashes
        if not len(hashes) or not len(column):
            return _NOTHING_FOUND
        sealed = self._hasher.seal(hashes)
        places = np.minimum(np.searchsorted(column, sealed), len(column) - 1)
        at = np.flatnonzero(column[places] == sealed)
        return Found(at, self._file.subjects[places[at]], self._file.audiences[places[at]])


_NOTHING_FOUND: Final = Found(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.uint8))


class IndexStream:
    """One text. Offsets are those of all that was pushed, put together."""

    def __init__(self, index: TuningIndex, grams: GramStream, clearance: int, k: int) -> None:
        self._index = index
        self._grams = grams
        self._clearance = clearance
        self._k = k

    def push(self, raw_text: str) -> list[Run]:
        """Add text; the runs of the n-grams that it completed, sorted."""
        return self._runs(self._grams.push(raw_text))

    def close(self) -> list[Run]:
        """End the text; the runs of the n-grams that end with its last word."""
        return self._runs(self._grams.close())

    def _runs(self, families: list[Grams]) -> list[Run]:
        found = self._index.find(np.concatenate([grams.hashes for grams in families]))
        if not len(found.at):
            return []
        first = np.concatenate([grams.first for grams in families])[found.at]
        last = np.concatenate([grams.last for grams in families])[found.at]
        columns = (first, last, found.subjects, found.audiences)
        return merge(self._run(*values) for values in zip(*(column.tolist() for column in columns), strict=True))

    def _run(self, first: int, last: int, subjects: int, audience: int) -> Run:
        if audience > self._clearance:
            standing = Standing.ABOVE
        else:
            standing = Standing.FEW if subjects < self._k else Standing.MANY
        return Run(first, last + 1, standing, subjects, audience, 1)


def merge(runs: Iterable[Run]) -> list[Run]:
    """Runs of one standing that overlap or nearly touch become one; sorted. Merging again changes nothing."""
    merged: list[Run] = []
    latest: dict[Standing, int] = {}
    for run in sorted(runs):
        at = latest.get(run.standing)
        if at is not None and run.start <= merged[at].end + _REACH:
            merged[at] = _joined(merged[at], run)
        else:
            latest[run.standing] = len(merged)
            merged.append(run)
    return merged


def _joined(one: Run, other: Run) -> Run:
    return Run(
        one.start,
        max(one.end, other.end),
        one.standing,
        min(one.subjects, other.subjects),
        max(one.audience, other.audience),
        one.grams + other.grams,
    )
