"""Of everything that rows hold: with how many people each thing stands, and who may see it at least.

Things are keyed hashes of 64 bits (n-grams, typed values), people too. Three steps, of which the first and the last are
done by several workers and meet in a folder:

1. `Scan`: a piece of the set becomes a file of hashes with the number of the row of each, ordered by partition (the
   first bits of the hash), and for its rows: the person, the audience, the bands of near.py.
2. Near-duplicate rows become one person's.
3. `Group`: a partition of all pieces is grouped by DuckDB and written in the order of the hashes.

What comes out depends on the set and the key alone, not on pieces, partitions, workers or their order. Disk: twelve
bytes for each hash of each row, and 41 a row. Memory: a batch of text and a partition for each worker; of all rows some
thirty bytes each in the second step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from filters.index.engine import connect
from filters.index.grams import GramHasher, Symbols
from filters.index.hashing import Hashes, IndexKey
from filters.index.near import BANDS, SKETCHED, Sketcher, merge_people
from filters.index.reading import read_text
from filters.index.rows import Fields, NoSubject, Row, SourceError
from filters.index.source import PIECE_BYTES, BrokenRow, Piece, RowReader
from filters.index.workers import Workers

MOST_SUBJECTS: Final = 255  # a count stops here: it is one byte, and nobody asks for more
SOMEBODY: Final = 0  # the one person whose are all private rows without a subject
EVERYBODY: Final = 2**64 - 1  # whose are the public ones

_BATCH_CHARACTERS: Final = 131_072
_PARTITION_BYTES: Final = 8 * 2**20  # of source; a partition is then one or two million hashes
_MOST_PARTITIONS: Final = 1024

Progress = Callable[[str, int, int], None]
RowNumbers = npt.NDArray[np.uint32]
Audiences = npt.NDArray[np.uint8]


class Extractor(Protocol):
    """What is counted."""

    def extract(self, rows: Sequence[Row]) -> tuple[Hashes, RowNumbers]:
        """Hashes of what these rows hold, and the index of the row of each."""
        ...


MakeExtractor = Callable[[bytes], Extractor]


@dataclass(frozen=True, slots=True)
class Job:
    """What all workers are told. `make` is a function of a module, so that other processes find it."""

    secret: bytes
    fields: Fields
    folder: Path
    partitions: int  # a power of two
    make: MakeExtractor


@dataclass(frozen=True, slots=True)
class Scanned:
    """What one piece came to. `offsets` are where each partition begins in its file of hashes."""

    lines: int
    rows: int
    offsets: tuple[int, ...]
    broken: str | None = None  # why its last line could not be used


@dataclass(frozen=True, slots=True)
class Part:
    """Hashes that never fall, each once; to each the number of subjects, at most MOST_SUBJECTS, and the audience."""

    folder: Path
    number: int

    @property
    def hashes(self) -> Hashes:
        return np.fromfile(self._path("hashes"), dtype="<u8")

    @property
    def subjects(self) -> npt.NDArray[np.uint8]:
        return np.fromfile(self._path("subjects"), dtype=np.uint8)

    @property
    def audiences(self) -> Audiences:
        return np.fromfile(self._path("audiences"), dtype=np.uint8)

    def __len__(self) -> int:
        return self._path("audiences").stat().st_size

    def write(self, hashes: Hashes, subjects: npt.NDArray[np.uint8], audiences: Audiences) -> None:
        hashes.astype("<u8").tofile(self._path("hashes"))
        subjects.astype(np.uint8).tofile(self._path("subjects"))
        audiences.astype(np.uint8).tofile(self._path("audiences"))

    def _path(self, column: str) -> Path:
        return self.folder / f"part-{self.number:05}.{column}"


@dataclass(frozen=True, slots=True)
class Counted:
    """The parts, in the order of their hashes, and what the set came to."""

    parts: tuple[Part, ...]
    rows: int
    subjects: int
    near_duplicates: int


def count(job: Job, pieces: Sequence[Piece], workers: Workers, progress: Progress) -> Counted:
    """All three steps. Raises SourceError, with the number of the line or row."""
    scanned: list[Scanned] = []
    for result in workers.map(Scan(job), list(enumerate(pieces))):
        scanned.append(result)
        if result.broken is not None:
            line = sum(piece.lines for piece in scanned)
            raise SourceError(f"{pieces[0].path}:{line}: {result.broken}")
        progress("reading", len(scanned), len(pieces))
    people, merged = _merge(job.folder, scanned, progress)
    parts = []
    for part in workers.map(Group(job, tuple(scanned)), range(job.partitions)):
        parts.append(part)
        progress("counting", len(parts), job.partitions)
    known = people[(people != SOMEBODY) & (people != EVERYBODY)]
    return Counted(tuple(parts), len(people), len(np.unique(known)), merged)


def partitions(pieces: Sequence[Piece]) -> int:
    """How many: a power of two, so that each is small."""
    size = len(pieces) * PIECE_BYTES if pieces[0].is_parquet else pieces[-1].end
    wanted = max(1, size // _PARTITION_BYTES)
    return int(min(_MOST_PARTITIONS, 1 << (wanted - 1).bit_length()))


# ---- 1: scanning -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scan:
    """The first step for one piece."""

    job: Job

    def __call__(self, item: tuple[int, Piece]) -> Scanned:
        number, piece = item
        reader, scanner = RowReader(piece, self.job.fields), _Scanner(self.job)
        try:
            for row in reader:
                scanner.add(row)
        except BrokenRow as error:
            return Scanned(error.row, 0, (), broken=error.reason)
        return Scanned(reader.lines, scanner.rows, scanner.write(number))


class _Scanner:
    """Gathers the rows of one piece, a batch at a time."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._key = IndexKey(job.secret)
        self._extractor = _extractor(job.make, job.secret)
        self._sketcher, self._hasher = _sketching(job.secret)
        self._batch: list[Row] = []
        self._waiting = 0
        self._people: list[int] = []
        self._audiences: list[int] = []
        self._bands: list[Hashes] = []
        self._hashes: list[Hashes] = []
        self._rows: list[RowNumbers] = []

    @property
    def rows(self) -> int:
        return len(self._people)

    def add(self, row: Row) -> None:
        self._people.append(_person(self._key, self._job.fields, row.subject))
        self._audiences.append(row.audience)
        self._batch.append(row)
        self._waiting += sum(map(len, row.raw_texts))
        if self._waiting >= _BATCH_CHARACTERS:
            self._read_batch()

    def write(self, number: int) -> tuple[int, ...]:
        self._read_batch()
        hashes = np.concatenate(self._hashes) if self._hashes else np.empty(0, np.uint64)
        rows = np.concatenate(self._rows) if self._rows else np.empty(0, np.uint32)
        partition = _partition(hashes, self._job.partitions)
        order = np.argsort(partition, kind="stable")
        folder = self._job.folder
        hashes[order].tofile(folder / f"piece-{number:06}.hashes")
        rows[order].tofile(folder / f"piece-{number:06}.rows")
        np.array(self._people, dtype=np.uint64).tofile(folder / f"piece-{number:06}.people")
        np.array(self._audiences, dtype=np.uint8).tofile(folder / f"piece-{number:06}.audiences")
        bands = np.concatenate(self._bands) if self._bands else np.empty((0, BANDS), np.uint64)
        bands.tofile(folder / f"piece-{number:06}.bands")
        return tuple(np.searchsorted(partition[order], np.arange(self._job.partitions + 1)).tolist())

    def _read_batch(self) -> None:
        if not self._batch:
            return
        first = self.rows - len(self._batch)
        hashes, rows = self._extractor.extract(self._batch)
        self._hashes.append(hashes)
        self._rows.append(rows + np.uint32(first))
        self._bands.append(self._sketch())
        self._batch, self._waiting = [], 0

    def _sketch(self) -> Hashes:
        heads = [Row(tuple(text[:SKETCHED] for text in row.raw_texts), None, 0) for row in self._batch]
        symbols, row_of_text = symbols_of(heads)
        units = self._hasher.units(symbols, complete=True)
        return self._sketcher.bands(units, row_of_text[units.texts], len(heads))


