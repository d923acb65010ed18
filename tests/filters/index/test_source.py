from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import pytest

from filters.index.rows import SourceError
from filters.index.source import BrokenRow, Piece, RowReader, pieces, sha256
from tests.filters.index.sets import fields, write_rows

ROWS = [{"text": f"row {n} " + "x" * (n % 7), "subject": n} for n in range(60)]


def texts(parts: list[Piece]) -> list[str]:
    return [text for part in parts for row in RowReader(part, fields()) for text in row.raw_texts]


@pytest.mark.parametrize("piece_bytes", [1, 7, 50, 51, 52, 400, 10_000])
def test_every_line_is_in_one_piece(tmp_path: Path, piece_bytes: int) -> None:
    path = write_rows(tmp_path / "set.jsonl", ROWS)
    assert texts(pieces(path, piece_bytes)) == [row["text"] for row in ROWS]


@pytest.mark.parametrize(
    "content", [b'\xef\xbb\xbf{"text": "a"}\r\n\n  \n{"text": "b"}', b'{"text": "a"}\n{"text": "b"}\n\n']
)
def test_byte_order_marks_blank_lines_and_a_missing_line_end(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(content)
    assert texts(pieces(path)) == ["a", "b"]
    assert texts(pieces(path, 5)) == ["a", "b"]


def test_a_broken_row_says_where_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_text('{"text": "a"}\n\n{"text": 7}\n')
    with pytest.raises(BrokenRow) as broken:
        texts(pieces(path))
    assert broken.value.row == 3


def test_parquet_gives_what_jsonl_gives(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "set.jsonl", ROWS)
    chat = [
        {"messages": [{"role": "user", "content": f"ask {n}"}, {"role": "assistant", "content": None}]}
        for n in range(9)
    ]
    chat_path = write_rows(tmp_path / "chat.jsonl", chat)
    with duckdb.connect() as connection:
        for name in ("set", "chat"):
            connection.execute(f"COPY (FROM '{tmp_path}/{name}.jsonl') TO '{tmp_path}/{name}.parquet'")
    assert texts(pieces(tmp_path / "set.parquet")) == texts(pieces(path))
    assert texts(pieces(tmp_path / "chat.parquet")) == texts(pieces(chat_path)) == [f"ask {n}" for n in range(9)]


@pytest.mark.parametrize("name", ["set.jsonl", "set.parquet"])
def test_files_that_can_not_be_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(SourceError, match="No such file"):
        pieces(path)
    path.touch()
    with pytest.raises(SourceError, match=name):
        pieces(path)


def test_a_name_that_is_a_pattern_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "set[1].parquet").write_text("x")
    (tmp_path / "set1.parquet").write_text("x")
    with pytest.raises(SourceError, match="pattern"):
        pieces(tmp_path / "set[1].parquet")


def test_what_is_no_parquet_is_not_quoted(tmp_path: Path) -> None:
    path = tmp_path / "set.parquet"
    path.write_text("zlavundo " * 100)
    with pytest.raises(SourceError) as refused:
        pieces(path)
    assert "zlavundo" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_the_hash_is_that_of_sha256sum(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    path.write_bytes(b"abc")
    assert sha256(path) == hashlib.sha256(b"abc").hexdigest()
    with pytest.raises(SourceError):
        sha256(tmp_path / "none")
