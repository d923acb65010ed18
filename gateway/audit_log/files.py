"""An audit log in a folder of files, for any number of processes on one machine.

1. One chain for the folder. Who writes holds a lock on it (flock, which the kernel takes back from a process that was
   killed), reads where the chain stands, adds a line and syncs it. Nothing is remembered between two lines but how far
   the chain had come: one that has become shorter, or another one, is written to no more.
2. A file for each UTC day, `audit-NUMBER-DAY.jsonl`, 0600; made whole with its header under another name first. A key
   that changes, and what befalls the log itself, begins another one.
3. A line that was never finished (killed, full disk) is followed by nothing in its file: the next file's header says
   how many bytes it has and their hash.
4. Files whose day is over for longer than they are kept are deleted, the oldest first, once a header says so.
5. Local file systems: elsewhere neither locks nor syncs can be relied on. Everything here blocks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final

from gateway.audit_log import AuditUnavailable, AuditUnfit
from gateway.audit_log.lines import (
    FORMAT,
    MAX_LINE_BYTES,
    AuditKey,
    Call,
    Head,
    Header,
    Line,
    NewerFormat,
    NotALine,
    Torn,
    hash_of,
    read_line,
)
from gateway.day_files import FLAGS, NOT_PRIVATE, day_of, make_folder, oldest_kept, write_all
from gateway.observe.logs import stamp

LOCK_SECONDS: Final = 5.0  # a line takes milliseconds; who holds the lock for longer hangs
TAIL_BYTES: Final = 8 * MAX_LINE_BYTES  # what is looked through for the last whole line
_NAME: Final = re.compile(r"audit-(\d{6,12})-(\d{8})\.jsonl", re.ASCII)
_NEW: Final = ".audit-new"  # a file in the making; left by who was killed, and made anew


@dataclass(frozen=True, slots=True, order=True)
class Name:
    """Of a file in the folder."""

    number: int
    day: str  # YYYYMMDD

    def __str__(self) -> str:
        return f"audit-{self.number:06d}-{self.day}.jsonl"


def parse_name(text: str) -> Name | None:
    """None: not one of ours."""
    found = _NAME.fullmatch(text)
    return Name(int(found[1]), found[2]) if found else None


@dataclass(frozen=True, slots=True)
class _End:
    """Where the chain stands."""

    name: Name
    header: Header
    head: Head
    size: int  # bytes of the last file
    torn: Torn | None


class Folder:
    """The sink. For one thread."""

    def __init__(
        self, path: Path, key: AuditKey, instance: str, keep_days: int, now: Callable[[], float] = time.time
    ) -> None:
        """Touches nothing yet. `now` is asked while nobody else writes, so that days follow each other."""
        self._path, self._key, self._instance, self._keep_days, self._now = path, key, instance, keep_days, now
        self._known: Head | None = None

    def prepare(self) -> Head:
        """Make the folder, or check that it is fit, and begin the chain where there is none. Raises AuditUnfit for what
        an operator has to mend, AuditUnavailable."""
        with _mapped(self._path):
            fit = make_folder(self._path)
        if not fit:
            raise AuditUnfit(f"{self._path} {NOT_PRIVATE}")
        return self.tidy()

    def append(self, call: Mapping[str, Any]) -> Head:
        """Add a line of a call's members; it is on the disk when this returns. Raises AuditUnavailable."""
        with self._locked() as folder:
            end, now = self._end(folder), self._now()
            if end is None or end.torn or end.header.key != self._key.id or end.name.day != day_of(now):
                end = self._begin(folder, end, now)
            n, before = end.head.n + 1, end.head.hash
            line = Call(**call, n=n, before=before, time=stamp(now), instance=self._instance)
            raw = self._key.seal(line)
            _add(folder, end, raw + b"\n")
            return self._reached(Head(end.head.chain, line.n, hash_of(raw)))

    def tidy(self, lost: Head | None = None) -> Head:
        """Delete what is too old. `lost` is a head that was remembered elsewhere and is not in this chain: the log says
        so from here on. Raises AuditUnavailable."""
        with self._locked() as folder:
            end, now = self._end(folder), self._now()
            expired = end is not None and _expired(_names(folder), now, self._keep_days) > 0
            if end is None or lost is not None or expired:
                end = self._begin(folder, end, now, lost)
            return self._reached(end.head)

    def holds(self, head: Head) -> bool:
        """Whether the chain has this line, or had it and deleted it in time, or says already that it was lost, under
        our key. Raises AuditUnavailable."""
        with self._locked() as folder:
            headers = [(name, self._header(folder, name)) for name in _names(folder)]
            if any(header.lost == str(head) and header.key == self._key.id for _, header in headers):
                return True
            before = [(name, header) for name, header in headers if header.n <= head.n]
            return not before or self._has(folder, *before[-1], head)

    def _header(self, folder: int, name: Name) -> Header:
        with _opened(folder, name) as file:
            raw = file.readline(MAX_LINE_BYTES + 1).rstrip(b"\n")
        line = self._line(raw, name)
        if not isinstance(line, Header) or (line.key == self._key.id and not self._key.has_sealed(raw)):
            raise self._damaged(name)
        return line

    def _has(self, folder: int, name: Name, header: Header, head: Head) -> bool:
        with _opened(folder, name) as file:
            raw = next(islice(file, head.n - header.n, None), b"")
        return raw.endswith(b"\n") and head.is_of(hash_of(raw[:-1]))

    def _reached(self, head: Head) -> Head:
        self._known = head
        return head

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The folder, which nobody else writes to meanwhile."""
        with _mapped(self._path):
            folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _lock(folder)
                yield folder
            finally:
                os.close(folder)

    def _end(self, folder: int) -> _End | None:
        """None: the chain has not begun."""
        names = _names(folder)
        end = self._read(folder, names[-1]) if names else None
        known = self._known
        if known is not None:
            lost = end is None or end.head.chain != known.chain or end.head.n < known.n
            if lost or (end is not None and end.head.n == known.n and end.head.hash != known.hash):
                raise AuditUnavailable(f"{self._path} no longer holds what was written there: verify it, then restart")
        return end

    def _read(self, folder: int, name: Name) -> _End:
        """Of a file. Raises AuditUnavailable: damaged."""
        descriptor = os.open(str(name), os.O_RDONLY | FLAGS, dir_fd=folder)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
                raise AuditUnfit(f"{self._path / str(name)} must be a file that its owner alone can read (chmod 600)")
            first, *others = os.pread(descriptor, MAX_LINE_BYTES + 1, 0).split(b"\n", 1)
            tail = os.pread(descriptor, TAIL_BYTES, max(0, found.st_size - TAIL_BYTES))
        finally:
            os.close(descriptor)
        whole, _, rest = tail.rpartition(b"\n")
        last = whole.rpartition(b"\n")[2]
        header, line = self._line(first, name), self._line(last, name)
        if not others or not isinstance(header, Header) or header.file != name.number:
            raise self._damaged(name)
        if header.key == self._key.id and not (self._key.has_sealed(first) and self._key.has_sealed(last)):
            raise self._damaged(name)
        torn = Torn(bytes=len(rest), sha256=hash_of(rest)) if rest else None
        return _End(name, header, Head(header.chain, line.n, hash_of(last)), found.st_size, torn)

    def _line(self, raw: bytes, name: Name) -> Line:
        try:
            return read_line(raw)
        except NewerFormat:
            raise AuditUnfit(f"{self._path / str(name)} is of a newer version of tightlip") from None
        except NotALine:
            raise self._damaged(name) from None

    def _damaged(self, name: Name) -> AuditUnavailable:
        return AuditUnavailable(f"{self._path / str(name)} is damaged: verify it, then move the folder away")

    def _begin(self, folder: int, end: _End | None, now: float, lost: Head | None = None) -> _End:
        """Another file, and with it the deletion of those that are too old."""
        deleted = _expired(_names(folder), now, self._keep_days)
        header = Header(
            n=end.head.n + 1 if end else 0,
            before=end.head.hash if end else "",
            time=stamp(now),
            format=FORMAT,
            chain=end.header.chain if end else secrets.token_hex(8),
            file=end.name.number + 1 if end else 1,
            key=self._key.id,
            instance=self._instance,
            torn=end.torn if end else None,
            deleted=deleted,
            lost=str(lost) if lost else None,
        )
        name, raw = Name(header.file, day_of(now)), self._key.seal(header)
        _make(folder, name, raw + b"\n")
        for old in [old for old in _names(folder) if old.number <= deleted]:
            os.unlink(str(old), dir_fd=folder)
        os.fsync(folder)
        return _End(name, header, Head(header.chain, header.n, hash_of(raw)), len(raw) + 1, None)


def _names(folder: int) -> list[Name]:
    return sorted(name for text in os.listdir(folder) if (name := parse_name(text)) is not None)


def _opened(folder: int, name: Name) -> BinaryIO:
    return os.fdopen(os.open(str(name), os.O_RDONLY | FLAGS, dir_fd=folder), "rb")


def _expired(names: list[Name], now: float, keep_days: int) -> int:
    """The number of the last of the oldest files that are too old; 0 for none."""
    oldest, last = oldest_kept(now, keep_days), 0
    for name in names:
        if name.day >= oldest:
            break
        last = name.number
    return last


def _lock(folder: int) -> None:
    """Tried again and again, since a wait for it could not be ended."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise AuditUnavailable("another process holds the audit log and does not let go") from None
        time.sleep(0.005)


def _make(folder: int, name: Name, raw: bytes) -> None:
    with suppress(FileNotFoundError):
        os.unlink(_NEW, dir_fd=folder)
    descriptor = os.open(_NEW, os.O_WRONLY | os.O_CREAT | os.O_EXCL | FLAGS, 0o600, dir_fd=folder)
    try:
        write_all(descriptor, raw)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(_NEW, str(name), src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)  # or a power cut takes the name away


def _add(folder: int, end: _End, raw: bytes) -> None:
    descriptor = os.open(str(end.name), os.O_WRONLY | os.O_APPEND | FLAGS, dir_fd=folder)
    try:
        try:
            write_all(descriptor, raw)
            os.fsync(descriptor)
        except OSError:
            with suppress(OSError):  # what then stays of it is a torn line
                os.ftruncate(descriptor, end.size)
                os.fsync(descriptor)
            raise
    finally:
        os.close(descriptor)


_UNFIT: Final = frozenset(
    {errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EROFS, errno.EEXIST}
)


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """The one place where the system's errors become ours."""
    try:
        yield
    except OSError as error:
        kind = AuditUnfit if error.errno in _UNFIT else AuditUnavailable
        raise kind(f"{path} can't be written ({error.strerror})") from None
