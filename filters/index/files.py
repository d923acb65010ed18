"""Files that replace their predecessors whole."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_OWNER_ONLY: Final = 0o600  # an index is personal data as well


def replace_file(path: Path, chunks: Iterable[bytes]) -> int:
    """Write under a new name, for the owner only, to the disk, then switch to it; returns the size in bytes.

    Whoever has the old file open goes on reading that. Raises OSError, and what `chunks` raises; then nothing changed.
    """
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY), "wb") as file:
            file.writelines(chunks)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    _sync_folder(path.absolute().parent)
    return size


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
