"""The file of an index: a prefix, a header, three columns and a keyed digest over everything before it.

    "TLINDEX\\n"  8 bytes
    version      4 bytes, little-endian, as all numbers are
    header size  4 bytes
    header       JSON, padded with spaces so that the columns begin at a multiple of 64
    hashes       8 bytes an entry, rising
    subjects     1 byte an entry, MOST_SUBJECTS at most
    audiences    1 byte an entry: the number of the lowest audience
    digest       32 bytes: BLAKE2b, keyed (RFC 7693)

Nothing in it changes with the time, the machine or the way of building: the same set and key give the same bytes. A
file is never changed in place but replaced by a new one under its name: whoever serves from the old has it mapped.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import mmap
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from filters.index.files import replace_file
from filters.index.grams import FAMILIES
from filters.index.hashing import Hashes, IndexKey

if TYPE_CHECKING:
    from filters.index.counting import Part

VERSION: Final = 1  # rises whenever the same text would give other hashes, or the bytes lie elsewhere
LOWEST_K: Final = 3  # under it "few" means next to nobody
DEFAULT_K: Final = 5

_MAGIC: Final = b"TLINDEX\n"
_PREFIX_BYTES: Final = len(_MAGIC) + 8
_ALIGNMENT: Final = 64
_MAX_HEADER_BYTES: Final = 1 << 20
_DIGEST_BYTES: Final = 32
_ENTRY_BYTES: Final = 10
_CHUNK_BYTES: Final = 1 << 20


class Problem(enum.StrEnum):
    """Why an index can't be used. Each is for the operator to mend."""

    MISSING = "there is no such file, or it can't be read"
    EMPTY = "the file is empty"
    FOREIGN = "the file is no index"
    VERSION = "the file was built by another version; build it again"
    KEY = "the index was built with another key"
    SHORT = "the file ends too early"
    ALTERED = "the file is not as it was built"


class IndexFileError(Exception):
    """An index that must not be used."""

    def __init__(self, path: Path, problem: Problem) -> None:
        super().__init__(f"{path}: {problem}")
        self.problem = problem


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an index was built from: `sha256` of the file, its bytes and rows."""

    sha256: str
    bytes: int
    rows: int
    subjects: int
    near_duplicates: int


class Header(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`orders` has for each family its order, its inner order and t."""

    key: str
    k: Annotated[int, msgspec.Meta(ge=LOWEST_K, le=255)]
    entries: Annotated[int, msgspec.Meta(ge=0)]
    audiences: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=255)]
    source: Source
    orders: dict[str, tuple[int, int, int]]


def orders() -> dict[str, tuple[int, int, int]]:
    """As they stand in the header of an index that this program builds."""
    return {family.name: (family.order, family.inner, family.found_from) for family in FAMILIES}


# ---- writing ---------------------------------------------------------------------------------------------------------


def write(path: Path, header: Header, parts: Sequence[Part], key: IndexKey) -> int:
    """Replace the file; returns its size in bytes. On failure nothing changes. Raises OSError."""
    return replace_file(path, _digested(_chunks(header, parts), _digest(key)))


def _digested(chunks: Iterable[bytes], digest: hashlib.blake2b) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    yield digest.digest()


def _chunks(header: Header, parts: Sequence[Part]) -> Iterator[bytes]:
    text = msgspec.json.encode(header)
    text += b" " * (-(_PREFIX_BYTES + len(text)) % _ALIGNMENT)
    yield _MAGIC + VERSION.to_bytes(4, "little") + len(text).to_bytes(4, "little") + text
    yield from (part.hashes.tobytes() for part in parts)
    yield from (part.subjects.tobytes() for part in parts)
    yield from (part.audiences.tobytes() for part in parts)


def _digest(key: IndexKey) -> hashlib.blake2b:
    return hashlib.blake2b(key=key.derive("file"), digest_size=_DIGEST_BYTES)


# ---- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IndexFile:
    """A file that checked out, mapped. The columns are as long as each other."""

    header: Header
    hashes: Hashes
    subjects: npt.NDArray[np.uint8]
    audiences: npt.NDArray[np.uint8]
    mapped: mmap.mmap


def load(path: Path, key: IndexKey) -> IndexFile:
    """Raises IndexFileError. Reads all of the file once, for its digest; about a second a gigabyte."""
    mapped = _map(path)
    header, start = _header(path, mapped, key)
    end = start + _ENTRY_BYTES * header.entries
    if len(mapped) < end + _DIGEST_BYTES:
        raise IndexFileError(path, Problem.SHORT)
    if len(mapped) > end + _DIGEST_BYTES or not _is_whole(mapped, end, key):
        raise IndexFileError(path, Problem.ALTERED)
    hashes = np.frombuffer(mapped, dtype="<u8", count=header.entries, offset=start)
    bytes_from = start + hashes.nbytes
    subjects = np.frombuffer(mapped, dtype=np.uint8, count=header.entries, offset=bytes_from)
    audiences = np.frombuffer(mapped, dtype=np.uint8, count=header.entries, offset=bytes_from + header.entries)
    return IndexFile(header, hashes, subjects, audiences, mapped)


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size:
                return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # a directory, a pipe
        raise IndexFileError(path, Problem.MISSING) from None
    raise IndexFileError(path, Problem.EMPTY)


def _header(path: Path, mapped: mmap.mmap, key: IndexKey) -> tuple[Header, int]:
    """The header, and where the columns start."""
    if mapped[: len(_MAGIC)] != _MAGIC[: len(mapped)]:
        raise IndexFileError(path, Problem.FOREIGN)
    if len(mapped) < _PREFIX_BYTES:
        raise IndexFileError(path, Problem.SHORT)
    version, size = (int.from_bytes(mapped[at : at + 4], "little") for at in (8, 12))
    if version != VERSION:
        raise IndexFileError(path, Problem.VERSION)
    if size > _MAX_HEADER_BYTES:
        raise IndexFileError(path, Problem.ALTERED)
    start = _PREFIX_BYTES + size
    if len(mapped) < start:
        raise IndexFileError(path, Problem.SHORT)
    try:
        header = msgspec.json.decode(mapped[_PREFIX_BYTES:start], type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise IndexFileError(path, Problem.ALTERED) from None
    if header.key != key.id:
        raise IndexFileError(path, Problem.KEY)
    if header.orders != orders():
        raise IndexFileError(path, Problem.VERSION)
    return header, start


def _is_whole(mapped: mmap.mmap, end: int, key: IndexKey) -> bool:
    digest = _digest(key)
    for at in range(0, end, _CHUNK_BYTES):
        digest.update(mapped[at : min(end, at + _CHUNK_BYTES)])
    return hmac.compare_digest(digest.digest(), mapped[end:])
