"""Buildah as a machine without overlay mounts or user namespaces can use it: the vfs driver, chroot isolation."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Buildah:
    """One store of images; without a folder the machine's own."""

    folder: Path | None = None

    def run(self, *arguments: str | Path, output: bool = False) -> str:
        """What it printed if `output`, else ''. What it complains of is seen, and ends the script."""
        command = [*self.command(), *map(str, arguments)]
        done = subprocess.run(command, text=True, stdout=subprocess.PIPE if output else None)
        if done.returncode:
            raise SystemExit(f"buildah {arguments[0]} failed")
        return (done.stdout or "").strip()

    def command(self) -> Sequence[str]:
        folders = ("--root", str(self.folder / "root"), "--runroot", str(self.folder / "run")) if self.folder else ()
        return (needed("buildah"), "--storage-driver=vfs", *folders)


def needed(program: str) -> str:
    found = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"{program} is not installed: apt-get install {program}")
    return found
