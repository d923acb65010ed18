"""Build an index from a fine-tuning set: `tightlip index build`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filters.index import fileformat
from filters.index.counting import Job, Progress, RowNumbers, count, hasher_of, partitions, symbols_of
from filters.index.grams import GramHasher
from filters.index.hashing import Hashes, IndexKey
from filters.index.rows import Fields, Row, SourceError
from filters.index.source import Piece, pieces, sha256
from filters.index.stream import GramStream
from filters.index.workers import Workers

# A longer text is read as a stream: a batch holds some hundred bytes of numbers for each of its characters.
_LONG_TEXT = 262_144
_STREAMED = 65_536


@dataclass(frozen=True, slots=True)
class Plan:
    """What to build. `folder` holds what is in work, some four times the set's size, or stands beside the target."""

    source: Path
    target: Path
    fields: Fields
    k: int = fileformat.DEFAULT_K
    folder: Path | None = None

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not fileformat.LOWEST_K <= self.k <= 255:
            raise ValueError(f"k must be from {fileformat.LOWEST_K} to 255")


@dataclass(frozen=True, slots=True)
class Built:
    """What came of it; `size` in bytes."""

    header: fileformat.Header
    size: int


def build(plan: Plan, secret: bytes, workers: Workers, progress: Progress) -> Built:
    """Write the index, or nothing. Raises SourceError, OSError."""
    found = pieces(plan.source)
    folder = Path(tempfile.mkdtemp(prefix=".tightlip-index-", dir=plan.folder or plan.target.absolute().parent))
    try:
        return _build(plan, secret, found, folder, workers, progress)
    finally:
        shutil.rmtree(folder)


def _build(
    plan: Plan, secret: bytes, found: Sequence[Piece], folder: Path, workers: Workers, progress: Progress
) -> Built:
    key = IndexKey(secret)
    stamp = _stamp(plan.source)
    counted = count(Job(secret, plan.fields, folder, partitions(found), gram_extractor), found, workers, progress)
    header = fileformat.Header(
        key=key.id,
        k=plan.k,
        entries=sum(map(len, counted.parts)),
        audiences=plan.fields.audiences,
        source=fileformat.Source(
            sha256=sha256(plan.source),
            bytes=plan.source.stat().st_size,
            rows=counted.rows,
            subjects=counted.subjects,
            near_duplicates=counted.near_duplicates,
        ),
        orders=fileformat.orders(),
    )
    if _stamp(plan.source) != stamp:
        raise SourceError(f"{plan.source}: was changed while it was read")
    progress("writing", 0, 1)
    size = fileformat.write(plan.target, header, counted.parts, key)
    progress("writing", 1, 1)
    return Built(header, size)


def _stamp(path: Path) -> tuple[int, int, int]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def gram_extractor(secret: bytes) -> GramExtractor:
    """What an index counts."""
    return GramExtractor(hasher_of(secret))


class GramExtractor:
    """Fulfils `filters.index.counting.Extractor`: the kept n-grams of each row, sealed."""

    def __init__(self, hasher: GramHasher) -> None:
        self._hasher = hasher

    def extract(self, rows: Sequence[Row]) -> tuple[Hashes, RowNumbers]:
        short = [Row(tuple(t for t in row.raw_texts if len(t) <= _LONG_TEXT), None, 0) for row in rows]
        symbols, row_of_text = symbols_of(short)
        units = self._hasher.units(symbols, complete=True)
        hashes, numbers = [], []
        for grams in self._hasher.grams(symbols, units):
            hashes.append(grams.hashes)
            numbers.append(row_of_text[symbols.texts[grams.first]])
        for number, row in enumerate(rows):
            for text in row.raw_texts:
                if len(text) > _LONG_TEXT:
                    found = self._streamed(text)
                    hashes.append(found)
                    numbers.append(np.full(len(found), number))
        return self._hasher.seal(np.concatenate(hashes)), np.concatenate(numbers).astype(np.uint32)

    def _streamed(self, text: str) -> Hashes:
        stream = GramStream(self._hasher)
        parts = [stream.push(text[at : at + _STREAMED]) for at in range(0, len(text), _STREAMED)]
        parts.append(stream.close())
        return np.concatenate([grams.hashes for part in parts for grams in part])
