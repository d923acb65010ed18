"""Typed values that many people's rows hold, for a person to approve as public: `tightlip index candidates`.

A value that at least k subjects share may be the company's hotline, or a staff member who stands in many records: only
a person can tell. So they are listed, and what he leaves on the list becomes a list of public values (public.py).

The set is read twice: values are counted as n-grams are (counting.py), by keyed hash, then those that are common enough
are looked for again. No value is written before that, and without `raw_text` none at all. A text in which a detector
fails gives no candidate: what is not on the list stays hidden.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from filters.evidence import Detector, DetectorError
from filters.index import fileformat
from filters.index.counting import Counted, Job, Progress, RowNumbers, count, partitions
from filters.index.files import replace_file
from filters.index.hashing import Hashes, IndexKey
from filters.index.public import (
    VERSION,
    ListHead,
    PublicValue,
    ValueHasher,
    check_head,
    decode,
    list_lines,
    read_lines,
)
from filters.index.rows import Fields, Row
from filters.index.source import Piece, RowReader, pieces
from filters.index.workers import Workers
from filters.pii.detector import build_detector
from filters.spans import merge


class Candidate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A line of the list. `subjects` is at most 255; `raw_value` stands there only where it was asked for."""

    type: str
    subjects: int
    characters: int
    hash: str
    raw_value: str | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for. `folder` holds what is in work."""

    source: Path
    fields: Fields
    k: int
    folder: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not fileformat.LOWEST_K <= self.k <= 255:
            raise ValueError(f"k must be from {fileformat.LOWEST_K} to 255")


def find_candidates(search: Search, secret: bytes, workers: Workers, progress: Progress) -> list[Candidate]:
    """With their raw values, the most common first. Raises SourceError, OSError."""
    found = pieces(search.source)
    folder = Path(tempfile.mkdtemp(prefix=".tightlip-index-", dir=search.folder))
    try:
        job = Job(secret, search.fields, folder, partitions(found), value_extractor)
        common = _common(count(job, found, workers, progress), search.k)
    finally:
        shutil.rmtree(folder)
    listed: dict[str, Candidate] = {}
    for done, candidates in enumerate(workers.map(_List(secret, search.fields, common), found), 1):
        for candidate in candidates:
            listed.setdefault(candidate.hash, candidate)
        progress("listing", done, len(found))
    return sorted(listed.values(), key=lambda c: (-c.subjects, c.type, c.hash))


def write_candidates(path: Path, candidates: Sequence[Candidate], secret: bytes, *, raw_text: bool) -> None:
    """For the owner only. Raises OSError."""
    head = ListHead("candidates", VERSION, IndexKey(secret).id)
    shown = candidates if raw_text else [msgspec.structs.replace(each, raw_value=None) for each in candidates]
    replace_file(path, (msgspec.json.encode(line) + b"\n" for line in (head, *shown)))


def approve(path: Path, target: Path, secret: bytes) -> int:
    """Make what is left on a list of candidates a list of public values, without raw values; returns how many.

    Raises ListError, OSError.
    """
    key = IndexKey(secret)
    lines = read_lines(path)
    check_head(path, lines, key, "candidates")
    kept = [decode(path, number, line, Candidate) for number, line in lines[1:]]
    replace_file(target, list_lines(key, [PublicValue(each.type, each.hash) for each in kept]))
    return len(kept)


# ---- counting --------------------------------------------------------------------------------------------------------


def value_extractor(secret: bytes) -> ValueExtractor:
    """What a search for candidates counts."""
    return ValueExtractor(ValueHasher(IndexKey(secret)), _detector())


@cache
def _detector() -> Detector:
    return build_detector()


@dataclass(frozen=True, slots=True)
class ValueExtractor:
    """Fulfils `filters.index.counting.Extractor`: the typed values of each row."""

    hasher: ValueHasher
    detector: Detector

    def extract(self, rows: Sequence[Row]) -> tuple[Hashes, RowNumbers]:
        held = [(_number(digest), at) for at, row in enumerate(rows) for digest, _, _ in self.values(row)]
        hashes = np.array([number for number, _ in held], dtype=np.uint64)
        return hashes, np.array([at for _, at in held], dtype=np.uint32)

    def values(self, row: Row) -> Iterator[tuple[bytes, str, str]]:
        """Hash, finding type and raw value of each finding, and of their unions, by which the pipeline goes."""
        for text in row.raw_texts:
            try:
                found = self.detector.find(text)
            except DetectorError:
                continue
            for span in {*found, *merge(found)}:
                raw_value = text[span.start : span.end]
                yield self.hasher.hash_value(span.type, raw_value), span.type, raw_value


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "little")


def _common(counted: Counted, k: int) -> dict[int, int]:
    """Of each value that enough subjects share the count."""
    common: dict[int, int] = {}
    for part in counted.parts:
        subjects = part.subjects
        enough = subjects >= k
        common.update(zip(part.hashes[enough].tolist(), subjects[enough].tolist(), strict=True))
    return common


@dataclass(frozen=True, slots=True)
class _List:
    """The second reading of one piece."""

    secret: bytes
    fields: Fields
    common: dict[int, int]

    def __call__(self, piece: Piece) -> list[Candidate]:
        extractor = value_extractor(self.secret)
        listed: dict[bytes, Candidate] = {}
        for row in RowReader(piece, self.fields):
            for digest, kind, raw_value in sorted(extractor.values(row)):
                subjects = self.common.get(_number(digest))
                if subjects is not None and digest not in listed:
                    listed[digest] = Candidate(kind, subjects, len(raw_value), digest.hex(), raw_value)
        return list(listed.values())