@cache
def _extractor(make: MakeExtractor, secret: bytes) -> Extractor:
    return make(secret)


@cache
def _sketching(secret: bytes) -> tuple[Sketcher, GramHasher]:
    return Sketcher(IndexKey(secret)), hasher_of(secret)


@cache
def hasher_of(secret: bytes) -> GramHasher:
    """One for a process: it holds 9 MB."""
    return GramHasher(IndexKey(secret))


def symbols_of(rows: Sequence[Row]) -> tuple[Symbols, npt.NDArray[np.int64]]:
    """All texts of these rows, one behind the other, and the index of the row of each text."""
    raw_texts = [text for row in rows for text in row.raw_texts]
    reading = read_text("".join(raw_texts))
    text_of_raw = np.repeat(np.arange(len(raw_texts), dtype=np.int32), [len(text) for text in raw_texts])
    symbols = Symbols(reading.codes, reading.kinds, text_of_raw[reading.places])
    return symbols, np.repeat(np.arange(len(rows)), [len(row.raw_texts) for row in rows])


def _person(key: IndexKey, fields: Fields, subject: str | None) -> int:
    if subject is None:
        return EVERYBODY if fields.no_subject is NoSubject.PUBLIC else SOMEBODY
    digest = hashlib.blake2b(subject.encode("utf-8", "surrogatepass"), key=key.derive("people"), digest_size=8).digest()
    return min(max(int.from_bytes(digest), SOMEBODY + 1), EVERYBODY - 1)


