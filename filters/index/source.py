"""A fine-tuning set on disk, in pieces that can be read apart from each other, by other processes too.

Pieces of JSONL are ranges of bytes: a line belongs to the piece in which it begins. Of Parquet
they are ranges of rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from filters.index.engine import connect
from filters.index.rows import MAX_ROW_BYTES, PARQUET_SUFFIX, Fields, Row, RowError, SourceError, decode_row, read_row

PIECE_BYTES: Final = 4 * 2**20
_PIECE_ROWS: Final = 8192  # of Parquet
_BOM: Final = b"\xef\xbb\xbf"
_READ_BYTES: Final = 2**20


@dataclass(frozen=True, slots=True)
class Piece:
    """Of JSONL the lines that begin at bytes `start` to `end`, of Parquet the rows of these numbers."""

    path: Path
    start: int
    end: int

    @property
    def is_parquet(self) -> bool:
        return self.path.suffix == PARQUET_SUFFIX


class BrokenRow(SourceError):
    """Which row of a piece it is, counted from its first line."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(row, reason)
        self.row, self.reason = row, reason


def pieces(path: Path, piece_bytes: int = PIECE_BYTES) -> list[Piece]:
    """All of a set, in order. Raises SourceError: the file is missing, empty or no Parquet."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None
    is_parquet = path.suffix == PARQUET_SUFFIX
    length, step = (_parquet_rows(path), _PIECE_ROWS) if is_parquet else (size, piece_bytes)
    if not length:
        raise SourceError(f"{path}: is empty")
    return [Piece(path, start, min(length, start + step)) for start in range(0, length, step)]


def sha256(path: Path) -> str:
    """Of the whole file, as `sha256sum` prints it. Raises SourceError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror}") from None


@dataclass(slots=True)
class RowReader:
    """The rows of one piece. `lines` grows while they are read: lines of JSONL, blank ones included, or rows."""

    piece: Piece
    fields: Fields
    lines: int = 0

    def __iter__(self) -> Iterator[Row]:
        """Raises BrokenRow."""
        for record in self._records():
            self.lines += 1
            try:
                if isinstance(record, dict):
                    yield read_row(record, self.fields)
                elif record.strip():
                    yield decode_row(record, self.fields)
            except RowError as error:
                raise BrokenRow(self.lines, str(error)) from None

    def _records(self) -> Iterator[bytes | dict[str, Any]]:
        try:
            yield from _parquet_records(self.piece) if self.piece.is_parquet else _lines(self.piece)
        except OSError as error:
            raise SourceError(f"{self.piece.path}: {error.strerror}") from None


def _lines(piece: Piece) -> Iterator[bytes]:
    with piece.path.open("rb", buffering=_READ_BYTES) as file:
        if piece.start:
            file.seek(piece.start - 1)
            _skip_line(file)
        while file.tell() < piece.end:
            line = file.readline(MAX_ROW_BYTES + 1)
            if not line:
                return
            yield line.removeprefix(_BOM) if file.tell() == len(line) else line


def _skip_line(file: BinaryIO) -> None:
    while (part := file.readline(_READ_BYTES)) and not part.endswith(b"\n"):
        continue


# ---- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet_rows(path: Path) -> int:
    if set("*?[") & set(str(path)):
        raise SourceError(f"{path}: a Parquet file's path may hold none of *?[, which DuckDB reads as a pattern")
    with connect(path) as connection:
        count = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(path)]).fetchone()
    assert count is not None
    return int(count[0])


def _parquet_records(piece: Piece) -> Iterator[dict[str, Any]]:
    with connect(piece.path) as connection:
        found = connection.execute(
            "SELECT * EXCLUDE (file_row_number) FROM read_parquet(?, file_row_number = true)"
            " WHERE file_row_number >= ? AND file_row_number < ? ORDER BY file_row_number",
            [str(piece.path), piece.start, piece.end],
        )
        names = [column[0] for column in found.description]
        for values in found.fetchall():
            yield dict(zip(names, values, strict=True))
