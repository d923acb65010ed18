"""Values that a person approved as public: the company's hotline, its support address. Kept as keyed hashes.

No count of subjects ever frees a direct identifier; this list does. It is a file of JSON lines: what it is and the id
of its key, then a line a value with its finding type and its hash. Without the key nobody can tell what is on it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar

import msgspec

from filters.index.hashing import IndexKey
from filters.pii.canonical import canonical

VERSION: Final = 1
_HASH_BYTES: Final = 16


class ListError(Exception):
    """A list of values can't be used. Holds nothing of it but a line number."""

    def __init__(self, path: Path, text: str, line: int | None = None) -> None:
        super().__init__(f"{path}: {text}" if line is None else f"{path}:{line}: {text}")
        self.path, self.text, self.line = path, text, line


class ListHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line of a list. Candidates are public values that no person has approved yet."""

    holds: Literal["public values", "candidates", "denied values"]
    version: int
    key: str


class PublicValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A value's finding type and `hash_value` as hexadecimal digits."""

    type: str
    hash: Annotated[str, msgspec.Meta(pattern=f"^[0-9a-f]{{{2 * _HASH_BYTES}}}$")]


class ValueHasher:
    """The keyed hash of a typed value, the same for all its spellings."""

    def __init__(self, key: IndexKey) -> None:
        self._key = key.derive("public values")

    def hash_value(self, kind: str, raw_value: str) -> bytes:
        """16 bytes."""
        value = f"{kind}\0{canonical(kind, raw_value)}".encode("utf-8", "surrogatepass")
        return hashlib.blake2b(value, key=self._key, digest_size=_HASH_BYTES).digest()


@dataclass(frozen=True, slots=True)
class PublicValues:
    """What may pass whoever asks."""

    hasher: ValueHasher
    hashes: frozenset[bytes]

    @classmethod
    def load(cls, path: Path, secret: bytes) -> Self:
        """Raises ListError: missing, broken, not approved, another key or version. ValueError: a short key."""
        key = IndexKey(secret)
        lines = read_lines(path)
        check_head(path, lines, key, "public values")
        hashes = frozenset(bytes.fromhex(decode(path, n, line, PublicValue).hash) for n, line in lines[1:])
        return cls(ValueHasher(key), hashes)

    def covers(self, raw_value: str, kind: str) -> bool:
        """Whether this value of this finding type was approved, in whatever spelling (pii/canonical.py)."""
        return self.hasher.hash_value(kind, raw_value) in self.hashes


def list_lines(key: IndexKey, values: Iterable[PublicValue]) -> Iterable[bytes]:
    """The file of an approved list, sorted, so that nothing shows in which order the set held them."""
    yield msgspec.json.encode(ListHead("public values", VERSION, key.id)) + b"\n"
    for value in sorted(set(values), key=lambda value: (value.type, value.hash)):
        yield msgspec.json.encode(value) + b"\n"


# ---- reading ---------------------------------------------------------------------------------------------------------


def read_lines(path: Path) -> list[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers. Raises ListError."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ListError(path, error.strerror or "can't be read") from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def check_head(path: Path, lines: list[tuple[int, bytes]], key: IndexKey, holds: str) -> None:
    """Raises ListError unless the list holds that, in this version, under this key."""
    if not lines:
        raise ListError(path, "is empty")
    head = decode(path, *lines[0], ListHead)
    if head.version != VERSION:
        raise ListError(path, "was written by another version")
    if head.holds != holds:
        raise ListError(path, f"holds {head.holds}, not {holds}")
    if head.key != key.id:
        raise ListError(path, "was written with another key")


Line = TypeVar("Line", bound=msgspec.Struct)


def decode(path: Path, number: int, line: bytes, kind: type[Line]) -> Line:
    """Raises ListError."""
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # their texts may quote the line
        raise ListError(path, "is no line of such a list", number) from None
