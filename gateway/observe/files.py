"""Records in a folder, a file for each UTC day, kept for so many days.

1. A file is one process's: `KIND-DAY-MARK.jsonl`, 0600, MARK random; `.sealed` where it is encrypted
   (gateway/observe/sealed.py). So any number of processes may write to a folder without waiting for each other, and
   what could not be written whole is cut off again.
2. What is older than it may be is deleted at the start and every hour, whichever process wrote it, and with it what
   somebody made of it beside it (`.gz`, `.1`, `~`).
3. A line is with the system when `write` returns, so that a process that is killed loses none; a power cut may. A file
   that somebody took away gets no more lines: another one begins.
4. What can't be written (a full disk) waits in memory, so many lines of it, and is written in its order when it can be.
5. A line may come while another is being written, in the same thread: garbage is collected anywhere, and a finaliser
   that fails is told of too. It is written behind that one.
6. The clock is believed only so far. One that has leapt since the last look deletes nothing at this one; and what was
   written while it was ahead gets the name of the day on which that is seen, or it would be kept for years.
"""

from __future__ import annotations

import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey

from gateway.day_files import FLAGS, day_of, oldest_kept, write_all
from gateway.observe.logs import MOST_WAITING
from gateway.observe.sealed import Sealer

Kind = Literal["records", "security"]

MARK_BYTES: Final = 8  # of randomness in a file's name: no process meets another's
_DAY: Final = 86_400.0
LEAP_SECONDS: Final = 3600.0  # between the clock and the monotonic one, since the last look
_NAME: Final = re.compile(
    r"(?P<kind>records|security)-(?P<day>[0-9]{8})-[0-9a-f]{16}\.(?:jsonl|sealed)(?:[.~-][^/]*)?", re.ASCII | re.DOTALL
)


def is_of_records(name: str) -> bool:
    """Whether a file of this name is one as it was written here."""
    return name.endswith((".jsonl", ".sealed")) and _NAME.fullmatch(name) is not None


def listed(path: Path) -> list[Path]:
    """This file; or of a folder those as they were written here, by their names, so by kind and day. Raises OSError."""
    return sorted(each for each in path.iterdir() if is_of_records(each.name)) if path.is_dir() else [path]


class DayFiles:
    """Fulfils `gateway.observe.logs.Stream`. For any number of threads."""

    def __init__(
        self,
        folder: Path,
        kind: Kind,
        keep_days: int,
        encrypt_to: X25519PublicKey | None = None,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Touches nothing yet: a file is made with its first line. `encrypt_to`: who alone can read it."""
        self._folder, self._kind, self._keep_days = folder, kind, keep_days
        self._encrypt_to, self._now, self._clock = encrypt_to, now, clock
        self._ahead: float | None = None  # the clock of the monotonic one, at the last look
        self._lock = threading.RLock()
        self._catches_up = False
        self._file: _File | None = None
        self._waiting: deque[bytes] = deque()

    def write(self, line: bytes) -> None:
        """Add a whole line. Raises OSError; then nothing of it is in the file, and it waits, or is lost where already
        MOST_WAITING do."""
        with self._lock:
            self._waiting.append(line)
            try:
                self._catch_up()
            except OSError:
                if len(self._waiting) > MOST_WAITING:
                    self._waiting.pop()
                raise

    def flush(self) -> None:
        """Whatever can be written is."""

    def retry(self) -> None:
        """Write what waits. Raises OSError; then it goes on waiting."""
        with self._lock:
            self._catch_up()

    def tidy(self) -> None:
        """Delete what is too old. Raises OSError, once all that can be deleted is."""
        if self._has_leapt():
            return
        now, failed = self._now(), list[OSError]()
        for path in self._folder.iterdir():
            found = _NAME.fullmatch(path.name)
            if found is None or found["kind"] != self._kind:
                continue
            try:
                with suppress(FileNotFoundError):  # another process was first
                    self._tidy(path, found["day"], now)
            except OSError as error:
                failed.append(error)
        if failed:
            raise failed[0]

    def _tidy(self, path: Path, day: str, now: float) -> None:
        if day < oldest_kept(now, self._keep_days):
            path.unlink()
        elif day > day_of(now + _DAY):  # some machine's clock may be a little ahead
            path.rename(path.with_name(path.name.replace(day, day_of(now), 1)))

    def _has_leapt(self) -> bool:
        before, self._ahead = self._ahead, self._now() - self._clock()
        return before is not None and abs(self._ahead - before) > LEAP_SECONDS

    def close(self) -> None:
        """End the file. A line after that begins another one."""
        with self._lock:
            with suppress(OSError):  # each was told of when it came
                self._catch_up()
            self._close()

    def _catch_up(self) -> None:
        if self._catches_up:
            return
        self._catches_up = True
        try:
            while self._waiting:
                self._add(self._waiting[0])
                self._waiting.popleft()
        finally:
            self._catches_up = False

    def _add(self, line: bytes) -> None:
        today = day_of(self._now())
        if self._file is None or self._file.day != today or self._file.is_gone():
            self._close()
            self._file = self._begin(today)
        try:
            self._file.add(line)
        finally:
            if self._file.torn:
                self._close()

    def _begin(self, today: str) -> _File:
        sealer = Sealer(self._encrypt_to) if self._encrypt_to is not None else None
        suffix = "sealed" if sealer is not None else "jsonl"
        path = self._folder / f"{self._kind}-{today}-{secrets.token_hex(MARK_BYTES)}.{suffix}"
        return _File(path, today, sealer)

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class _File:
    """One day's, of this process."""

    def __init__(self, path: Path, day: str, sealer: Sealer | None) -> None:
        """Raises OSError; then there is none."""
        self.day, self.torn, self._size, self._sealer, self._path = day, False, 0, sealer, path
        self._sealed: bytes | None = None  # the line that could not be written: it keeps its number
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | FLAGS, 0o600)
        self._identity = _identity(os.fstat(self._descriptor))
        if sealer is not None:
            try:
                self._append(sealer.header)
            except OSError:
                os.close(self._descriptor)
                path.unlink()
                raise

    def is_gone(self) -> bool:
        """Whether it was deleted, renamed, or its folder with it."""
        try:
            return _identity(os.lstat(self._path)) != self._identity
        except OSError:
            return True

    def add(self, line: bytes) -> None:
        """Raises OSError; the next one must be the same then. `torn` says then whether a part of it stays."""
        if self._sealer is not None and self._sealed is None:
            self._sealed = self._sealer.line(line)
        self._append(self._sealed or line)
        self._sealed = None

    def _append(self, raw: bytes) -> None:
        try:
            write_all(self._descriptor, raw)
        except OSError:
            self.torn = True
            os.ftruncate(self._descriptor, self._size)
            self.torn = False
            raise
        self._size += len(raw)

    def close(self) -> None:
        with suppress(OSError):  # then it looks like one whose process was killed
            if self._sealer is not None and not self.torn:
                self._append(self._sealer.end())
        os.close(self._descriptor)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
