"""Folders with a file for each UTC day: what the audit log and the other records have in common. Everything blocks."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

FLAGS: Final = os.O_NOFOLLOW | os.O_CLOEXEC
NOT_PRIVATE: Final = "must be a folder that its owner alone can write (chmod 700)"


def make_folder(path: Path) -> bool:
    """Make it, for its owner alone, or see whether what is there is fit: a folder that nobody else can write. Raises
    OSError."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.stat()
    return stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def day_of(now: float) -> str:
    """YYYYMMDD in UTC; `now` is in seconds since the epoch."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y%m%d")


def oldest_kept(now: float, keep_days: int) -> str:
    """The first day that is not over for longer than so many days."""
    return day_of(now - timedelta(days=keep_days).total_seconds())


def write_all(descriptor: int, raw: bytes) -> None:
    """Raises OSError; some of it may be written then."""
    while raw:
        raw = raw[os.write(descriptor, raw) :]
