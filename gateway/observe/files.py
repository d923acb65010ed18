"""Records in a folder, a file for each UTC day, kept for so many days.

1. A file is one process's: `KIND-DAY-MARK.jsonl`, 0600, MARK random. So any number of processes may write to a folder
   without waiting for each other, and what could not be written whole is cut off again.
2. What is older than it may be is deleted at the start and every hour, whichever process wrote it, and with it what
   somebody made of it beside it (`.gz`, `.1`, `~`).
3. A line is with the system when `write` returns, so that a process that is killed loses none; a power cut may.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from gateway.day_files import FLAGS, day_of, oldest_kept, write_all

Kind = Literal["records", "security"]

MARK_BYTES: Final = 8  # of randomness in a file's name: no process meets another's
_NAME: Final = re.compile(
    r"(?P<kind>records|security)-(?P<day>[0-9]{8})-[0-9a-f]{16}\.jsonl(?:[.~-][^/]*)?", re.ASCII | re.DOTALL
)


class DayFiles:
    """Fulfils `gateway.observe.logs.Stream`. For any number of threads."""

    def __init__(self, folder: Path, kind: Kind, keep_days: int, now: Callable[[], float] = time.time) -> None:
        """Touches nothing yet: a file is made with its first line."""
        self._folder, self._kind, self._keep_days, self._now = folder, kind, keep_days, now
        self._lock = threading.Lock()
        self._file: _File | None = None

    def write(self, line: bytes) -> None:
        """Add a whole line. Raises OSError; then nothing of it stays."""
        with self._lock:
            today = day_of(self._now())
            if self._file is None or self._file.day != today:
                self._close()
                self._file = _File(self._folder, self._kind, today)
            try:
                self._file.add(line)
            finally:
                if self._file.torn:
                    self._close()

    def flush(self) -> None:
        """Nothing waits here."""

    def tidy(self) -> None:
        """Delete what is too old. Raises OSError."""
        oldest = oldest_kept(self._now(), self._keep_days)
        for path in self._folder.iterdir():
            found = _NAME.fullmatch(path.name)
            if found and found["kind"] == self._kind and found["day"] < oldest:
                path.unlink(missing_ok=True)  # another process may have been first

    def close(self) -> None:
        """End the file. A line after that begins another one."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _File:
    """One day's, of this process."""

    def __init__(self, folder: Path, kind: Kind, day: str) -> None:
        """Raises OSError."""
        self.day, self.torn, self._size = day, False, 0
        path = folder / f"{kind}-{day}-{secrets.token_hex(MARK_BYTES)}.jsonl"
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | FLAGS, 0o600)

    def add(self, line: bytes) -> None:
        """Raises OSError. `torn` says then whether a part of it stays."""
        try:
            write_all(self._descriptor, line)
        except OSError:
            self.torn = True
            os.ftruncate(self._descriptor, self._size)
            self.torn = False
            raise
        self._size += len(line)

    def close(self) -> None:
        with suppress(OSError):  # nothing waits to be written
            os.close(self._descriptor)