def _partition(hashes: Hashes, count: int) -> npt.NDArray[np.uint16]:
    bits = count.bit_length() - 1
    if not bits:
        return np.zeros(len(hashes), dtype=np.uint16)
    return (hashes >> np.uint64(64 - bits)).astype(np.uint16)


# ---- 2: near-duplicates ----------------------------------------------------------------------------------------------


def _merge(folder: Path, scanned: Sequence[Scanned], progress: Progress) -> tuple[Hashes, int]:
    """Whom each row counts for, left in the folder for the third step; and how many rows that changed."""
    progress("near-duplicates", 0, 1)
    numbers = range(len(scanned))
    people = np.concatenate([np.fromfile(folder / f"piece-{n:06}.people", dtype=np.uint64) for n in numbers])
    bands = _columns(folder, scanned)
    merged = merge_people(people, bands, EVERYBODY, folder)
    people.tofile(folder / "people")
    merged.tofile(folder / "merged")
    (folder / "audiences").write_bytes(b"".join((folder / f"piece-{n:06}.audiences").read_bytes() for n in numbers))
    progress("near-duplicates", 1, 1)
    return people, int((people != merged).sum())


def _columns(folder: Path, scanned: Sequence[Scanned]) -> list[Hashes]:
    """The bands of all rows, a mapped file a band."""
    for band in range(BANDS):
        with (folder / f"band-{band}").open("wb") as out:
            for number in range(len(scanned)):
                rows = np.fromfile(folder / f"piece-{number:06}.bands", dtype=np.uint64).reshape(-1, BANDS)
                out.write(np.ascontiguousarray(rows[:, band]).tobytes())
    return [_mapped(folder / f"band-{band}") for band in range(BANDS)]


def _mapped(path: Path) -> Hashes:
    """An empty file can't be mapped."""
    return np.asarray(np.memmap(path, dtype=np.uint64, mode="r")) if path.stat().st_size else np.empty(0, np.uint64)


# ---- 3: grouping -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """The third step for one partition."""

    job: Job
    scanned: tuple[Scanned, ...]

    def __call__(self, number: int) -> Part:
        hashes, rows = self._of_partition(number)
        people, merged = (_mapped(self.job.folder / name)[rows] for name in ("people", "merged"))
        audiences = np.fromfile(self.job.folder / "audiences", np.uint8)[rows]
        with connect(spill=self.job.folder) as connection:
            held = {"thing": hashes, "person": people, "merged": merged, "audience": audiences}
            connection.register("held", held)
            found = connection.execute(_GROUP).fetchnumpy()
        part = Part(self.job.folder, number)
        part.write(*(np.asarray(found[name]) for name in ("thing", "subjects", "audience")))
        return part

    def _of_partition(self, number: int) -> tuple[Hashes, RowNumbers]:
        """Hashes and the number of the row of each in the whole set."""
        hashes, rows, first = [], [], 0
        for piece, scanned in enumerate(self.scanned):
            start, end = scanned.offsets[number : number + 2]
            path = self.job.folder / f"piece-{piece:06}"
            hashes.append(np.fromfile(path.with_suffix(".hashes"), np.uint64, end - start, offset=8 * start))
            local = np.fromfile(path.with_suffix(".rows"), np.uint32, end - start, offset=4 * start)
            rows.append(local + np.uint32(first))
            first += scanned.rows
        return np.concatenate(hashes), np.concatenate(rows)


# Near-duplicates can only lower a count: two rows of one person may be merged with two other people's.
_GROUP: Final = f"""
WITH pairs AS (SELECT thing, person, min(audience) AS audience FROM held GROUP BY thing, person),
counted AS (
    SELECT thing, max(person) AS last, count(*) AS people, min(audience) AS audience FROM pairs GROUP BY thing
),
touched AS (SELECT DISTINCT thing FROM held WHERE person <> merged),
lowered AS (
    SELECT thing, count(DISTINCT merged) AS people FROM held SEMI JOIN touched USING (thing) GROUP BY thing
)
SELECT thing,
       CASE WHEN last = {EVERYBODY}::UBIGINT THEN {MOST_SUBJECTS}
            ELSE least(counted.people, coalesce(lowered.people, {MOST_SUBJECTS}), {MOST_SUBJECTS}) END::UTINYINT
           AS subjects,
       audience::UTINYINT AS audience
FROM counted LEFT JOIN lowered USING (thing) ORDER BY thing
"""  # noqa: S608 -- numbers of this module
