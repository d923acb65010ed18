"""A small file system of its own, that can be filled up, and what looks like one."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

MOUNT = shutil.which("mount")


@dataclass(frozen=True)
class Disk:
    """`path` is its root."""

    path: Path

    def fill(self, left: int = 0) -> None:
        """Until so many bytes are left, also while others write."""
        with (self.path / "ballast").open("wb") as file:
            while (size := self._free() - left) > 0:
                with suppress(OSError):  # some of it has been taken since
                    os.posix_fallocate(file.fileno(), 0, size)
                    break

    def _free(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def empty(self) -> None:
        """Take away what filled it."""
        (self.path / "ballast").unlink()


@contextmanager
def small_disk(path: Path, kilobytes: int) -> Iterator[Disk]:
    """In memory, at this path, for as long as the block lasts. Skips the test where nobody may mount one."""
    path.mkdir()
    command = [MOUNT or "mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=0700", "tmpfs", str(path)]
    if MOUNT is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system can't be mounted (wants root, and the right to mount)")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def no_file_beyond(size: int, pid: int = 0) -> Iterator[None]:
    """What the system says to a process that may write no more is what a full disk says. `pid`: 0 is this one."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
