from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from filters.index import fileformat
from filters.index.fileformat import IndexFileError, Problem
from filters.index.files import replace_file
from filters.index.hashing import IndexKey
from tests.filters.index.sets import OTHER_SECRET, SECRET, make

KEY = IndexKey(SECRET)
ROWS = [{"text": "The night desk turns the account to yellow, waits one bell, and turns it back.", "subject": "a"}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make(tmp_path, ROWS)
    return tmp_path / "set.tli"


def problem(path: Path, secret: bytes = SECRET) -> Problem:
    with pytest.raises(IndexFileError) as refused:
        fileformat.load(path, IndexKey(secret))
    assert str(path) in str(refused.value)
    return refused.value.problem


def test_what_was_written_is_read(path: Path) -> None:
    file = fileformat.load(path, KEY)
    header = file.header
    assert header.entries == len(file.hashes) == len(file.subjects) == len(file.audiences) > 3
    assert (file.hashes[1:] > file.hashes[:-1]).all()
    assert (header.k, header.audiences, header.source.rows, header.source.subjects) == (
        5,
        ("public", "internal", "sensitive"),
        1,
        1,
    )
    assert header.orders == {"words": (6, 4, 7), "letters": (20, 5, 34), "values": (7, 6, 7)}


def test_no_text_is_in_it(path: Path) -> None:
    content = path.read_bytes().lower()
    assert not any(word in content for word in (b"night", b"desk", b"yellow", b"bell"))


def test_only_the_owner_may_read_it(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_way_to_be_unusable_has_a_name_of_its_own(path: Path) -> None:
    content = path.read_bytes()
    assert problem(path.with_name("none")) is Problem.MISSING
    assert problem(path.parent) is Problem.MISSING
    assert problem(path, OTHER_SECRET) is Problem.KEY
    for changed, expected in [
        (b"", Problem.EMPTY),
        (b"PK\3\4" + content[4:], Problem.FOREIGN),
        (content[:8] + b"\2" + content[9:], Problem.VERSION),
        (content[:12] + b"\xff\xff\xff\xff" + content[16:], Problem.ALTERED),
        (content[:-1], Problem.SHORT),
        (content + b"\0", Problem.ALTERED),
        (content.replace(b'"words":[6,', b'"words":[5,'), Problem.VERSION),
        (content.replace(b'"k":5', b'"k":2'), Problem.ALTERED),
        (content.replace(b'"k":5', b'"k":9'), Problem.ALTERED),
    ]:
        path.write_bytes(changed)
        assert problem(path) is expected, expected


def test_every_truncation_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for size in range(1, len(content)):
        path.write_bytes(content[:size])
        assert problem(path) is Problem.SHORT


def test_every_changed_byte_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x20]) + content[at + 1 :])
        with pytest.raises(IndexFileError):
            fileformat.load(path, KEY)


def test_more_entries_than_there_are_are_not_read(path: Path) -> None:
    content = path.read_bytes()
    count = fileformat.load(path, KEY).header.entries
    claimed = content.replace(f'"entries":{count}'.encode(), f'"entries":{"9" * len(str(count))}'.encode())
    assert claimed != content
    path.write_bytes(claimed)
    assert problem(path) is Problem.SHORT


def test_a_file_is_replaced_whole(path: Path) -> None:
    served = fileformat.load(path, KEY)
    before = served.hashes.tolist()
    inode = path.stat().st_ino
    make(path.parent, [{"text": "quite another text of more than six words", "subject": "b"}])
    assert path.stat().st_ino != inode
    assert served.hashes.tolist() == before
    assert fileformat.load(path, KEY).hashes.tolist() != before


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def chunks():  # type: ignore[no-untyped-def]
        yield b"new"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        replace_file(path, chunks())
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
