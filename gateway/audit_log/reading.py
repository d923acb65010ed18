"""The files of an audit log as bytes, in their order and in bounded memory. Blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from gateway.audit_log.files import Name, parse_name
from gateway.audit_log.lines import MAX_LINE_BYTES


@dataclass(frozen=True, slots=True)
class Source:
    """A file, and the name that it was written under, if it still bears it."""

    path: Path
    name: Name | None


@dataclass(frozen=True, slots=True)
class Rest:
    """What stands behind a file's last line feed."""

    bytes: int = 0
    sha256: str = ""


def sources(paths: Iterable[Path]) -> Iterator[Source]:
    """A folder's files by their numbers; files as they are given. Raises OSError."""
    for path in paths:
        if not path.is_dir():
            yield Source(path, parse_name(path.name))
            continue
        named = ((parse_name(each.name), each) for each in path.iterdir())
        for name, each in sorted((name, each) for name, each in named if name is not None):
            yield Source(each, name)


def pieces(file: BinaryIO) -> Iterator[bytes | Rest | None]:
    """Each line without its line feed, None for one that is too long; then what is left. Raises OSError."""
    while raw := file.readline(MAX_LINE_BYTES + 1):
        if raw.endswith(b"\n"):
            yield raw[:-1]
            continue
        digest, size = hashlib.sha256(raw), len(raw)
        while not raw.endswith(b"\n") and (raw := file.readline(MAX_LINE_BYTES + 1)):
            digest.update(raw)
            size += len(raw)
        yield None if raw else Rest(size, digest.hexdigest())
